import json
import random

import pytest

from asr.record import RunRecord

WORDS = [f"W{i}" for i in range(30)]


@pytest.fixture
def runs(tmp_path):
    """A run folder that decoded one corpus with the error rate asked for."""

    def make(name, wer, utterances=200, corpus=0, speakers=20):
        truth, errors = random.Random(corpus), random.Random(name)
        lines = []
        for i in range(utterances):
            reference = truth.choices(WORDS, k=8)
            text = [errors.choice(WORDS) if errors.random() < wer else w for w in reference]
            entry = {"id": f"u{i}", "text": " ".join(text), "reference": " ".join(reference)}
            lines.append(json.dumps(entry | {"speaker": f"s{i % speakers}"}) + "\n")
        folder = tmp_path / name
        (folder / "decode" / "test").mkdir(parents=True)
        (folder / "decode" / "test" / "hyp.jsonl").write_text("".join(lines))
        return folder

    return make


def test_clear_difference(run, runs):
    done = run("compare", runs("a", 0.4), runs("b", 0.2))
    assert done.code == 0
    told = "B makes fewer errors (MAPSSWE and the bootstrap over speakers, p < 0.05)."
    assert done.out.splitlines()[-1] == told
    assert "MAPSSWE: p < 0.0001" in done.out and "over 20 speakers: p < 0.0001" in done.out


def test_of_few_speakers_it_is_told_that_others_may_differ(run, runs):
    done = run("compare", runs("a", 0.4, speakers=4), runs("b", 0.2, speakers=4))
    assert "; fewer than 5 say nothing of others" in done.out
    told = "(MAPSSWE and the bootstrap over utterances, for these speakers, p < 0.05)."
    assert done.out.endswith(f"B makes fewer errors {told}\n")


def test_runs_are_compared_on_what_they_were_scored_on(run, runs):
    both = runs("a", 0.4), runs("b", 0.2)
    for folder in both:
        (folder / "decode" / "test").rename(folder / "decode" / "dev")
    assert run("compare", *both).code == 1
    RunRecord({"split": "dev"}, {}, {}, {}).save(both[0])
    assert "MAPSSWE" in run("compare", *both).out


def test_no_difference(run, runs):
    done = run("compare", runs("a", 0.3, utterances=40), runs("b", 0.3, utterances=40))
    assert "The data cannot tell which one is better" in done.out


def test_json(run, runs):
    figures = json.loads(run("compare", runs("a", 0.2), runs("b", 0.4), "--json").out)
    assert figures["bootstrap"]["difference"] == pytest.approx(figures["a"]["rate"] - figures["b"]["rate"])
    assert figures["mapsswe"]["z"] < -3 and figures["bootstrap"]["high"] < 0
    assert figures["bootstrap_speakers"]["p"] < 0.05


def test_utterances_of_one_run_alone_are_left_out_and_told(run, runs):
    whole, half = runs("a", 0.3), runs("b", 0.3)
    path = half / "decode" / "test" / "hyp.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:100]))
    done = run("compare", whole, half)
    assert done.out.startswith("on 100 utterances; left out: 100 of A alone, 0 of B alone\n")
    assert "The data cannot tell which one is better" in done.out
    figures = json.loads(run("compare", whole, half, "--json").out)
    assert (figures["utterances"], figures["only_in"]) == (100, {"a": 100, "b": 0})
    assert figures["a"]["reference"] == figures["b"]["reference"] == 800


def test_runs_on_different_corpora_are_refused(run, runs):
    done = run("compare", runs("a", 0.2), runs("b", 0.2, corpus=1))
    assert done.code == 1 and "decoded different utterances" in done.err


def test_run_without_results_is_refused(run, runs, tmp_path):
    (tmp_path / "nothing" / "decode").mkdir(parents=True)
    done = run("compare", runs("a", 0.2), tmp_path / "nothing")
    assert done.code == 1 and "was not decoded by this run" in done.err


def test_rates_are_those_of_the_scores_where_sclite_would_align_otherwise(run, runs):
    a, b = runs("a", 0.3), runs("b", 0.3)
    for folder, text in ((a, "D E X Y Z"), (b, "A B C D E")):
        # five substitutions, or, by sclite's weights, three deletions and three insertions
        entry = {"id": "u0", "text": text, "reference": "A B C D E", "speaker": "s0"}
        (folder / "decode" / "test" / "hyp.jsonl").write_text(json.dumps(entry) + "\n")
    assert "%WER 100.00 [ 5 / 5, 0 ins, 0 del, 5 sub ]" in run("compare", a, b).out


def test_a_folder_of_another_search_can_be_named(run, runs):
    a = runs("a", 0.4)
    (runs("b", 0.2) / "decode" / "test").rename(a / "decode" / "test,search.beam=8")
    done = run("compare", a, a / "decode" / "test,search.beam=8")
    assert done.code == 0 and done.out.splitlines()[-1].startswith("B makes fewer errors")


def test_what_is_no_run_is_told(run, runs, tmp_path):
    a = runs("a", 0.4)
    RunRecord({"split": "test"}, {}, {}, {}).save(a)
    for path, says in (
        (tmp_path / "gone", "no such folder"),
        (a.parent, f"no run folder; name a run, as {a}"),
    ):
        done = run("compare", a, path)
        assert done.code == 1 and says in done.err
