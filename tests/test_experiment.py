"""The whole path on a few minutes of synthesised speech: train, tune, score, save, move, load."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from asr.data.audio import load_cut
from asr.data.corpora.synth import prepare
from asr.data.corpus import Corpus
from asr.errors import ModelError
from asr.experiment import Cell, run_cell
from asr.record import RunRecord
from asr.system import System

# seconds of training, not figures to be proud of: the path is what is tested
QUICK = {
    "mfcc_hmm": ("model.gaussians=300", "model.passes=8"),
    "phoneme_ctc": (
        "model.epochs=2",
        "model.width=32",
        "model.blocks=1",
        "model.lstm_layers=0",
        "model.threads=1",
    ),
    "raw_ctc": (
        "model.epochs=2",
        "model.width=32",
        "model.blocks=1",
        "model.lstm_layers=0",
        "model.threads=1",
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
    steps = ["each step on dev"] if request.param == "mfcc_hmm" else []
    assert stages == ["lexicon and language model", "training", "tuning on dev", *steps, "scoring test"]
    return cell, folder, row


def test_row_counts_every_word_of_the_test_split(finished, corpus: Corpus) -> None:
    _, _, row = finished
    words = sum(len(c.supervisions[0].text.split()) for c in corpus.cuts("test"))
    assert row["words"] == words and row["hours"] == 0.04 and row["seed"] == 1
    assert row["wer"] == pytest.approx(100 * (row["sub"] + row["del"] + row["ins"]) / words, abs=1e-3)
    assert row["wer_low"] <= row["wer"] <= row["wer_high"]
    if row["recipe"] == "mfcc_hmm":
        assert row["wer"] < 60, "three minutes of clean speech and a small vocabulary are enough for that"
    assert (row["per"] is not None) == (row["recipe"] == "phoneme_ctc")
    assert (row["greedy_cer"] is not None) == (row["recipe"] == "raw_ctc")


def test_a_finished_run_is_not_run_again(finished) -> None:
    cell, folder, row = finished
    assert run_cell(cell, folder, lambda stage: pytest.fail(stage)) == row


def test_an_interrupted_run_scores_the_same(finished) -> None:
    cell, folder, row = finished
    (folder / "record.json").unlink()
    stages: list[str] = []
    again = run_cell(cell, folder, stages.append)
    assert "training" not in stages
    timed = {"decode_rtf", "peak_mb"}
    assert {k: v for k, v in again.items() if k not in timed} == {
        k: v for k, v in row.items() if k not in timed
    }


def test_record_holds_what_repeating_needs(finished) -> None:
    _, folder, row = finished
    record = RunRecord.load(folder)
    assert record.row == {**row, **{k: record.row[k] for k in ("decode_rtf", "peak_mb")}}
    assert len(record.budget["sha256"]) == 64
    assert record.budget["seconds"] == pytest.approx(0.04 * 3600, abs=10)
    assert record.tuning and {"acoustic_scale", "wer"} <= record.tuning[0].keys()
    steps = ["mono", "tri", "lda", "sat"] if row["recipe"] == "mfcc_hmm" else []
    assert [s["step"] for s in record.steps] == steps
    assert (row["unadapted_wer"] is not None) == bool(steps)
    assert record.provenance["packages"]["torch"].startswith("2.")


def test_the_system_folder_works_elsewhere(finished, corpus: Corpus, tmp_path: Path) -> None:
    _, folder, _ = finished
    shutil.copytree(folder / "system", tmp_path / "moved")
    assert (
        not list((tmp_path / "moved").glob("*.pkl")) and (tmp_path / "moved" / "model.safetensors").exists()
    )
    system = System.load(tmp_path / "moved")
    hyps = {h["id"]: h["text"] for h in map(json.loads, (folder / "decode" / "test" / "hyp.jsonl").open())}
    # all utterances of a speaker together, as the evaluation decodes them
    cuts = sorted(corpus.cuts("test"), key=lambda c: (c.supervisions[0].speaker, c.id))
    speaker = cuts[0].supervisions[0].speaker
    some = [c for c in cuts if c.supervisions[0].speaker == speaker]
    found = system.transcribe([load_cut(c, system.sample_rate) for c in some], system.sample_rate)
    assert [h.text for h in found] == [hyps[c.id] for c in some]


def test_words_of_a_known_text_get_their_times(finished, corpus: Corpus) -> None:
    cell, folder, _ = finished
    if cell.recipe != "mfcc_hmm":
        pytest.skip("two epochs do not teach a network to align")
    system = System.load(folder)
    errors = []
    for cut in corpus.cuts("test"):
        said = cut.supervisions[0]
        found = system.align(load_cut(cut, 16000), 16000, said.text).words
        true = said.alignment["word"]
        assert [w.text for w in found] == [w.symbol.upper() for w in true]
        errors += [abs(w.start_s - t.start) for w, t in zip(found, true, strict=True)]
    assert np.mean(errors) < 0.05, "mean distance of word starts in seconds"


def test_a_missing_system_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained system here"):
        System.load(tmp_path)
    with pytest.raises(ModelError, match="not a finished run"):
        RunRecord.load(tmp_path)
