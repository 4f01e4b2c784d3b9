"""Cells that are kept in the repository: what a bench gets back is what it had."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment
from typer.testing import CliRunner

from asr.bench import plan, run_bench
from asr.cell import Cell
from asr.data.budget import Budget
from asr.data.corpus import Corpus
from asr.errors import ConfigError, DataError
from asr.record import RunRecord
from asr.report.figures import Run
from asr.score.files import read_transcripts

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import stub

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("keep_results", ROOT / "scripts" / "keep_results.py")
results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)


@pytest.fixture
def bench(tmp_path):
    """The cells of a bench with the stub's hypotheses and real settings, and their corpus."""
    folder = tmp_path / "toy"
    folder.mkdir()
    cells = [
        Cell(folder, "raw_ctc", 0.5, 3, ("model.width=32", "search.beam=9.5")),
        Cell(folder, "mfcc_hmm", 0.5, 3, words=500),
        Cell(folder, "raw_ctc", 0.5, 3, ("recipe=raw_narrow", "model.speeds=[0.9, 1.0]")),
    ]
    states = run_bench(plan(cells, tmp_path / "b"), tmp_path / "b", run=stub.run, executor=stub.thread)
    cuts = []
    for line in (states[0].folder / "decode" / "test" / "hyp.jsonl").read_text().splitlines():
        u = json.loads(line)
        said = SupervisionSegment(u["id"], "r", 0, 1, text=u["reference"], speaker=u["speaker"])
        cuts.append(MonoCut(u["id"], 0, 1, 0, supervisions=[said]))
    CutSet.from_cuts(cuts).to_file(folder / "cuts_test.jsonl.gz")
    said = SupervisionSegment("t", "r", 0, 3600, text="A CAT", speaker="s")
    train = CutSet.from_cuts([MonoCut("t", 0, 3600, 0, supervisions=[said])])
    train.to_file(folder / "cuts_train.jsonl.gz")
    (folder / "corpus.json").write_text(
        json.dumps({"name": "toy", "splits": {"test": {}, "train": {"hours": 1}}})
    )
    # the corpus is there now, so cells have other names: as on another machine
    for cell, state in zip(cells, states, strict=True):
        path = state.folder / "record.json"
        record = json.loads(path.read_text())
        record["config"] = cell.settings().model_dump(mode="json")
        record["budget"]["sha256"] = Budget.digest(Budget(0.5, 3).select(train))
        path.write_text(json.dumps(record))
    return cells, states, Corpus.open(folder)


def test_a_bench_gets_back_what_it_had(bench, tmp_path):
    cells, states, corpus = bench
    (tmp_path / "b" / "note.txt").write_text("Not alone.")
    (states[1].folder / "note.txt").write_text("Alone.")
    kept = [results.keep_run(s.folder, tmp_path / "kept") for s in states]
    assert sorted(f.name for f in kept[0].iterdir()) == ["hyp.trn", "note.txt", "record.json", "stages.json"]
    for folder, note in zip(kept, ("Not alone.", "Alone.", "Not alone."), strict=True):
        assert (results.give_back(folder, corpus, tmp_path / "c") / "note.txt").read_text() == note
    again = plan(cells, tmp_path / "c", stages=True)
    for old, new in zip(states, again, strict=True):
        assert new.state == "kept" and new.row == RunRecord.load(old.folder).row
        assert new.folder.name != old.folder.name
        one, other = Run.load(new.folder), Run.load(old.folder)
        assert one.result == other.result and one.losses == other.losses


def test_ids_may_hold_what_trn_cannot_write(bench, tmp_path):
    _, states, corpus = bench
    hypotheses = states[0].folder / "decode" / "test" / "hyp.jsonl"
    odd = "it's (1) [x] 100%/é"
    hypotheses.write_text(hypotheses.read_text().replace('"u000"', json.dumps(odd)))
    cuts = [c.with_id(odd) if c.id == "u000" else c for c in corpus.cuts("test")]
    CutSet.from_cuts(cuts).to_file(corpus.folder / "cuts_test.jsonl.gz")
    kept = results.keep_run(states[0].folder, tmp_path / "kept")
    run = results.give_back(kept, Corpus.open(corpus.folder), tmp_path / "c")
    assert odd in read_transcripts(run / "decode" / "test" / "hyp.jsonl").texts


