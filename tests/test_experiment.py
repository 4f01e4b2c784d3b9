"""The whole path on a few minutes of synthesised speech: train, tune, score, save, move, load."""

import gzip
import json
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from lhotse import CutSet
from safetensors.numpy import load_file
from threadpoolctl import threadpool_info

from asr.bench import plan, run_bench
from asr.cell import Cell, LmSettings
from asr.cli.main import main
from asr.data.audio import load_cut
from asr.data.corpora.synth import prepare
from asr.data.corpus import Corpus
from asr.decode.align import align
from asr.decode.confidence import Calibration
from asr.decode.topology import Topology
from asr.decode.tune import neighbours
from asr.emissions import Emissions
from asr.errors import AudioError, ConfigError, DataError, ModelError
from asr.evaluation import emissions_of, evaluate
from asr.experiment import (
    _trained,
    evaluate_split,
    full_lexicon,
    language_model,
    phonemes_of,
    run_cell,
    text_words,
    tune_phonemes_on,
)
from asr.models import factory
from asr.models.base import AcousticModel
from asr.record import RunRecord
from asr.score import read_decoded, score_texts
from asr.stages import Losses, attribute, certain, stages_path
from asr.system import System
from asr.text.lexicon import Lexicon
from asr.text.ngram import NGram
from asr.text.units import BLANK, Units

