"""Cells that are kept in the repository: what a bench gets back is what it had."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment

from asr.bench import plan, run_bench
from asr.data.corpus import Corpus
from asr.errors import ConfigError, DataError
from asr.experiment import Cell
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
    ]
    states = run_bench(plan(cells, tmp_path / "b"), tmp_path / "b", run=stub.run, executor=stub.thread)
    cuts = []
    for line in (states[0].folder / "decode" / "test" / "hyp.jsonl").read_text().splitlines():
        u = json.loads(line)
        said = SupervisionSegment(u["id"], "r", 0, 1, text=u["reference"], speaker=u["speaker"])
        cuts.append(MonoCut(u["id"], 0, 1, 0, supervisions=[said]))
    CutSet.from_cuts(cuts).to_file(folder / "cuts_test.jsonl.gz")
    (folder / "corpus.json").write_text(json.dumps({"name": "toy", "splits": {"test": {}}}))
    # the corpus is there now, so cells have other names: as on another machine
    for cell, state in zip(cells, states, strict=True):
        path = state.folder / "record.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"config": cell.settings().model_dump(mode="json")})
        )
    return cells, states, Corpus.open(folder)


def test_a_bench_gets_back_what_it_had(bench, tmp_path):
    cells, states, corpus = bench
    kept = [results.keep_run(s.folder, tmp_path / "kept") for s in states]
    assert sorted(f.name for f in kept[0].iterdir()) == ["hyp.trn", "record.json"]
    for folder in kept:
        results.give_back(folder, corpus, tmp_path / "c")
    again = plan(cells, tmp_path / "c")
    for old, new in zip(states, again, strict=True):
        assert new.state == "kept" and new.row == RunRecord.load(old.folder).row
        assert new.folder.name != old.folder.name
        assert Run.load(new.folder).result == Run.load(old.folder).result


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


def test_another_corpus_of_that_name_is_named(bench, tmp_path):
    _, states, corpus = bench
    kept = results.keep_run(states[0].folder, tmp_path / "kept")
    lines = (kept / "hyp.trn").read_text().splitlines()
    (kept / "hyp.trn").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(DataError, match="u000"):
        results.give_back(kept, corpus, tmp_path / "c")
