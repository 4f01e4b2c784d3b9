"""Write recipes/NAME/RESULTS.md from the run folders of finished benches."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from asr.experiment import recipe_names
from asr.files import write_text
from asr.record import RunRecord
from asr.report.figures import Run
from asr.report.markdown import grid, table

RECIPES = Path(__file__).parents[1] / "recipes"


def section(bench: Path, recipe: str) -> list[str]:
    """The runs of one recipe in one bench: how to make them again, and their table."""
    records = [(p.parent, RunRecord.load(p.parent)) for p in sorted(bench.glob(f"{recipe}-*/record.json"))]
    if not records:
        return []
    records.sort(key=lambda pair: (pair[1].row["hours"], pair[1].row["seed"]))
    first = records[0][1]
    head, rows = table([Run.load(folder) for folder, _ in records])
    commits = sorted({r.provenance["commit"] for _, r in records})
    dates = sorted({r.provenance["date"][:10] for _, r in records})
    row = first.row
    return [
        f"## {row['corpus']}",
        "",
        f"Test split: {row['utterances']} utterances, {row['words']} words, scored once; dev tuned scales.",
        "",
        *grid(head, rows),
        "",
        f"- Command: `{first.provenance['command']}`",
        f"- Commit: {', '.join(commits)}",
        f"- Hardware: {first.provenance['hardware']}",
        f"- Date: {', '.join(dates)}",
        f"- Python {first.provenance['python']}, torch {first.provenance['packages']['torch']}",
        "",
    ]


def main() -> None:
    """Collect every recipe's sections from the benches named on the command line."""
    benches = [Path(a) for a in sys.argv[1:]]
    for recipe in recipe_names():
        lines = [f"# Results of {recipe}", ""]
        lines += [
            "WER is that of the search with lexicon and language model; greedy figures are the network",
            "alone. Intervals (95%) are bootstrapped over utterances. RTF is seconds of one core for a",
            "second of audio: features, model and search. Training seconds are wall-clock.",
            "",
        ]
        for bench in benches:
            lines += section(bench, recipe)
        write_text(RECIPES / recipe / "RESULTS.md", "\n".join(lines))
    shutil.copyfile(benches[-1] / "curve.svg", RECIPES / "curves.svg")


if __name__ == "__main__":
    main()
