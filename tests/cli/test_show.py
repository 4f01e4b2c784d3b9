"""asr show: every kind of thing it knows, as tables and as JSON, and what it refuses."""

import gzip
import json

import numpy as np
import pytest
import yaml
from lhotse import CutSet
from safetensors.numpy import save_file

from asr.cli.show import _sparkline
from asr.data.corpus import Corpus
from asr.record import RunRecord

LEXICON = "A AH\nA EY\nCAT K AE T\nSAT S AE T\n"
ARPA = """
\\data\\
ngram 1=3
ngram 2=1

\\1-grams:
-0.5\tA\t0.0
-0.5\t</s>
-99\t<s>\t0.0

\\2-grams:
-0.1\t<s> A

\\end\\
"""


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "raw_ctc-1h-s0-abc123" / "system"
    folder.mkdir(parents=True)
    (folder / "system.json").write_text(
        json.dumps({"format": 1, "name": "raw_ctc", "search": {"beam": 14.0, "max_active": 4000}})
    )
    (folder / "model.json").write_text(json.dumps({"settings": {"type": "ctc", "channels": 8}}))
    weights = {"frontend.w": np.zeros((4, 5), np.float32), "frontend.b": np.zeros(4, np.float32)}
    save_file({**weights, "encoder.w": np.zeros((2, 3, 4), np.float32)}, folder / "model.safetensors")
    (folder / "lexicon.txt").write_text(LEXICON)
    with gzip.open(folder / "lm.arpa.gz", "wt") as f:
        f.write(ARPA)
    return folder


@pytest.fixture
def finished(model):
    folder = model.parent
    RunRecord(
        row={"corpus": "fsdd", "recipe": "raw_ctc", "wer": 12.5, "per": None, "utterances": 300},
        config={"recipe": "raw_ctc", "model": {"type": "ctc"}},
        budget={"hours": 1.0, "seed": 0},
        seconds={"train": 61.25},
        tuning=[{"acoustic_scale": 0.1 * i, "wer": 20 - i} for i in range(20)],
        provenance={"packages": {"torch": "2.11.0"}},
    ).save(folder)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "metrics.csv").write_text(
        "epoch,step,dev_loss,train_loss\n0,10,,3.5\n0,10,3.0,\n1,20,,2.5\n1,20,2.0,\n2,30,,1.25\n2,30,2.25,\n"
    )
    return folder


