"""RESULTS.md of the recipes: what scripts/collect_results.py takes from the folders of benches."""

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from asr.bench import plan, run_bench
from asr.errors import DataError
from asr.record import provenance
from asr.report import write_report

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import stub

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("collect_results", ROOT / "scripts" / "collect_results.py")
collect = importlib.util.module_from_spec(spec)
spec.loader.exec_module(collect)


def bench(to, command, overrides=()):
    """A finished bench of two budgets."""
    cells = [replace(c, overrides=overrides) for c in stub.cells(hours=(0.5, 1.0))]
    run_bench(plan(cells, to), to, run=stub.run, executor=stub.thread)
    for path in to.glob("*/record.json"):
        record = json.loads(path.read_text())
        record["provenance"]["command"] = command
        path.write_text(json.dumps(record))
    return to


@pytest.fixture
def two(tmp_path):
    return [
        bench(tmp_path / "plain", "asr bench plain"),
        bench(tmp_path / "other", "asr bench other", ("tune_utterances=7",)),
    ]


def test_leftovers_of_other_settings_are_no_results(tmp_path):
    to = bench(tmp_path / "b", "asr bench")
    listed = (to / "results.csv").read_text()
    bench(to, "asr bench", ("tune_utterances=7",))
    assert len(list(to.glob("*/record.json"))) == 12
    (to / "results.csv").write_text(listed)
    runs = collect.runs_of(to)
    assert [(r.row["recipe"], r.row["hours"]) for r in runs] == [
        (r, h) for h in (0.5, 1.0) for r in stub.RECIPES
    ]
    assert {r.row["setting"] for r in runs} == {""}


def test_a_result_without_its_run_is_named(tmp_path):
    to = bench(tmp_path / "b", "asr bench")
    next(to.glob("raw_ctc-1h*/record.json")).unlink()
    with pytest.raises(DataError, match=r"results.csv:7: no run folder holds this result"):
        collect.runs_of(to)
    with pytest.raises(DataError, match=r"no results.csv here"):
        collect.runs_of(tmp_path)


def test_one_heading_a_corpus_and_a_table_a_bench(two, tmp_path, monkeypatch):
    (text,) = collect.sections({b.name: collect.runs_of(b) for b in two}, "raw_ctc").values()
    assert text.count("\n| recipe | hours |") == 2
    heads = [line for line in text.splitlines() if line.startswith("| recipe |")]
    assert heads[1] == f"{heads[0]} setting |"  # which only the second bench has
    assert re.findall("^### .*", text, re.MULTILINE) == ["### other"]
    first, second = text.split("- All: `asr bench plain`; commit ")
    assert "tune_utterances=7" not in first and second.count("tune_utterances=7") == 2
    assert "- All: `asr bench other`" in second
    for folder in two:
        (folder / "curve.svg").write_text(f"<svg>{folder.name}</svg>")
        (folder / "RESULTS.md").write_text(f"# toy, {folder.name}\n")
    monkeypatch.setattr(collect, "RECIPES", tmp_path / "recipes")
    (tmp_path / "recipes" / "raw_ctc").mkdir(parents=True)
    said = tmp_path / "recipes" / "results" / "toy"
    said.mkdir(parents=True)
    (said / "stages.svg").write_text("<svg>of a bench before</svg>")
    written = tmp_path / "recipes" / "raw_ctc" / "RESULTS.md"
    written.write_text("# Results\n\nHead.\n\n## toy\n\nold\n\n## sea\n\nkept\n")
    monkeypatch.setattr(sys, "argv", ["collect_results.py", *map(str, two)])
    collect.main()
    assert written.read_text() == f"# Results\n\nHead.\n\n## toy\n\n{text}\n## sea\n\nkept\n"
    assert (tmp_path / "recipes" / "mfcc_hmm" / "RESULTS.md").read_text().count("\n## toy\n") == 1
    for kept, folder in ((said, two[0]), (said / "other", two[1])):
        assert sorted(f.name for f in kept.glob("*.*")) == ["RESULTS.md", "curve.svg", "results.csv"]
        assert (kept / "RESULTS.md").read_text() == f"# toy, {folder.name}\n"
        assert (kept / "curve.svg").read_text() == f"<svg>{folder.name}</svg>"
        assert (kept / "results.csv").read_text() == (folder / "results.csv").read_text()


def test_a_variant_stands_with_the_recipe_that_it_changes(tmp_path):
    to = tmp_path / "b"
    cell = replace(stub.cells(hours=(0.5,))[0], recipe="raw_ctc")
    fast = replace(cell, overrides=("recipe=raw_ctc_fast", "model.effort=0.5"))
    run_bench(plan([cell, fast], to), to, run=stub.run, executor=stub.thread)
    (text,) = collect.sections({"b": collect.runs_of(to)}, "raw_ctc").values()
    rows = [line for line in text.splitlines() if line.startswith("| raw_ctc")]
    assert [(row.split(" | ")[0], row.rsplit(" | ")[-1]) for row in rows] == [
        ("| raw_ctc", " |"),
        ("| raw_ctc_fast", "model.effort=0.5 |"),
    ]
    assert not collect.sections({"b": collect.runs_of(to)}, "phoneme_ctc")


def test_what_was_scored_on_dev_stands_apart(tmp_path, monkeypatch):
    to = tmp_path / "b"
    run_bench(
        plan([replace(c, split="dev") for c in stub.cells()], to), to, run=stub.run, executor=stub.thread
    )
    assert all("-dev-s0-" in record.parent.name for record in to.glob("*/record.json"))
    monkeypatch.setattr(collect, "RECIPES", tmp_path / "recipes")
    monkeypatch.setattr(sys, "argv", ["collect_results.py", str(to / "dev")])
    collect.main()
    text = (tmp_path / "recipes" / "raw_ctc" / "RESULTS.md").read_text()
    assert "## toy, dev" in text and "## toy\n" not in text
    assert "Dev split: 120 utterances" in text and "scored once" not in text
    # what a bench says of its corpus is what test says
    assert not (tmp_path / "recipes" / "results").exists()


def test_a_bench_of_test_may_be_called_dev_and_a_damaged_run_beside_is_left_out(tmp_path):
    to = bench(tmp_path / "dev", "asr bench")
    (to / "other").mkdir()
    (to / "other" / "record.json").write_text("{")
    assert len(collect.runs_of(to)) == len(collect.runs_of(bench(tmp_path / "b", "asr bench"))) > 0


def test_cells_made_in_different_ways_are_told_apart(tmp_path):
    to = bench(tmp_path / "b", "asr bench")
    run = next(to.glob("raw_ctc-1h*"))
    record = json.loads((run / "record.json").read_text())
    record["provenance"]["commit"] = "abc"
    (run / "record.json").write_text(json.dumps(record))
    (run / "note.txt").write_text("Ran alone.\n")
    (text,) = collect.sections({"b": collect.runs_of(to)}, "raw_ctc").values()
    how = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line.split(":")[0] for line in how] == ["- raw_ctc, 0.5 h, seed 0", "- raw_ctc, 1 h, seed 0"]
    assert "commit abc" not in how[0] and "commit abc" in how[1] and how[1].endswith(". Ran alone.")
    folders = sorted(p.parent for p in to.glob("*/record.json"))
    sentences = write_report(tmp_path / "report", folders, {}, provenance())
    assert "These cells were made by 2 versions of the toolkit: the report says which." in sentences
    said = (tmp_path / "report" / "RESULTS.md").read_text()
    assert re.search(r"^- raw_ctc, 1 h, seed 0: .*commit abc", said, re.MULTILINE)