# seconds of training, not figures to be proud of: the path is what is tested
QUICK = {
    "mfcc_hmm": ("model.gaussians=300", "model.passes=8"),
    "phoneme_ctc": (
        "model.epochs=2",
        "model.width=32",
        "model.blocks=1",
        "model.lstm_layers=0",
    ),
    "raw_ctc": (
        "model.epochs=2",
        "model.width=32",
        "model.blocks=1",
        "model.lstm_layers=0",
    ),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return prepare(
        tmp_path_factory.mktemp("corpus"), hours=0.05, clean=True, dev_hours=0.005, test_hours=0.005
    )


@pytest.fixture(scope="module", params=sorted(QUICK))
def finished(request: pytest.FixtureRequest, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory):
    cell = Cell(corpus.folder, request.param, 0.04, seed=1, overrides=QUICK[request.param])
    folder = tmp_path_factory.mktemp("runs") / cell.folder_name()
    stages: list[str] = []
    row = run_cell(cell, folder, stages.append)
    more = {"mfcc_hmm": ["each step on dev"], "phoneme_ctc": ["tuning phonemes on dev"]}.get(
        request.param, []
    )
    assert stages == ["lexicon and language model", "training", "tuning on dev", *more, "scoring test"]
    return cell, folder, row


def test_the_lexicon_is_read_in_the_language_of_the_corpus(corpus: Corpus, tmp_path: Path) -> None:
    """In English U+02BC is an apostrophe, and no word of the texts would be in the lexicon."""
    shutil.copytree(corpus.folder, tmp_path / "other")
    (tmp_path / "other/lexicon.txt").write_text("BA\u02bcA b a\nK\u02bcU k u\n")
    other = replace(Corpus.open(tmp_path / "other"), language="ha", splits={})
    assert set(full_lexicon(other).entries) == {"BA\u02bcA", "K\u02bcU"}


def test_texts_in_the_wrong_case_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    """They would be learned as letters of their own, and never be found."""
    shutil.copytree(corpus.folder, tmp_path / "other")
    other = Corpus.open(tmp_path / "other")
    *cuts, last = other.cuts("test")
    last.supervisions[0].text = "turn the LIGHTS on"
    CutSet.from_cuts([*cuts, last]).to_file(other.cuts_path("test"))
    with pytest.raises(DataError, match="wrong case, they are to be in capitals: on the turn; `asr check "):
        full_lexicon(other)


def test_fewer_words_of_text_make_a_smaller_language_model(corpus: Corpus) -> None:
    every, some = LmSettings(), LmSettings(words=40)
    assert text_words(corpus, every) == len(corpus.lm_text_path.read_text().split())
    assert text_words(corpus, some) == 40
    words, fewer = (set(NGram.read(language_model(corpus, s)).vocabulary) for s in (every, some))
    assert fewer < words and len(fewer) <= 45


def test_a_language_model_of_its_own_gives_way_to_words_that_are_asked_for(
    corpus: Corpus, tmp_path: Path
) -> None:
    shutil.copytree(corpus.folder, tmp_path / "c")
    own = Corpus.open(tmp_path / "c")
    shutil.copyfile(language_model(corpus, LmSettings(order=1)), own.folder / "lm.arpa.gz")
    assert language_model(own, LmSettings()) == own.lm_path and text_words(own, LmSettings()) is None
    assert language_model(own, LmSettings(words=40)) == language_model(corpus, LmSettings(words=40))
    # and without any, its words are still those that can be recognised
    none = NGram.read(language_model(own, LmSettings(order=0)))
    assert none.vocabulary == NGram.read(own.lm_path).vocabulary
    assert len({p for word, p in none.probabilities[0].items() if word != "<s>"}) == 1


def test_row_counts_every_word_of_the_test_split(finished, corpus: Corpus) -> None:
    _, _, row = finished
    words = sum(len(c.supervisions[0].text.split()) for c in corpus.cuts("test"))
    assert row["words"] == words and row["hours"] == 0.04 and row["seed"] == 1
    assert row["wer"] == pytest.approx(100 * (row["sub"] + row["del"] + row["ins"]) / words, abs=1e-3)
    assert row["wer_low"] <= row["wer"] <= row["wer_high"]
    if row["recipe"] == "mfcc_hmm":
        assert row["wer"] < 60, "three minutes of clean speech and a small vocabulary are enough for that"
    assert (row["per"] is not None) == (row["lm_per"] is not None) == (row["recipe"] == "phoneme_ctc")
    assert (row["greedy_cer"] is not None) == (row["recipe"] == "raw_ctc")


def test_a_finished_run_is_not_run_again(finished) -> None:
    cell, folder, row = finished
    assert run_cell(cell, folder, lambda stage: pytest.fail(stage)) == row


def test_an_interrupted_run_scores_the_same(finished, monkeypatch) -> None:
    cell, folder, row = finished
    (folder / "record.json").unlink()
    left = [folder / part / ".partial-0" for part in (".", "system", "decode/test", "checkpoints")]
    for half in left:
        half.touch()
    stages: list[str] = []

    def checked_out_meanwhile(stage: str) -> None:
        stages.append(stage)
        monkeypatch.setattr("asr.record.git_commit", lambda: "later")

    again = run_cell(cell, folder, checked_out_meanwhile)
    assert "training" not in stages
    assert RunRecord.load(folder).provenance["commit"] != "later"
    assert not any(half.exists() for half in left)
    timed = {"decode_rtf", "peak_mb"}
    assert {k: v for k, v in again.items() if k not in timed} == {
        k: v for k, v in row.items() if k not in timed
    }


def test_training_time_is_that_of_all_processes(finished, tmp_path: Path, monkeypatch) -> None:
    """What an earlier process spent before it broke off counts; hours of `all` are not rounded away."""
    cell, _, _ = finished
    if cell.recipe != "raw_ctc":
        pytest.skip("the clock is the same for all")

    class Broken:
        def fit(self, *_: object) -> None:
            time.sleep(0.3)
            raise KeyboardInterrupt

    cell = Cell(cell.corpus, "raw_ctc", None, 1, ("model.epochs=1", *cell.overrides[1:]))
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(factory, "create", lambda *_: Broken())
        run_cell(cell, tmp_path)
    kept = tmp_path / "checkpoints" / "training_time.json"
    assert json.loads(kept.read_text())["seconds"] >= 0.3
    kept.write_text('{"seconds": 1000, "cpu_seconds": 500}')
    began = time.perf_counter()
    row = run_cell(cell, tmp_path)
    assert 1000 < row["train_s"] < 1000 + time.perf_counter() - began
    assert 500 < row["train_cpu_s"] < row["train_s"]
    seconds = RunRecord.load(tmp_path).budget["seconds"]
    assert row["hours"] == pytest.approx(seconds / 3600, abs=1e-5) and row["hours"] != round(row["hours"], 2)


def test_cells_of_other_text_take_the_training(finished, corpus: Corpus, tmp_path: Path) -> None:
    """Another language model, the same acoustic model, and the seconds that its training took."""
    cell, folder, row = finished
    fewer = replace(cell, words=300)
    first, second = plan([cell, fewer], folder.parent)
    assert (first.trained_in, second.trained_in) == (folder, folder) and first.state == "kept"
    weights = [p for p in (folder / "checkpoints").rglob("*") if p.suffix in (".safetensors", ".ckpt")]
    before = {p: p.stat().st_mtime_ns for p in weights}
    (done,) = run_bench([second], folder.parent, executor=lambda: ThreadPoolExecutor(1))
    assert done.error is None and done.row is not None
    assert done.row["text_words"] == 300 and done.row["train_s"] == row["train_s"]
    assert before and before == {p: p.stat().st_mtime_ns for p in before}
    models = [load_file(f / "system" / "model.safetensors") for f in (folder, second.folder)]
    assert models[0].keys() == models[1].keys()
    for name in models[0]:
        np.testing.assert_array_equal(models[0][name], models[1][name])
    assert System.load(second.folder).lm.read_bytes() != System.load(folder).lm.read_bytes()


def test_a_choice_between_settings_leaves_test_unseen(finished, corpus: Corpus, tmp_path: Path) -> None:
    cell, trained, _ = finished
    chosen = replace(cell, split="dev")
    folder = tmp_path / chosen.folder_name()
    assert "-dev-s1-" in folder.name
    shutil.copytree(trained / "checkpoints", folder / "checkpoints")
    spent = folder / "checkpoints" / "trained.json"
    spent.write_text(json.dumps(json.loads(spent.read_text()) | {"peak_mb": 99999.4}))
    said = ["diverges: try less"] if cell.recipe != "mfcc_hmm" else []
    if said:
        summary = folder / "checkpoints" / "training.json"
        summary.write_text(json.dumps(json.loads(summary.read_text()) | {"alarms": said}))
    row = run_cell(chosen, folder, lambda _: None)
    assert RunRecord.load(folder).alarms == said
    assert (row["split"], row["utterances"]) == ("dev", len(corpus.cuts("dev").to_eager()))
    assert [p.name for p in (folder / "decode").iterdir()] == ["dev"]
    assert row["peak_mb"] == 99999  # that of a training elsewhere counts
    assert Cell.of(RunRecord.load(folder), corpus.folder) == chosen


def test_what_the_training_of_others_took_is_not_taken_for_its_own(
    finished, corpus: Corpus, tmp_path
) -> None:
    """A finished training of other settings is replaced, and so is what it took."""
    cell, trained, _ = finished
    if cell.recipe != "raw_ctc":
        pytest.skip("the clock is the same for all")
    other = replace(cell, overrides=(*cell.overrides, "model.weight_decay=0.02"))
    folder = tmp_path / other.folder_name()
    shutil.copytree(trained / "checkpoints", folder / "checkpoints")
    spent = folder / "checkpoints" / "trained.json"
    spent.write_text(json.dumps(json.loads(spent.read_text()) | {"train_s": 5000, "train_cpu_s": 5000}))
    assert not (folder / "checkpoints" / "training_time.json").exists()
    assert 0 < run_cell(other, folder)["train_s"] < 1000
    assert json.loads(spent.read_text())["train_s"] < 1000


def test_a_training_that_is_killed_while_it_replaces_another_keeps_its_clock(tmp_path: Path) -> None:
    class Fake:
        def __init__(self, weights: str, dies: str = "") -> None:
            self.weights, self.dies, self.alarms = weights, dies, [f"diverges, {weights}"]

        def fit(self, train: object, dev: object, workdir: Path) -> None:
            file = workdir / "last.ckpt"
            if not file.exists() or file.read_text() != self.weights:
                time.sleep(0.2)
                if self.dies == "before it writes":
                    raise KeyboardInterrupt
                file.write_text(self.weights)
            if self.dies:
                raise KeyboardInterrupt

    def trained(*arguments: Any) -> dict[str, Any]:
        return _trained(Fake(*arguments), CutSet(), CutSet(), tmp_path, lambda _: None)  # type: ignore[arg-type]

    assert 0.2 <= trained("one")["train_s"] < 5
    spent = tmp_path / "trained.json"
    spent.write_text(json.dumps(json.loads(spent.read_text()) | {"train_s": 5000}))
    assert trained("one")["train_s"] == 5000
    for dies in ("before it writes", "after that"):
        with pytest.raises(KeyboardInterrupt):
            trained("two", dies)
        assert json.loads(spent.read_text())["train_s"] == 5000
    assert 0.4 <= trained("two")["train_s"] < 5
    assert trained("two") == json.loads(spent.read_text())
    assert trained("two")["alarms"] == ["diverges, two"]


def test_a_training_that_does_not_tell_its_weights_is_taken_at_its_word(tmp_path: Path) -> None:
    class Finished:
        alarms: ClassVar[list[str]] = []

        def fit(self, train: object, dev: object, workdir: Path) -> None:
            assert (workdir / "last.ckpt").exists()

    (tmp_path / "last.ckpt").write_text("one")
    told = {"train_s": 5000.0, "train_cpu_s": 4000.0, "peak_mb": 98765.0}
    (tmp_path / "trained.json").write_text(json.dumps(told))
    for _ in range(2):
        found = _trained(Finished(), CutSet(), CutSet(), tmp_path, lambda _: None)  # type: ignore[arg-type]
        assert found.items() > told.items() and found == json.loads((tmp_path / "trained.json").read_text())


def test_decoding_uses_one_core(finished, corpus: Corpus, tmp_path: Path, monkeypatch) -> None:
    _, folder, _ = finished
    system = System.load(folder)
    kind, seen = type(system.model), set()
    emit = kind.emit

    def blas() -> list[int]:
        return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

    def watched(self: AcousticModel, *arguments):
        seen.update(blas())
        return emit(self, *arguments)

    monkeypatch.setattr(kind, "emit", watched)
    before = blas()
    evaluate_split(system, corpus, system.lexicon, "test", tmp_path / "decode" / "test")
    assert seen == {1}
    assert blas() == before


def test_unreadable_audio_counts_as_deleted_everywhere(
    finished, corpus: Corpus, tmp_path: Path, monkeypatch, capsys
) -> None:
    """All recordings of one speaker are gone: a whole batch has nothing to recognise."""
    _, folder, row = finished
    broken, run = tmp_path / "corpus", tmp_path / "run"
    shutil.copytree(corpus.folder, broken, ignore=shutil.ignore_patterns("*.flac", "*.wav"))
    shutil.copytree(folder / "system", run / "system")
    with gzip.open(broken / "cuts_test.jsonl.gz", "rt") as f:
        cuts = [json.loads(line) for line in f]
    speaker = cuts[0]["supervisions"][0]["speaker"]
    lost = [c for c in cuts if c["supervisions"][0]["speaker"] == speaker]
    for cut in lost:
        cut["recording"]["sources"][0]["source"] = str(tmp_path / "gone.flac")
    with gzip.open(broken / "cuts_test.jsonl.gz", "wt") as f:
        f.writelines(json.dumps(c) + "\n" for c in cuts)
    assert 0 < len(lost) < len(cuts)
    monkeypatch.setattr(sys, "argv", ["asr", "evaluate", str(run), "--data", str(broken)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    shown = capsys.readouterr()
    assert f"{len(lost)} of {len(cuts)} utterances unreadable and counted as deleted" in shown.out
    # long lines are folded
    assert "".join(shown.err.split()).count("gone.flac:utterance") == len(lost)
    figures = json.loads((run / "decode" / "test" / "scores.json").read_text())
    assert figures["words"] == row["words"] and figures["unreadable"] == len(lost)
    decoded = read_decoded(run, "test")
    assert set(decoded.references) == set(decoded.texts) == {c["id"] for c in cuts}
    again = score_texts(decoded.references, decoded.texts).scores
    assert again.rate == pytest.approx(figures["wer"], abs=1e-3) and again.reference == figures["words"]
    losses = attribute(run, Corpus.open(broken))
    assert losses.words == figures["words"] and losses.errors == sum(
        figures[k] for k in ("sub", "del", "ins")
    )


def test_another_corpus_leaves_the_results_of_the_run_alone(
    finished, corpus: Corpus, tmp_path: Path, monkeypatch, capsys
) -> None:
    _, folder, _ = finished
    before = (folder / "decode" / "test" / "hyp.jsonl").read_text()
    shutil.copytree(corpus.folder, tmp_path / "other")
    with gzip.open(tmp_path / "other" / "cuts_test.jsonl.gz", "rt") as f:
        first = f.readline()
    with gzip.open(tmp_path / "other" / "cuts_test.jsonl.gz", "wt") as f:
        f.write(first)
    monkeypatch.setattr(sys, "argv", ["asr", "evaluate", str(folder), "--data", str(tmp_path / "other")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert (folder / "decode" / "test" / "hyp.jsonl").read_text() == before
    assert list(read_decoded(folder, f"test@{corpus.name}").texts) == [json.loads(first)["id"]]
    with pytest.raises(DataError, match="was decoded on another corpus, or another state of it"):
        attribute(folder, Corpus.open(tmp_path / "other"))


def test_the_same_again_leaves_the_results_of_the_run_alone(finished, corpus, monkeypatch, capsys) -> None:
    _, folder, row = finished
    before = (folder / "decode" / "test" / "hyp.jsonl").stat().st_mtime_ns
    monkeypatch.setattr(sys, "argv", ["asr", "evaluate", str(folder), "--data", str(corpus.folder)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert (folder / "decode" / "test" / "hyp.jsonl").stat().st_mtime_ns == before
    again = json.loads((folder / "decode" / "test@again" / "scores.json").read_text())
    assert again["wer"] == row["wer"]


def test_another_search_leaves_the_results_of_the_run_alone(finished, corpus, monkeypatch, capsys) -> None:
    _, folder, row = finished
    before = (folder / "decode" / "test" / "scores.json").read_text()
    system = System.load(folder)
    beam = (system.first or system.settings).beam
    arguments = ["asr", "evaluate", str(folder), "--data", str(corpus.folder), "--one-pass"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--set", f"search.beam={beam}"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert (folder / "decode" / "test" / "scores.json").read_text() == before
    scores = folder / "decode" / f"test,one-pass,search.beam={beam}" / "scores.json"
    figures = json.loads(scores.read_text())
    # the search that finds what to adapt to, and nothing after it
    first = row["wer"] if row["unadapted_wer"] is None else row["unadapted_wer"]
    assert figures["wer"] == first and figures["unadapted_wer"] is None


@pytest.mark.parametrize(
    "change, said",
    [
        ("search.bean=8", "beam"),
        ("model.width=3", "^model.width is fixed once trained; change one of search.acoustic_scale, "),
        ("beam=8", "did you mean 'search.beam'"),
    ],
)
def test_only_the_search_of_a_trained_system_can_change(finished, change, said, capsys) -> None:
    _, folder, _ = finished
    with pytest.raises(ConfigError, match=said):
        System.load(folder).changed([change])
    system = System.load(folder)
    capsys.readouterr()
    once = system.changed([], one_pass=True)
    assert ("searches once in any case" in capsys.readouterr().err) != system.model.adapts
    first = system.first or system.settings  # its scales, found without adaptation, and the whole beam
    assert once.settings == first.model_copy(update={"beam": system.settings.beam}) and not once.adapts
    changed = system.changed(["search.beam=1.5"])
    assert changed.settings.beam == 1.5 and (changed.first is None or changed.first.beam == 1.5)


def test_record_holds_what_repeating_needs(finished) -> None:
    cell, folder, row = finished
    record = RunRecord.load(folder)
    # words of text have no part in the training, its seed has
    assert record.training == cell.training() == replace(cell, words=40).training()
    assert record.training != replace(cell, seed=2).training()
    assert record.row == {**row, **{k: record.row[k] for k in ("decode_rtf", "peak_mb")}}
    assert len(record.budget["sha256"]) == 64
    assert record.budget["seconds"] == pytest.approx(0.04 * 3600, abs=10)
    assert record.tuning and {"acoustic_scale", "wer"} <= record.tuning[0].keys()
    steps = ["mono", "tri", "lda", "sat"] if row["recipe"] == "mfcc_hmm" else []
    assert [s["step"] for s in record.steps] == steps
    scale = System.load(folder).settings.acoustic_scale
    assert all(s["acoustic_scale"] in neighbours(scale) for s in record.steps)
    assert (row["unadapted_wer"] is not None) == bool(steps)
    assert record.provenance["packages"]["torch"].startswith("2.")


def test_the_system_folder_works_elsewhere(finished, corpus: Corpus, tmp_path: Path) -> None:
    _, folder, _ = finished
    shutil.copytree(folder / "system", tmp_path / "moved")
    assert (
        not list((tmp_path / "moved").glob("*.pkl")) and (tmp_path / "moved" / "model.safetensors").exists()
    )
    system = System.load(tmp_path / "moved")
    assert (system.first is not None) == system.model.adapts
    hyps = {h["id"]: h["text"] for h in map(json.loads, (folder / "decode" / "test" / "hyp.jsonl").open())}
    # all utterances of a speaker together, as the evaluation decodes them
    cuts = sorted(corpus.cuts("test"), key=lambda c: (c.supervisions[0].speaker, c.id))
    speaker = cuts[0].supervisions[0].speaker
    some = [c for c in cuts if c.supervisions[0].speaker == speaker]
    found = system.transcribe([load_cut(c, system.sample_rate) for c in some], system.sample_rate)
    assert [h.text for h in found] == [hyps[c.id] for c in some]


def test_what_a_system_learned_of_its_confidences_is_kept(finished, corpus: Corpus, tmp_path: Path) -> None:
    _, folder, _ = finished
    system = System.load(folder)
    assert system.calibration != Calibration() and system.longest_s == 6.0  # utterances of 3 s
    cuts = corpus.cuts("dev").to_eager()
    emitted = list(emissions_of(system, cuts, "dev"))
    kept, told = system.calibration, {}
    for calibration in (Calibration(), kept):
        system.calibration = calibration
        words = [w for e in emitted for w in system.decode(e.emissions).words]
        told[calibration] = [w.confidence for w in words]
    assert told[kept] == pytest.approx([kept(c) for c in told[Calibration()]])
    system.save(tmp_path / "again")
    assert System.load(tmp_path / "again").calibration == kept
    before = json.loads((folder / "system" / "system.json").read_text())
    shutil.copytree(folder / "system", tmp_path / "old")
    old = {k: v for k, v in before.items() if k not in ("calibration", "longest_s")}
    (tmp_path / "old" / "system.json").write_text(json.dumps(old))
    assert System.load(tmp_path / "old").calibration == Calibration()


def test_phonemes_are_words_of_a_search_of_their_own(
    finished, corpus: Corpus, tmp_path: Path, monkeypatch, capsys
) -> None:
    _, folder, row = finished
    (first, *_) = corpus.cuts("test")
    soundfile.write(tmp_path / "a.wav", load_cut(first, 16000), 16000)
    arguments = ["asr", "transcribe", str(tmp_path / "a.wav"), "--model", str(folder), "--phonemes"]
    monkeypatch.setattr(sys, "argv", [*arguments, "-f", "all", "-o", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    shown = capsys.readouterr()
    shutil.copytree(folder / "system", tmp_path / "moved")
    system = System.load(tmp_path / "moved")
    if row["recipe"] != "phoneme_ctc":
        with pytest.raises(ModelError, match=f"{row['recipe']} cannot write phonemes"):
            system.of_phonemes()
        assert stopped.value.code == 1 and shown.out == "" and "a run of phoneme_ctc" in shown.err
        return
    assert stopped.value.code == 0 and system.phoneme_search is not None
    spoken, cuts = system.of_phonemes(), corpus.cuts("test").to_eager()
    assert set(spoken.lexicon.entries) == set(system.model.units) - {BLANK}
    assert spoken.calibration == system.phoneme_search.calibration != Calibration()
    (heard,) = spoken.transcribe([load_cut(first, 16000)], 16000)
    assert heard.words and (tmp_path / "a.txt").read_text().split() == heard.text.split()
    assert 'name = "phones"' in (tmp_path / "a.TextGrid").read_text()
    other = system.changed(["search.beam=5"])
    assert other.of_phonemes().settings == spoken.changed(["search.beam=5"]).settings != spoken.settings
    said = {c.id: " ".join(c.supervisions[0].custom["phones"]) for c in cuts}
    hyps = {h["id"]: h for h in map(json.loads, (folder / "decode" / "test" / "hyp.jsonl").open())}
    for column, entry in (("lm_per", "phonemes"), ("per", "greedy")):
        rate = score_texts(said, {i: h[entry] for i, h in hyps.items()}, unit="phoneme").scores.rate
        assert row[column] == round(rate, 3)
    for e in emissions_of(system, cuts, "test"):
        found = spoken.decode(e.emissions)
        assert found.text == hyps[e.cut.id]["phonemes"]
        ends = [w.start_s + w.duration_s for w in found.words]
        assert all(end <= w.start_s + 1e-6 for end, w in zip(ends, found.words[1:], strict=False))
        # where the network has no doubt, neither has the search
        tokens = said[e.cut.id].split()
        ideal = certain(system.model.topology, tokens, e.emissions)
        sure = replace(spoken, settings=spoken.settings.model_copy(update={"acoustic_scale": 100.0}))
        assert sure.decode(ideal).text.split() == tokens
    # phonemes, not words, were counted in tuning
    dev = corpus.cuts("dev").to_eager()
    wanted = {c.id: " ".join(c.supervisions[0].custom["phones"]) for c in dev}
    found = {e.cut.id: spoken.decode(e.emissions).text for e in emissions_of(system, dev, "dev")}
    assert RunRecord.load(folder).phoneme_tuning[-1]["errors"] == score_texts(wanted, found).scores.errors
    system.save(tmp_path / "again")
    assert System.load(tmp_path / "again").phoneme_search.settings == spoken.settings
    head = json.loads((tmp_path / "again" / "system.json").read_text())
    del head["phonemes"]
    (tmp_path / "again" / "system.json").write_text(json.dumps(head))
    assert System.load(tmp_path / "again").phoneme_search is None
    (tmp_path / "moved" / "phonemes.arpa.gz").unlink()
    with pytest.raises(ModelError, match=r"phonemes\.arpa\.gz is missing"):
        System.load(tmp_path / "moved")


def test_phonemes_of_a_corpus_are_those_it_tells_or_canonical(finished, corpus: Corpus, capsys) -> None:
    _, folder, row = finished
    if row["recipe"] != "phoneme_ctc":
        pytest.skip("it writes no phonemes")
    system, (first, *others) = System.load(folder), corpus.cuts("train").to_eager()
    lexicon = full_lexicon(corpus)
    assert phonemes_of(first, lexicon).split() == first.supervisions[0].custom["phones"]
    first.supervisions[0].custom = None
    assert phonemes_of(first, lexicon).split() == lexicon.pronounce(first.supervisions[0].text)
    # what is no phoneme of the model is no part of the n-gram, and is named where it is scored
    first.supervisions[0].custom = {"phones": ["<unk>", "AH"]}
    train, dev = CutSet.from_cuts([first, *others[:5]]), CutSet.from_cuts([])
    tune_phonemes_on(system, train, dev, lexicon, 5, 0)
    assert system.phoneme_search is not None
    assert "<unk>" not in NGram.read(system.phoneme_search.lm).probabilities[1]
    capsys.readouterr()
    evaluate(system, CutSet.from_cuts([first]), folder / "decode" / "odd", {first.id: "<unk> AH"})
    shown = " ".join(capsys.readouterr().err.split())
    assert f"1 of 1 utterances hold phonemes that the model does not know, as '<unk>' in {first.id}" in shown


def test_silence_has_no_words_and_what_is_no_sound_is_refused(finished) -> None:
    system = System.load(finished[1])
    silent = [np.zeros(16000, np.float32), np.zeros(0, np.float32)]
    assert [h.words for h in system.transcribe(silent, 16000)] == [(), ()]
    with pytest.raises(AudioError, match="waveform 1 of 2 holds samples that are no numbers"):
        system.transcribe([silent[0], np.full(800, np.nan, np.float32)], 16000)


def test_a_language_model_is_packed_and_missed(finished, tmp_path: Path) -> None:
    system = System.load(finished[1])
    with gzip.open(system.lm) as packed:
        (tmp_path / "lm.arpa").write_bytes(packed.read())
    system.lm = tmp_path / "lm.arpa"
    system.save(tmp_path / "plain")
    assert System.load(tmp_path / "plain").graph.report == System.load(finished[1]).graph.report
    (tmp_path / "plain" / "lm.arpa.gz").unlink()
    with pytest.raises(ModelError, match=r"lm\.arpa\.gz is missing; copy the system folder again"):
        System.load(tmp_path / "plain")


def test_words_of_a_known_text_get_their_times(finished, corpus: Corpus) -> None:
    cell, folder, _ = finished
    if cell.recipe != "mfcc_hmm":
        pytest.skip("two epochs do not teach a network to align")
    system = System.load(folder)
    system.calibration = Calibration()  # few words of dev may tell nothing
    errors, surer = [], []
    for cut in corpus.cuts("test"):
        said = cut.supervisions[0]
        found = system.align(load_cut(cut, 16000), 16000, said.text)
        other = system.align(load_cut(cut, 16000), 16000, " ".join(reversed(said.text.split())))
        surer.append(np.mean(found.confidences) - np.mean(other.confidences))
        true = said.alignment["word"]
        assert [w.text for w in found.words] == [w.symbol.upper() for w in true]
        errors += [abs(w.start_s - t.start) for w, t in zip(found.words, true, strict=True)]
    assert np.mean(surer) > 0.1, "words that were said are likelier than the same in another order"
    assert np.mean(errors) < 0.05, "mean distance of word starts in seconds"


def test_stages_add_up_to_the_errors_as_scored(finished, corpus: Corpus) -> None:
    _, folder, row = finished
    losses = attribute(folder, corpus)
    assert losses.words == row["words"] and losses.errors == row["sub"] + row["del"] + row["ins"]
    assert sum(losses.stages.values()) == losses.errors
    assert all(sum(-np.diff(e)) == e[0] for e in losses.by_utterance.values())
    assert Losses.load(stages_path(folder, "test")) == losses
    # the lexicon tells all but the words that sound alike apart, once the phonemes are known
    assert 0 <= losses.stages["pronunciation"] <= 0.03 * losses.words
    assert losses.stages["acoustics"] > 0 and losses.stages["vocabulary"] == 0
    (folder / "decode" / "test" / "stages.json").write_text('{"words": 1, "utterances": {"a": [1, 0]}}')
    with pytest.raises(DataError, match="run `asr stages` again"):
        Losses.load(stages_path(folder, "test"))


def test_stages_take_a_lexicon_that_was_corrected_by_hand(finished, corpus: Corpus, tmp_path: Path) -> None:
    _, folder, row = finished
    shutil.copytree(folder / "system", tmp_path / "system")
    shutil.copytree(folder / "decode", tmp_path / "decode")
    lexicon = System.load(tmp_path).lexicon
    word, (first, *_) = next(iter(lexicon.entries.items()))
    entries = {**lexicon.entries, word: (first, first[::-1] * 2, first * 3), "QUAGGAS": (first * 2,)}
    chances = {w: p for w, p in lexicon.probabilities.items() if w != word}
    Lexicon(entries, chances).save(tmp_path / "system" / "lexicon.txt")
    losses = attribute(tmp_path, corpus)
    assert sum(losses.stages.values()) == losses.errors == row["sub"] + row["del"] + row["ins"]
    assert losses.stages["pronunciation"] == 0  # said as the corrected lexicon has it


def test_words_that_the_lexicon_loses_are_put_down_to_vocabulary(
    finished, corpus: Corpus, tmp_path: Path
) -> None:
    cell, folder, row = finished
    if cell.recipe != "mfcc_hmm":
        pytest.skip("two epochs do not teach a network words to lose")
    shutil.copytree(folder / "system", tmp_path / "system")
    system = System.load(tmp_path)
    said = Counter(w for c in corpus.cuts("test") for w in c.supervisions[0].text.split())
    gone = {w for w, _ in said.most_common(10)}
    times = sum(said[w] for w in gone)
    System(
        **{
            **{k: getattr(system, k) for k in ("name", "language", "model", "lm", "settings")},
            "lexicon": system.lexicon.restricted([w for w in system.lexicon.entries if w not in gone]),
        }
    ).save(tmp_path / "system")
    evaluate_split(System.load(tmp_path), corpus, system.lexicon, "test", tmp_path / "decode" / "test")
    losses = attribute(tmp_path, corpus)
    assert losses.errors >= row["sub"] + row["del"] + row["ins"] + times / 2
    assert losses.stages["vocabulary"] >= times / 2


def test_certain_emissions_are_the_columns_of_the_tokens() -> None:
    lexicon = Lexicon({"CAT": [("K", "AE", "T")], "TACK": [("T", "AE", "K")]})
    units = Units([BLANK, *lexicon.phones()])
    topology = Topology.ctc(units)
    like = Emissions(np.zeros((5, len(units)), np.float32), units, 0.04, "posterior")
    sure = certain(topology, ("T", "AE", "K"), like)
    assert align(sure, topology, lexicon, ["TACK"]).score == 0
    assert align(sure, topology, lexicon, ["CAT"]).score <= -60


def test_a_missing_system_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained system here"):
        System.load(tmp_path)
    with pytest.raises(ModelError, match="not a finished run"):
        RunRecord.load(tmp_path)