def shown(run, thing):
    done = run("show", thing, "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_a_run(run, finished):
    facts = shown(run, finished)
    assert facts["kind"] == "run" and facts["finished"] is True
    result = {"corpus": "fsdd", "recipe": "raw_ctc", "split": "test", "wer": 12.5, "utterances": 300}
    assert facts["result"] == result  # a record from before splits were named is of test
    assert len(facts["tuning"]) == 20
    assert facts["training"][0] == {
        "figure": "dev_loss",
        "values": 3,
        "first": 3.0,
        "lowest": 2.0,
        "highest": 3.0,
        "last": 2.25,
        "course": "█▁▃",
    }
    assert [row["figure"] for row in facts["training"]] == ["dev_loss", "train_loss"]
    assert facts["system"]["numbers"] == 48
    tables = run("show", finished).out
    for piece in ("12.5", "train_loss", "61.25", "provenance.packages", "2.11.0", "and 8 more, see --json"):
        assert piece in tables


def test_a_run_tells_settings_once(run, finished):
    settings = {"type": "ctc", "channels": 8}
    assert shown(run, finished)["system"]["model"] == {"settings": settings}  # unlike those of the recipe
    record = json.loads((finished / "record.json").read_text())
    record["config"]["model"] = settings
    (finished / "record.json").write_text(json.dumps(record))
    facts = shown(run, finished)
    assert facts["settings"]["model"] == settings and facts["system"]["model"] == {}


def test_a_model(run, model):
    facts = shown(run, model)
    assert facts["kind"] == "model" and facts["name"] == "raw_ctc"
    assert facts["weights"] == [
        {"part": "encoder", "tensors": 1, "numbers": 24},
        {"part": "frontend", "tensors": 2, "numbers": 24},
    ]
    assert facts["language_model"] == {"order": 2, "1-grams": 3, "2-grams": 1}
    assert facts["model"]["settings"]["channels"] == 8


def test_a_language_model(run, tmp_path):
    head = "\\data\\\nngram 1=3\nngram 2=1\n\n"
    (tmp_path / "own.LM").write_text(head)
    assert shown(run, tmp_path / "own.LM")["2-grams"] == 1
    packed = gzip.compress(head.encode() * 99)
    (tmp_path / "x.arpa.gz").write_bytes(packed[:20] + bytes(9) + packed[29:])
    done = run("show", tmp_path / "x.arpa.gz")
    assert done.code == 1 and done.err.startswith("asr: error: ") and "x.arpa.gz: cannot be read" in done.err


def test_a_lexicon(run, model):
    assert shown(run, model / "lexicon.txt") == {
        "kind": "lexicon",
        "path": str(model / "lexicon.txt"),
        "words": 3,
        "pronunciations": 4,
        "words_with_several": 1,
        "units": 6,
        "most_used_first": ["AE", "T", "AH", "EY", "K", "S"],
    }


def test_a_corpus(run, tmp_path):
    cuts = {split: CutSet.from_cuts([]) for split in ("train", "test")}
    Corpus.write(tmp_path / "c", "tiny", cuts, LEXICON, "A CAT\nA CAT SAT\n", licence="CC0")
    facts = shown(run, tmp_path / "c")
    assert (facts["kind"], facts["name"], facts["licence"]) == ("corpus", "tiny", "CC0")
    assert [row["split"] for row in facts["splits"]] == ["train", "test"]
    assert facts["lm_text"] == {"sentences": 2, "words": 5, "different_words": 3}
    assert facts["lexicon"]["words"] == 3
    assert "tiny" in run("show", tmp_path / "c").out


def test_a_recipe_and_its_resolved_file(run, tmp_path):
    facts = shown(run, "raw_ctc")
    assert facts.pop("kind") == "recipe" and facts.pop("name") == "raw_ctc"
    assert facts["recipe"] == "raw_ctc" and facts["model"]["type"] == "ctc" and "beam" in facts["search"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(facts))
    resolved = shown(run, tmp_path / "config.yaml")
    assert {k: v for k, v in resolved.items() if k not in ("kind", "path")} == facts
    unfinished = shown(run, tmp_path)
    assert unfinished["kind"] == "run" and unfinished["finished"] is False and unfinished["settings"] == facts


@pytest.mark.parametrize(
    "spoil, said",
    [
        (("model.safetensors", b"\x00" * 4), "model.safetensors: weights cannot be read"),
        (("system.json", b"{"), "system.json: cannot be read"),
        (("system.json", b"[]"), "system.json: damaged"),
        (("lexicon.txt", b"CAT\n"), "lexicon.txt:1: word 'CAT' has no pronunciation"),
        (("lm.arpa.gz", b"\x1f\x8b\x08\x00"), "lm.arpa.gz: cannot be read"),
        (("lm.arpa.gz", gzip.compress(b"no counts")), "lm.arpa.gz: no n-gram counts"),
    ],
)
def test_a_damaged_model_names_the_file(run, model, spoil, said):
    name, content = spoil
    (model / name).write_bytes(content)
    done = run("show", model)
    assert done.code == 1 and said in done.err and done.err.count("\n") == 1


def test_the_steps_of_a_gmm_are_told_apart(run, finished):
    (finished / "checkpoints" / "metrics.csv").write_text(
        "pass,step,states,log_likelihood\n1,mono,122,1.5\n2,mono,122,2.5\n1,tri,450,-3.0\n"
    )
    found = {row["figure"]: row for row in shown(run, finished)["training"]}
    assert list(found) == [
        "states of mono",
        "log_likelihood of mono",
        "states of tri",
        "log_likelihood of tri",
    ]
    assert (found["log_likelihood of mono"]["first"], found["log_likelihood of mono"]["last"]) == (1.5, 2.5)


def test_a_shared_training_is_shown_with_each_cell(run, finished):
    own = shown(run, finished)["training"]
    (finished / "checkpoints").rename(finished.parent / "other")
    (finished / "checkpoints").symlink_to("../other", target_is_directory=True)
    assert own and shown(run, finished)["training"] == own


def test_damaged_metrics_name_the_file(run, finished):
    (finished / "checkpoints" / "metrics.csv").write_text("epoch,loss\n0,low\n")
    done = run("show", finished)
    assert done.code == 1 and "metrics.csv: damaged" in done.err


def test_nothing_of_that_name(run, tmp_path):
    done = run("show", "raw_cct")
    assert done.code == 2 and "did you mean 'raw_ctc'?" in done.err
    assert run("show", "zzz").code == 2
    (tmp_path / "empty").mkdir()
    done = run("show", tmp_path / "empty")
    assert done.code == 1 and "neither a run, a model nor a corpus" in done.err
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    done = run("show", tmp_path / "a.wav")
    assert done.code == 2 and f"nothing to show; `asr check {tmp_path / 'a.wav'}`" in done.err


def test_a_curve_in_bars():
    assert _sparkline([1.0, 2.0, 3.0]) == "▁▅█"
    assert _sparkline([2.0, 2.0]) == "▁▁"
    assert _sparkline([float("nan")]) == ""
    assert len(_sparkline([float(i) for i in range(1000)])) == 32


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--filters", "a.gif"), "cannot draw a .gif"),
        (("--filters", "a.png", "--unit", "block2", "--data", "d"), "--unit block2 is not LAYER:NUMBER"),
        (("--filters", "a.png", "--unit", "block2:1"), "--unit and --data go together"),
        (("--unit", "block2:1"), "belong to a picture"),
    ],
)
def test_pictures_that_cannot_be_drawn(run, options, says):
    done = run("show", "somewhere", *options)
    assert done.code == 2 and says in done.err
