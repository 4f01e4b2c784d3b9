"""Write recipes/NAME/RESULTS.md from the results.csv and the run folders of finished benches."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from asr.errors import AsrError, DataError
from asr.experiment import recipe_names
from asr.files import write_text
from asr.record import RunRecord
from asr.report.figures import Run
from asr.report.markdown import grid, table

RECIPES = Path(__file__).parents[1] / "recipes"


def runs_of(bench: Path) -> list[Run]:
    """The runs that a bench's results.csv lists, hours and seeds ascending.

    Its folder may hold more: runs of earlier settings, or of another state of the corpus.

    Raises
    ------
    DataError
        If there is no results.csv, or a line of it has no run.
    """
    path = bench / "results.csv"
    if not path.exists():
        raise DataError("no results.csv here", path=bench, fix="name the folder of a finished bench")
    with open(path, encoding="utf-8", newline="") as f:
        listed = list(csv.DictReader(f))
    folders = {p.parent: RunRecord.load(p.parent).row for p in sorted(bench.glob("*/record.json"))}
    found = []
    for n, line in enumerate(listed, 2):
        # whole lines, measured times and all, are compared: two runs can share recipe, hours and seed
        folder = next((f for f, row in folders.items() if all(_cell(row[c]) == line[c] for c in line)), None)
        if folder is None:
            raise DataError("no run folder holds this result", path=path, line=n, fix="run the bench again")
        found.append(Run.load(folder))
    return sorted(found, key=lambda run: (run.row["hours"], run.row["seed"]))


def sections(benches: Sequence[Sequence[Run]], recipe: str) -> list[str]:
    """The runs of one recipe, a heading a corpus; below it a table a bench and how to make it again."""
    corpora: dict[str, list[list[Run]]] = {}
    for bench in benches:
        if some := [run for run in bench if run.row["recipe"] == recipe]:
            corpora.setdefault(some[0].row["corpus"], []).append(some)
    lines = []
    for corpus, groups in corpora.items():
        lines += [f"## {corpus}", ""]
        # one head for all tables of a corpus: a setting that one of them has is a column of the others, too
        head, rows = table([run for group in groups for run in group])
        for group in groups:
            own, rows = rows[: len(group)], rows[len(group) :]
            lines += _group(group, head, own)
    return lines


def _group(runs: Sequence[Run], head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    records = [run.record for run in runs]
    first = records[0]
    commits = sorted({r.provenance["commit"] for r in records})
    dates = sorted({r.provenance["date"][:10] for r in records})
    row = first.row
    note = runs[0].folder.parent / "note.txt"  # what whoever ran it has to say
    said = [f"- {note.read_text(encoding='utf-8').strip()}"] if note.exists() else []
    return [
        f"Test split: {row['utterances']} utterances, {row['words']} words, scored once; dev tuned scales.",
        "",
        *grid(head, rows),
        "",
        f"- Command: `{first.provenance['command']}`",
        f"- Commit: {', '.join(commits)}",
        f"- Hardware: {first.provenance['hardware']}",
        f"- Date: {', '.join(dates)}",
        *said,
        f"- Python {first.provenance['python']}, torch {first.provenance['packages']['torch']}",
        "",
    ]


def _cell(value: object) -> str:
    """As results.csv has it."""
    return "" if value is None else str(value)


def main() -> None:
    """Collect every recipe's sections from the benches named on the command line."""
    folders = [Path(a) for a in sys.argv[1:]]
    benches = [runs_of(folder) for folder in folders]
    for recipe in recipe_names():
        lines = [f"# Results of {recipe}", ""]
        lines += [
            "WER is that of the search with lexicon and language model; greedy figures are the network",
            "alone. Intervals (95%) are bootstrapped over utterances. RTF is seconds of one core for a",
            "second of audio: features, model and search. Training seconds are wall-clock.",
            "",
        ]
        lines += sections(benches, recipe)
        write_text(RECIPES / recipe / "RESULTS.md", "\n".join(lines))
    shutil.copyfile(folders[-1] / "curve.svg", RECIPES / "curves.svg")


if __name__ == "__main__":
    try:
        main()
    except AsrError as e:
        sys.exit(f"collect-results: {e}")