def test_hypotheses_are_trn_without_references(bench, tmp_path):
    _, states, _ = bench
    kept = results.keep_run(states[0].folder, tmp_path / "kept")
    found = read_transcripts(kept / "hyp.trn")
    assert found.texts == read_transcripts(states[0].folder / "decode" / "test" / "hyp.jsonl").texts
    assert not found.references


def test_a_cell_of_other_settings_is_not_given_back(bench, tmp_path):
    _, states, corpus = bench
    kept = results.keep_run(states[0].folder, tmp_path / "kept")
    record = json.loads((kept / "record.json").read_text())
    del record["config"]["model"]["average"]  # a record from before there was this setting
    (kept / "record.json").write_text(json.dumps(record))
    assert results.give_back(kept, corpus, tmp_path / "c").exists()
    record["config"]["model"]["width"] = 64
    (kept / "record.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="the recipe has other settings by now"):
        results.give_back(kept, corpus, tmp_path / "c")


@pytest.mark.parametrize("change", ["an utterance less", "another text", "another train split"])
def test_another_state_of_the_corpus_is_refused(bench, tmp_path, change):
    _, states, corpus = bench
    kept = results.keep_run(states[0].folder, tmp_path / "kept")
    lines = (kept / "hyp.trn").read_text().splitlines()
    if change == "an utterance less":
        (kept / "hyp.trn").write_text("\n".join(lines[1:]) + "\n")
    elif change == "another text":
        (kept / "hyp.trn").write_text("\n".join([f"CAT {lines[0]}", *lines[1:]]) + "\n")
    else:
        record = json.loads((kept / "record.json").read_text())
        record["budget"]["sha256"] = "0" * 64
        (kept / "record.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="another state of the corpus"):
        results.give_back(kept, corpus, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_bench_keeps_its_own_cells(bench, tmp_path):
    _, states, corpus = bench
    kept = results.keep_run(states[0].folder, tmp_path / "kept")
    run = results.give_back(kept, corpus, tmp_path / "c")
    before = (run / "record.json").read_text()
    (kept / "record.json").write_text(before.replace('"mfcc', '"x'))
    (run / "decode" / "test" / "hyp.jsonl").write_text("its own")
    assert results.give_back(kept, corpus, tmp_path / "c") == run
    assert (run / "decode" / "test" / "hyp.jsonl").read_text() == "its own"


def test_the_latest_run_of_a_cell_is_kept(bench, tmp_path):
    _, states, _ = bench
    run = states[0].folder
    first = results.keep_run(run, tmp_path / "kept")
    later = run.with_name(run.name[:-6] + "abcdef")  # the same cell, after its recipe got a setting
    shutil.copytree(run, later)
    record = json.loads((later / "record.json").read_text())
    record["provenance"] |= {"date": "2999-01-01 00:00:00 +0000", "commit": "later"}
    (later / "record.json").write_text(json.dumps(record))
    (first / "note.txt").write_text("Of the first.")
    assert results.keep_run(run, tmp_path / "kept") == first and (first / "note.txt").exists()
    for folder in (later, run):
        assert results.keep_run(folder, tmp_path / "kept") == first
        assert RunRecord.load(first).provenance["commit"] == "later" and not (first / "note.txt").exists()
    (run / "decode" / "test" / "hyp.jsonl").unlink()
    with pytest.raises(DataError):
        results.keep_run(run, tmp_path / "kept")
    assert RunRecord.load(first).provenance["commit"] == "later"


def test_what_fails_is_named_and_the_rest_goes_on(bench, tmp_path, monkeypatch):
    _, states, corpus = bench
    monkeypatch.setattr(results, "ROOT", tmp_path / "kept")
    runner = CliRunner()
    assert runner.invoke(results.app, ["keep", str(tmp_path / "nosuch")]).exit_code == 1
    done = runner.invoke(results.app, ["keep", str(states[0].folder.parent)])
    assert done.exit_code == 0 and len(list((tmp_path / "kept" / "toy").iterdir())) == 3
    broken = sorted((tmp_path / "kept" / "toy").iterdir())[0]
    (broken / "record.json").write_text("{")
    done = runner.invoke(results.app, ["restore", str(corpus.folder), str(tmp_path / "c")])
    assert done.exit_code == 1 and len(list((tmp_path / "c").iterdir())) == 2
    assert str(broken) in done.output and "damaged" in done.output
