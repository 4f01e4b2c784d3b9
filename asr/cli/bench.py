"""`asr bench`: recipes × hour budgets × seeds, their learning curves and the answer."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.bench import CellState
    from asr.design import Hours


def bench(
    conf: Annotated[
        str | None,
        typer.Argument(
            help="A bench file, or the name of one that the toolkit brings; when left out `quick`, and "
            "`default` with --data."
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="A corpus folder made by `asr prepare`; several by several --data, each with its own page.",
        ),
    ] = None,
    recipes: Annotated[str | None, typer.Option(help="Recipes, as in mfcc_hmm,raw_ctc.")] = None,
    hours: Annotated[
        str | None,
        typer.Option(
            help="Hours of training audio, as in 0.1,0.5,all; when neither this option nor CONF names any, "
            "an eighth, a quarter, half and all there is."
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, as in 0,1,2.")] = None,
    texts: Annotated[
        str | None,
        typer.Option(
            help="Words of text for the language model, as in 1000,10000,all, on top of one training; "
            "all of the corpus' text, or its own model, when left out."
        ),
    ] = None,
    split: Annotated[
        Literal["dev", "test"] | None,
        typer.Option(help="What is scored; dev to choose between settings, so that test stays unseen."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one setting of every recipe; each must have it."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="Folder of the results; runs/CONF, or runs/DATA without CONF, when left out. "
            "Each of several corpora gets a folder in it; table and page of dev go to a folder dev there.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Cells at a time; each gets its share of the cores.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run the cells on the workers of a Dask scheduler, as in tcp://host:8786, one a worker; "
            "they must see the same files; --jobs does not count then.",
        ),
    ] = None,
    stages: Annotated[
        bool,
        typer.Option("--stages", help="Also find which stage lost the words: three more searches a cell."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="List the cells with the time they will take, name what is missing, stop."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows and answer as JSON.")] = False,
) -> None:
    """Train and score each recipe at each budget, draw the curves, say which recipe is best where.

    With nothing but `asr bench` a small corpus is synthesised first, and small networks are trained on it.
    Ctrl-C and SIGTERM leave table and page of what is finished; the same command then goes on. A failed
    cell is named and the others go on; audio that cannot be read for scoring is named and counts as deleted.
    The exit code is then 1.
    """
    from asr.bench import apart, plan, report_folder, run_bench, run_cell, run_staged
    from asr.cluster import connect
    from asr.data.corpus import Corpus
    from asr.design import CorpusSettings, load_bench
    from asr.errors import AsrError, DataError, UsageError
    from asr.progress import console
    from asr.report.live import BenchDisplay

    # the settings of `quick` are those of its own corpus
    name = conf or ("default" if data else "quick")
    wanted = load_bench(
        name,
        recipes=_items(recipes),
        hours=_items(hours, float, "--hours", "all"),
        seeds=_items(seeds, int, "--seeds"),
        texts=_items(texts, int, "--texts", "all"),
        split=split,
        jobs=jobs,
        stages=stages or None,
        overrides=settings,
    )
    if not data and not wanted.corpora:
        raise UsageError("no corpus named", fix="give a prepared folder with --data")
    # a dry run needs a corpus only for its budgets, and may come before the preparation
    for given in data or () if not (dry_run and wanted.hours) else ():
        Corpus.open(given)  # one line about a folder that is not prepared, rather than one a cell
    corpora: Sequence[Path | CorpusSettings] = data or wanted.corpora
    alone = len(corpora) == 1
    folder = to or Path("runs") / (data[0].resolve().name if data and alone and not conf else Path(name).stem)
    places: list[tuple[Path | CorpusSettings, Path, Hours | None, Path]] = []
    code = 0
    for one in corpora:
        if isinstance(one, CorpusSettings):
            try:
                one.check()  # of all of them, before the first is trained on
            except DataError as e:
                if alone:
                    raise
                console.print(str(e), style="red", markup=False, soft_wrap=True)
                code = 1
                continue
        corpus, budgets = (one, None) if isinstance(one, Path) else (one.where(), one.hours)
        results = folder if alone else folder / corpus.resolve().name
        if any(results == other for *_, other in places):
            raise UsageError(f"two corpora are named {results.name}", fix="rename the folder of one")
        places.append((one, corpus, budgets, results))
    if not alone and any(folder.glob("*/record.json")):
        there = f"{folder} holds cells of a bench of one corpus; with several each has a folder there"
        console.print(f"{there}: to go on from them move them to its own", soft_wrap=True)
    if dry_run:
        plans = [
            plan(wanted.cells(corpus, budgets), results, stages=wanted.stages)
            for _, corpus, budgets, results in places
        ]
        if not all([_foretell(states, wanted.jobs, cluster is not None) for states in plans]):
            code = 1
        raise typer.Exit(code)
    where: dict[str, Any] = {"jobs": wanted.jobs}
    run = run_staged if wanted.stages else run_cell
    if cluster is not None:
        workers = connect(cluster)
        where = {"jobs": workers.number, "executor": workers.executor}
        run = functools.partial(apart, run, Path.cwd())
    # what stops a container or a job of a cluster: as Ctrl-C does, it leaves a table and a page
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    said = {}
    for one, corpus, budgets, results in places:
        states: list[CellState] | None = None
        stopped = False
        try:
            if isinstance(one, CorpusSettings):
                one.prepared()
            states = plan(wanted.cells(corpus, budgets), results, stages=wanted.stages)
            console.print(
                f"{len(states)} cells on {corpus}, results in {results}", markup=False, soft_wrap=True
            )
            with BenchDisplay(states) as display:
                run_bench(states, results, display.change, run=run, **where)
        except KeyboardInterrupt:
            stopped = True
            if states is None:
                code = 130
                break
        except (AsrError, OSError) as e:
            if alone:
                raise
            console.print(str(e), style="red", markup=False, soft_wrap=True)
            code = 1
            continue
        pages = report_folder(results, wanted.split)
        answer = _report(states, pages, corpus, stopped)
        if as_json:
            said[results.name] = _found(states, answer)
        elif answer is not None:
            if not alone:
                typer.echo(f"\n{corpus.name}")
            _tell(states, answer, pages)
        _name_others(states, results)
        if stopped:
            done = sum(s.row is not None for s in states)
            goes_on = "the same command goes on from here"
            console.print(f"stopped with {done} of {len(states)} cells: {goes_on}", soft_wrap=True)
            code = 130
            break
        if any(s.error is not None or (s.row or {}).get("unreadable") for s in states):
            code = 1
    if as_json:
        typer.echo(json.dumps(next(iter(said.values()), {}) if alone else said, indent=2, ensure_ascii=False))
    if code:
        raise typer.Exit(code)


def _foretell(states: Sequence[CellState], jobs: int, elsewhere: bool) -> bool:
    """Cells, and what the unfinished ones will probably take, to stdout; whether none is to fail.

    `elsewhere`: whether other machines will run them.
    """
    from asr.data.corpus import Corpus
    from asr.estimate import estimates

    costs, sound = estimates(states), True
    labels = {s.folder: s.label for s in states}
    most = math.inf
    if states and (states[0].cell.corpus / "corpus.json").exists():
        most = Corpus.open(states[0].cell.corpus).splits.get("train", {}).get("hours", math.inf)
    for state, cost in zip(states, costs, strict=True):
        about = f", about {cost.minutes:.1f} min and {cost.megabytes:.0f} MB" if cost else ""
        if state.row is None and state.error is None and state.trained_in != state.folder:
            about += f", with the training of {labels.get(state.trained_in, state.trained_in)}"
        if (why := _missing(state, most, elsewhere)) is not None:
            about, sound = why, False
        typer.echo(f"{state.label}: {state.state}{about}, {state.folder}")
    waiting = sum(s.state == "waiting" for s in states)
    minutes = sum(c.minutes for c in costs if c) / min(jobs, max(1, waiting))
    told = [c for c in costs if c is not None]
    if told:
        typer.echo(
            f"{len(told)} of {waiting} waiting cells: about {minutes:.0f} minutes, {jobs} at a time, "
            f"and {sum(c.megabytes for c in told):.0f} MB"
        )
    elif waiting:
        typer.echo("no estimate: no cell of these recipes is finished in this folder yet")
    return sound


def _missing(state: CellState, most: float, elsewhere: bool) -> str | None:
    """Why a cell has failed or will fail, as far as can be told; `most` hours of training audio are there."""
    from asr.data.budget import TOLERANCE
    from asr.errors import AsrError
    from asr.experiment import CHECKPOINTS, require

    if state.error is not None:
        return f": {state.error}"
    if state.row is not None:
        return None
    if (state.cell.hours or 0.0) > most * (1 + TOLERANCE):
        return f", will fail: there are {most:.3g} h of training audio"
    try:
        require(state.cell.settings(), state.folder, state.trained_in / CHECKPOINTS, elsewhere)
    except AsrError as e:
        return f", will fail: {e}"
    return None


def _report(states: Sequence[CellState], folder: Path, corpus: Path, stopped: bool) -> list[str] | None:
    """Write table, page and plots; the answer, or None where the bench was stopped before its first cell."""
    from asr.cli.train import name_unreadable
    from asr.record import provenance
    from asr.report import write_report

    finished = [s.folder for s in states if s.row is not None]
    if stopped and not finished:
        return None
    failed = {s.label: s.error for s in states if s.error is not None}
    answer = write_report(folder, finished, failed, provenance(), corpus)
    # the cells name it in their log.txt alone; all of them score the same split
    if lost := {s.folder: s.row["split"] for s in states if s.row is not None and s.row.get("unreadable")}:
        name_unreadable(corpus, next(iter(lost.values())), list(lost))
    return answer


def _name_others(states: Sequence[CellState], folder: Path) -> None:
    """Say how many finished cells of the folder are in neither table nor page."""
    from asr.progress import console

    listed = {s.folder.resolve() for s in states}
    if others := sum(found.parent.resolve() not in listed for found in folder.glob("*/record.json")):
        why = "this bench asks for other hours, seeds, options, recipes, corpus or split"
        console.print(f"not in table and page: {others} finished cells there; {why}", soft_wrap=True)


def _items(text: str | None, kind: type = str, option: str = "", word: str | None = None) -> list[Any] | None:
    """The items of a comma-separated list, each of a kind, or a word that stands for itself."""
    from asr.errors import UsageError

    found = []
    for item in (part.strip() for part in text.split(",")) if text else ():
        try:
            found.append(item if item == word else kind(item))
        except ValueError as e:
            raise UsageError(f"{option}: {item!r} is no number", fix="separate numbers by commas") from e
    return found or None


def _best(states: Sequence[CellState]) -> Path | None:
    """The run to use: of those with the most hours whose models are there, the best on its part of dev.

    A part of dev tells recipes of one budget apart better than the budgets of one recipe, which differ less.
    """
    from asr.record import RunRecord

    there = [s for s in states if s.row is not None and (s.folder / "system" / "system.json").exists()]
    tuned = [
        (-float(record.row["hours"]), record.tuning[-1]["wer"], state.folder)
        for state in there
        if (record := RunRecord.load(state.folder)).tuning
    ]
    return min(tuned, default=(None, None, None))[2]


def _command() -> str:
    """How `asr` is to be typed here: by its path where the shell does not find it."""
    own = Path(sys.executable).parent / "asr"
    return "asr" if shutil.which("asr") or not own.exists() else os.path.relpath(own)


def _found(states: Sequence[CellState], answer: Sequence[str] | None) -> dict[str, Any]:
    """Rows, failures and answer, as JSON has them."""
    rows = [s.row for s in states if s.row is not None]
    failed = {s.label: s.error for s in states if s.error is not None}
    best = _best(states)
    alarms: dict[str, list[str]] = {}
    for label, alarm in _alarms(states):
        alarms.setdefault(label, []).append(alarm)
    found = {"rows": rows, "failed": failed, "alarms": alarms}
    return found | {"answer": answer, "best": best and str(best)}


def _alarms(states: Sequence[CellState]) -> list[tuple[str, str]]:
    """What went wrong in each training, by the first cell that has it."""
    from asr.record import RunRecord, alarms_of

    return alarms_of((s.label, RunRecord.load(s.folder)) for s in states if s.row is not None)


def _tell(states: Sequence[CellState], answer: Sequence[str], folder: Path) -> None:
    """Rows, failures and answer, to stdout; the answer last."""
    from rich.console import Console
    from rich.table import Table

    from asr.report.figures import hours_text, unreadable_text, words_text

    texts = len({s.row["text_words"] for s in states if s.row is not None}) > 1
    table = Table(box=None, pad_edge=False)
    for name in (
        "recipe",
        "hours",
        *(["text"] if texts else []),
        "seed",
        "WER %",
        "95% interval",
        "train s",
        "RTF",
    ):
        table.add_column(name, justify="left" if name == "recipe" else "right", no_wrap=True)
    for row in (s.row for s in states if s.row is not None):
        figures = ["-", "-"]
        if row["wer"] is not None:
            figures[0] = f"{row['wer']:.1f}"
        if row["wer_low"] is not None:
            figures[1] = f"{row['wer_low']:.1f} to {row['wer_high']:.1f}"
        speed = [
            "-" if row[column] is None else f"{row[column]:.{digits}f}"
            for column, digits in (("train_s", 0), ("decode_rtf", 4))
        ]
        text = [words_text(row["text_words"])] if texts else []
        table.add_row(row["recipe"], hours_text(row["hours"]), *text, str(row["seed"]), *figures, *speed)
    Console(highlight=False).print(table)
    for state in states:
        if state.row is not None and (lost := unreadable_text(state.row)):
            typer.echo(f"{state.label}: {lost}")
        if state.error is not None:
            typer.echo(f"failed: {state.label}: {state.error}")
    for label, alarm in _alarms(states):
        typer.echo(f"{label}: training {alarm}")
    typer.echo("Intervals of the table are of single cells, over utterances; those below hold more.")
    typer.echo(f"\ntable {folder / 'results.csv'}, page {folder / 'report.html'}\n")
    for line in answer:
        typer.echo(line)
    if (best := _best(states)) is not None:
        typer.echo(f"listen: {_command()} transcribe AUDIO --model {best}")
