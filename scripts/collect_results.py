"""Write recipes/NAME/RESULTS.md from finished benches, and keep what each bench itself says of its corpus."""

from __future__ import annotations

import contextlib
import csv
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from asr.cell import Cell, recipe_names
from asr.errors import AsrError, DataError, UsageError
from asr.files import write_text
from asr.record import RunRecord
from asr.report.figures import Run
from asr.report.markdown import grid, origins, table

RECIPES = Path(__file__).parents[1] / "recipes"
HEAD = """# Results of {recipe}

WER is that of the search with lexicon and language model; greedy figures are the network
alone, n-gram PER is that of a search with an n-gram of phonemes. Intervals (95%) are
bootstrapped over utterances. RTF is CPU seconds for a second of audio: features, model and
search. Training seconds are wall-clock.

"""
SAID = ("RESULTS.md", "results.csv", "*.svg")  # of a bench, over all recipes


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
    # table and page of a bench on dev lie in a folder beside its runs
    beside = bench.resolve().name == "dev" and not any(bench.glob("*/record.json"))
    folders = {}
    for path_of_record in sorted((bench.resolve().parent if beside else bench).glob("*/record.json")):
        with contextlib.suppress(AsrError):  # one that is listed is then missing below
            folders[path_of_record.parent] = RunRecord.load(path_of_record.parent).row
    found = []
    for n, line in enumerate(listed, 2):
        # whole lines, measured times and all, are compared: two runs can share recipe, hours and seed
        folder = next((f for f, row in folders.items() if all(_cell(row[c]) == line[c] for c in line)), None)
        if folder is None:
            raise DataError("no run folder holds this result", path=path, line=n, fix="run the bench again")
        found.append(Run.load(folder))
    return sorted(found, key=lambda run: (run.row["hours"], run.row["seed"]))


def sections(benches: Mapping[str, Sequence[Run]], recipe: str) -> dict[str, str]:
    """Corpus, and dev if that was scored → the runs of a recipe and its variants: how to make them again.

    Of several benches on a corpus, all but the first are below the names that `benches` has for them.
    """
    found: dict[str, list[str]] = {}
    for name, bench in benches.items():
        if some := [run for run in bench if _recipe(run) == recipe]:
            row = some[0].row
            heading = row["corpus"] if row["split"] == "test" else f"{row['corpus']}, {row['split']}"
            lines = found.setdefault(heading, [])
            lines += ([f"### {name}", ""] if lines else []) + _group(some)
    return {heading: "\n".join(lines) for heading, lines in found.items()}


def _name(bench: Path) -> str:
    """The name of its folder; of what lies in ``dev`` of the folder around it."""
    path = bench.resolve()
    return path.parent.name if path.name == "dev" else path.name


def _recipe(run: Run) -> str:
    """The recipe of a run, of a variant the one that it changes."""
    name = run.row["recipe"]
    variant = f"recipe={name}" in (run.row["setting"] or "").split()
    return Cell.of(run.record, run.folder).recipe if variant else name


def replaced(text: str, new: Mapping[str, str]) -> str:
    """A RESULTS.md with other sections below the headings of `new`; those that it lacks come last."""
    head, *old = re.split(r"^## ", text, flags=re.MULTILINE)
    below = {}
    for section in old:
        name, _, body = section.partition("\n")
        below[name.strip()] = body
    return head + "\n".join(f"## {name}\n\n{body.strip()}\n" for name, body in (below | new).items())


def _group(runs: Sequence[Run]) -> list[str]:
    row = runs[0].row
    once = "scored once; dev tuned scales" if row["split"] == "test" else "some of which tuned scales"
    said = f"{row['split'].capitalize()} split: {row['utterances']} utterances, {row['words']} words, {once}."
    return [
        said,
        "",
        *grid(*table(runs)),
        "",
        *origins(runs),
        "",
    ]


def _cell(value: object) -> str:
    """As results.csv has it."""
    return "" if value is None else str(value)


def main() -> None:
    """Collect every recipe's sections from the benches named on the command line.

    Sections of other corpora stay. What a bench says of its corpus goes to recipes/results/CORPUS; of several
    on one corpus what the first says, and what the others say to folders of their names below that.
    """
    folders = [Path(a) for a in sys.argv[1:]]
    if not folders:
        raise UsageError("no bench is named", fix="scripts/collect-results BENCH_FOLDER...")
    benches = {_name(folder): runs_of(folder) for folder in folders}
    if len(benches) < len(folders):
        raise UsageError("two benches have folders of one name", fix="give them names of their own")
    # whatever is wrong with a run is said before anything is written
    by_recipe = {recipe: sections(benches, recipe) for recipe in recipe_names()}
    taken: set[Path] = set()
    for folder, (name, runs) in zip(folders, benches.items(), strict=True):
        if runs[0].row["split"] != "test":
            continue
        to = RECIPES / "results" / runs[0].row["corpus"]
        if to in taken:
            to /= name
        taken.add(to)
        for pattern in SAID:
            for old in to.glob(pattern):  # a plot that this bench has not drawn is of another one
                old.unlink()
            for new in folder.glob(pattern):
                write_text(to / new.name, new.read_text(encoding="utf-8"))
    for recipe, by_corpus in by_recipe.items():
        path = RECIPES / recipe / "RESULTS.md"
        before = path.read_text(encoding="utf-8") if path.exists() else HEAD.format(recipe=recipe)
        write_text(path, replaced(before, by_corpus))


if __name__ == "__main__":
    try:
        main()
    except AsrError as e:
        sys.exit(f"collect-results: {e}")
