"""Recipes × hour budgets × seeds: every cell trained and scored, one after the other, resumable."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch
from threadpoolctl import threadpool_limits

from asr.config import Settings, load_yaml, parse, resource
from asr.cores import cores
from asr.data.corpora import FILES, preparer
from asr.data.corpus import Corpus
from asr.errors import AsrError, ConfigError, DataError, UsageError
from asr.experiment import CHECKPOINTS, TRAINED, Cell, recipe_settings, run_cell
from asr.files import alone, content_hash, write_text
from asr.record import COLUMNS, RunRecord
from asr.stages import attribute, stages_path

PARTS = (8, 4, 2)  # of the train split, where no hours are given; then all of it

VARIANT = re.compile(r"[^\W\d][\w.+-]*")  # names of variants, and of their folders
Row = dict[str, Any]
Hours = tuple[float | Literal["all"], ...]
RunCell = Callable[[Cell, Path, Callable[[str], None]], Row]


class CorpusSettings(Settings):
    """A corpus of a bench file: prepared where it is absent."""

    # as for `asr prepare`
    name: str
    # its raw data; the embedded corpus needs none
    source: Path | None = None
    # arguments of its preparation
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    # where it is prepared; by default below data/, other options in another folder
    folder: Path | None = None
    # instead of the hours of the bench
    hours: Hours | None = None

    def where(self) -> Path:
        """The folder it is, or is to be, prepared in; UsageError where an option names a file that is not."""
        if self.folder is not None:
            return self.folder
        # what is read of a text or a lexicon that they name counts, not only its path
        digest = content_hash(json.dumps([str(self.source), self.options], sort_keys=True), *self._files())
        return Path("data") / f"{self.name}-{digest[:6]}"

    def _files(self) -> list[Path]:
        """The texts and lexicons that options name; UsageError where one is not there."""
        files = [Path(str(self.options[name])) for name in FILES if self.options.get(name) is not None]
        if missing := next((f for f in files if not os.path.isfile(f)), None):
            fix = "correct the path, or name a folder that was prepared from it with `folder:`"
            raise UsageError("corpora: an option names no file", path=missing, fix=fix)
        return files

    def check(self) -> None:
        """Raise what can be told before anything is prepared or trained.

        Raises
        ------
        ConfigError
            If it does not take one of the options.
        UsageError
            If no such corpus is known, it needs raw data and none are named, or an option names no file.
        """
        if self.folder is not None and (self.folder / "corpus.json").exists():
            return
        entry = preparer(self.name)
        if unknown := sorted(set(self.options) - set(entry.options)):
            takes = ", ".join(entry.options) or "none"
            raise ConfigError(f"corpus.options: {unknown[0]!r} is unknown", fix=f"{self.name} takes: {takes}")
        self._files()
        prepared = (self.where() / "corpus.json").exists()
        if self.source is None and not entry.embedded and not prepared:
            raise UsageError(f"corpora: no source of {self.name} named", fix="add `source:`, its raw data")

    def prepared(self) -> Path:
        """The prepared folder, made now if need be."""
        self.check()
        folder = self.where()
        if not (folder / "corpus.json").exists():
            preparer(self.name).prepare(self.source, folder, **self.options)
        return folder


class Variant(Settings):
    """A recipe with other settings, for a curve of its own: transfer, two tasks, another language model."""

    # the recipe's name or path; what `set` of the bench says of it holds here, too
    of: str
    # `a.b=c` assignments
    set: tuple[str, ...] = pydantic.Field(min_length=1)


class BenchSettings(Settings):
    """A bench file: what is compared on what."""

    # each with table, page and answer of its own; none where the command line names prepared folders
    corpora: tuple[CorpusSettings, ...] = ()
    # recipe names, paths of recipe.yaml files, or names of `variants`
    recipes: tuple[str, ...]
    # name → what it is
    variants: dict[str, Variant] = pydantic.Field(default_factory=dict)
    # hours of training audio; "all" for the whole train split. None: an eighth, a quarter, half and all of it
    hours: Hours | None = None
    seeds: tuple[int, ...] = (0,)
    # words of text for the language model; "all" for the whole lm.txt, or the corpus' own model
    texts: tuple[int | Literal["all"], ...] = ("all",)
    # what is scored; dev to choose between settings, so that test stays unseen
    split: Literal["dev", "test"] = "test"
    # cells at a time; each gets its share of the cores
    jobs: int = pydantic.Field(1, ge=1)
    # whether to find out which stage lost the words, by more searches of that split
    stages: bool = False
    # `a.b=c` overrides under the name of a recipe, or under `all`
    set: dict[str, tuple[str, ...]] = pydantic.Field(default_factory=dict)

    def cells(self, corpus: Path, hours: Hours | None = None) -> list[Cell]:
        """The cells on a prepared corpus: the cheap budgets first, so that a curve shows early.

        Parameters
        ----------
        corpus
            Its folder.
        hours
            Instead of those of the bench.

        Raises
        ------
        DataError
            If no hours are given and the corpus has no training audio.
        """
        wanted = hours or self.hours or _doubling(corpus)
        budgets = sorted(wanted, key=lambda h: math.inf if h == "all" else h)
        return [
            Cell(
                corpus,
                self.base(recipe),
                None if hours == "all" else hours,
                seed,
                self.overrides(recipe),
                None if words == "all" else words,
                self.split,
            )
            for hours in budgets
            # cells that share a training lie apart: side by side, one would wait for the other
            for words in self.texts
            for recipe in self.recipes
            for seed in self.seeds
        ]

    def base(self, name: str) -> str:
        """Name or path of the recipe behind one of `recipes`."""
        return self.variants[name].of if name in self.variants else name

    def overrides(self, name: str) -> tuple[str, ...]:
        """The assignments for one of `recipes`."""
        given = [*self.set.get("all", ()), *self.set.get(self.base(name), ())]
        if name in self.variants:
            given += [f"recipe={name}", *self.variants[name].set, *self.set.get(name, ())]
        return tuple(
            reversed(dict.fromkeys(reversed(given)))
        )  # what is said twice, as on the command line, once

    def absolute(self) -> BenchSettings:
        """The same with full paths of recipe files, for workers that have a directory of their own."""

        def full(recipe: str) -> str:
            return str(Path(recipe).resolve()) if Path(recipe).suffix in (".yaml", ".yml") else recipe

        variants = {n: v.model_copy(update={"of": full(v.of)}) for n, v in self.variants.items()}
        changes = {full(name): given for name, given in self.set.items()}
        recipes = tuple(map(full, self.recipes))
        return self.model_copy(update={"recipes": recipes, "variants": variants, "set": changes})


def _doubling(corpus: Path) -> Hours:
    """Budgets that double up to all of the train split, with two digits; before it is prepared only all."""
    if not (corpus / "corpus.json").exists():
        return ("all",)
    hours = Corpus.open(corpus).splits.get("train", {}).get("hours", 0.0)
    if not hours:
        raise DataError("no training audio", path=corpus, fix="look at it with `asr check`")
    return (*(float(f"{hours / part:.2g}") for part in PARTS), "all")


def load_bench(conf: str | Path, overrides: Sequence[str] | None = None, **changes: Any) -> BenchSettings:
    """Settings of a bench file, by path or by the name of one that the toolkit brings (``quick``).

    Parameters
    ----------
    conf
        Path or name.
    overrides
        ``a.b=c`` assignments for every recipe, after those of the file.
    changes
        Fields to replace; None leaves a field as the file has it.

    Raises
    ------
    ConfigError
        If the file, a field, a recipe or one of its settings is unusable, a budget is not positive, or two
        recipes have one name.
    """
    path = Path(conf)
    if path.suffix not in (".yaml", ".yml"):
        try:
            path = resource("conf", f"bench/{conf}.yaml")
        except ConfigError as e:
            names = ", ".join(sorted(p.stem for p in resource("conf", "bench").glob("*.yaml")))
            raise ConfigError(
                f"no bench {str(conf)!r}", fix=f"name one of {names}, or a .yaml file of your own"
            ) from e
    value = load_yaml(path) | {k: v for k, v in changes.items() if v is not None}
    settings = parse(BenchSettings, value, path)
    if changes.get("hours") is not None:
        corpora = tuple(c.model_copy(update={"hours": None}) for c in settings.corpora)
        settings = settings.model_copy(update={"corpora": corpora})
    lists = {name: getattr(settings, name) for name in ("recipes", "hours", "seeds", "texts")}
    own = {f"corpora.{n}.hours": c.hours for n, c in enumerate(settings.corpora)}
    for name, given in (lists | own).items():
        where = path if changes.get(name) is None else None  # else from the command line
        if given is not None and (not given or len(set(given)) < len(given)):
            raise ConfigError(f"{name}: empty, or a value appears twice", path=where)
        if name not in ("recipes", "seeds") and any(x != "all" and not x > 0 for x in given or ()):
            raise ConfigError(f"{name}: not above zero", path=where)
    if changes.get("recipes") is None:
        known = {"all", *settings.recipes, *map(settings.base, settings.recipes)}
        if unknown := next((name for name in settings.set if name not in known), None):
            raise ConfigError(f"set: {unknown!r} is no recipe of this bench", path=path, fix="or write `all`")
        if odd := next((name for name in settings.variants if not VARIANT.fullmatch(name)), None):
            fix = "begin with a letter and use letters, digits and _ . + - only: folders are named after it"
            raise ConfigError(f"variants: {odd!r} cannot be a name", path=path, fix=fix)
        if unknown := next((name for name in settings.variants if name not in settings.recipes), None):
            raise ConfigError(f"variants: {unknown!r} is not among `recipes`", path=path, fix="list it there")
    if overrides:
        extended = {name: settings.set.get(name, ()) + tuple(overrides) for name in settings.recipes}
        settings = settings.model_copy(update={"set": dict(settings.set) | extended})
    named: dict[str, str] = {}
    for recipe in settings.recipes:
        name = recipe_settings(settings.base(recipe), settings.overrides(recipe)).recipe
        if recipe in settings.variants and name != recipe:
            raise ConfigError(f"variants: {recipe!r} is given another name, {name!r}", path=path)
        if name in named:  # table and curves know recipes by name: the two would be taken for seeds of one
            raise ConfigError(
                f"recipes: {named[name]} and {recipe} are both named {name!r}",
                path=path,
                fix="give one of them another `recipe:`",
            )
        named[name] = recipe
    return settings


@dataclass
class CellState:
    """How far one cell is.

    Attributes
    ----------
    recipe
        The name that tables and curves know it by.
    trained_in
        The run folder that holds its training: its own, or that of a cell before it which needs the same one.
    state
        ``waiting``, ``done`` (in this call), ``kept`` (finished before), ``failed``, or the stage it is in.
    row
        Its line of results.csv, once finished.
    error
        Why it failed.
    seconds
        Wall-clock time in this call.
    """

    cell: Cell
    recipe: str
    folder: Path
    trained_in: Path
    state: str = "waiting"
    row: Row | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def label(self) -> str:
        """Recipe, hours, seed and text, for people."""
        hours = "all hours" if self.cell.hours is None else f"{self.cell.hours:g} h"
        text = "" if self.cell.words is None else f", {self.cell.words} words of text"
        return f"{self.recipe}, {hours}, seed {self.cell.seed}{text}"


def plan(cells: Sequence[Cell], to: Path, *, stages: bool = False) -> list[CellState]:
    """Each cell with its run folder below `to`; finished ones carry their row.

    With `stages`, a cell is finished when its losses are known, too. Cells that need the same training
    share it: those that differ in text or in the split alone, and those that search the two outputs of one
    encoder. A training is taken from any finished cell below `to`.

    Raises
    ------
    ConfigError
        If a recipe or an override is unknown: before any time is spent.
    """
    states = []
    where = [(cell.training(), to / cell.folder_name()) for cell in cells]
    finished = []
    for path in sorted(to.glob("*/record.json")):
        with contextlib.suppress(AsrError):
            finished.append((str(RunRecord.load(path.parent).training), path.parent))
    # a finished training is shared before one that the first cell would begin
    ready = [
        (key, folder)
        for key, folder in where + finished
        if (folder / TRAINED).exists() and not (folder / CHECKPOINTS).is_symlink()
    ]
    trainings: dict[str, Path] = {}
    for key, folder in ready + where:
        trainings.setdefault(key, folder)
    for cell, (key, folder) in zip(cells, where, strict=True):
        state = CellState(cell, cell.settings().recipe, folder, trainings[key])
        if (state.folder / "record.json").exists():
            try:
                state.row = RunRecord.load(state.folder).row
                if not stages or stages_path(state.folder, state.row["split"]).exists():
                    state.state = "kept"
            except AsrError as e:
                state.state, state.error = "failed", str(e)
        states.append(state)
    return states


def report_folder(to: Path, split: str) -> Path:
    """Where table and page of a bench below `to` go: those of dev leave those of test as they are."""
    return to if split == "test" else to / split


def run_staged(cell: Cell, folder: Path, stage: Callable[[str], None] = lambda _: None) -> Row:
    """`run_cell`, and which stage lost the words of its split."""
    row = run_cell(cell, folder, stage)
    if not stages_path(folder, row["split"]).exists():
        stage("finding the stages that lost words")
        attribute(folder, Corpus.open(cell.corpus), row["split"])
    return row


def process(threads: int = 0) -> Executor:
    """One fresh process for one cell, with so many threads (0: one a core).

    Its peak memory is then the cell's own and its death the cell's alone. The fork server has imported the
    heavy packages once, so a cell starts in milliseconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["asr.experiment"])
    return ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(threads,))


def run_bench(
    states: Sequence[CellState],
    to: Path,
    on_change: Callable[[CellState], None] = lambda _: None,
    *,
    jobs: int = 1,
    run: RunCell = run_cell,
    executor: Callable[[], Executor] | None = None,
) -> list[CellState]:
    """Run what is unfinished, rewriting results.csv whole after each cell; a failed cell stops no other.

    Parameters
    ----------
    states
        From `plan`.
    to
        Folder of the run folders, and by `report_folder` of results.csv.
    on_change
        Called about twice a second, and on each change, with a running cell; never twice at a time.
    jobs
        Cells at a time; each gets its share of the cores.
    run
        Trains and scores one cell in its folder.
    executor
        Makes the executor a cell runs in; any `concurrent.futures` one will do. None: `process`.

    Raises
    ------
    UsageError
        If another bench is writing to the same folder.
    """
    make = executor or functools.partial(process, max(1, cores() // jobs))
    turn, stop = threading.Lock(), threading.Event()
    table = report_folder(to, states[0].cell.split if states else "test") / "results.csv"

    def changed(state: CellState) -> None:
        with turn:
            on_change(state)

    def work(state: CellState) -> None:
        if state.state == "waiting":
            _run_one(state, changed, run, make, stop)
        changed(state)
        with turn:
            write_results(states, table)

    with _only_one(to):
        write_results(states, table)
        pool = ThreadPoolExecutor(jobs)
        try:
            for future in [pool.submit(work, state) for state in states]:
                future.result()
        except BaseException:  # Ctrl-C: do not sit out the cells
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        finally:
            pool.shutdown()
    return list(states)


def write_results(states: Sequence[CellState], path: Path) -> None:
    """Write the rows of the finished cells; a figure that does not apply is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(s.row for s in states if s.row is not None)
    write_text(path, text.getvalue())


def _run_one(
    state: CellState,
    on_change: Callable[[CellState], None],
    run: RunCell,
    executor: Callable[[], Executor],
    stop: threading.Event,
) -> None:
    stage = state.folder / "stage.txt"
    try:
        if state.cell.folder_name() != state.folder.name:
            what = "its recipe or corpus was changed meanwhile: run the bench again"
            state.state, state.error = "failed", what
            return
        state.folder.mkdir(parents=True, exist_ok=True)
        _link(state)
        stage.unlink(missing_ok=True)
    except (AsrError, OSError) as e:
        state.state, state.error = "failed", str(e)
        return
    state.state = "starting"
    began = time.perf_counter()
    with executor() as pool:
        future = pool.submit(_work, run, state.cell, state.folder)
        try:
            while not wait([future], timeout=0.5).done:
                if stop.is_set():
                    future.cancel()
                    return
                with contextlib.suppress(FileNotFoundError):
                    state.state = stage.read_text(encoding="utf-8") or state.state
                state.seconds = time.perf_counter() - began
                on_change(state)
            state.row, state.error = future.result()
        except BrokenProcessPool:
            if stop.is_set():  # by the bench itself
                return
            state.error = "its process was killed (out of memory?)"
        except (Exception, CancelledError) as e:  # what an executor on other machines makes of a lost worker
            state.error = f"its worker was lost ({type(e).__name__}: {e})"
    state.seconds = time.perf_counter() - began
    if state.error is not None:
        state.error += f"; see {state.folder / 'log.txt'}"
    state.state = "done" if state.error is None else "failed"
    stage.unlink(missing_ok=True)


def _link(state: CellState) -> None:
    """Give a cell the training of another one, unless it has one of its own."""
    own, other = state.folder / CHECKPOINTS, state.trained_in / CHECKPOINTS
    for link in (own, other):
        if link.is_symlink() and not link.exists():  # the folder it leads to was deleted
            link.unlink()
    if own != other and not own.exists():
        other.mkdir(parents=True, exist_ok=True)
        own.symlink_to(os.path.relpath(other, state.folder), target_is_directory=True)


def apart(run: RunCell, cell: Cell, folder: Path, stage: Callable[[str], None]) -> Row:
    """Run a cell in a process of its own, from a worker that lives on: memory and death are the cell's.

    Raises
    ------
    UsageError
        If another process is at this cell: one that an earlier bench left behind on a worker, perhaps.
    """
    with _only_one(folder), process(cores()) as pool:
        row, error = pool.submit(_work, run, cell, folder).result()
    if row is None:
        raise AsrError(error or "failed")
    return row


def _work(run: RunCell, cell: Cell, folder: Path) -> tuple[Row | None, str | None]:
    """Run a cell where the executor put us; what it prints goes to the run's log.txt."""
    if multiprocessing.parent_process() is not None:
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
    try:
        return run(cell, folder, lambda stage: write_text(folder / "stage.txt", stage)), None
    except AsrError as e:
        print(f"asr: error: {e}", file=sys.stderr)
        return None, str(e)
    except Exception as e:
        traceback.print_exc()
        return None, f"{type(e).__name__}: {e}"


def _begin(threads: int) -> None:
    """Take no more than the cell's share of the cores, and end as soon as the bench is gone, be it killed.

    Two processes must never write one run.
    """
    if threads:
        torch.set_num_threads(threads)
        threadpool_limits(threads)  # NumPy's and SciPy's BLAS, for as long as the process lives
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _only_one(to: Path) -> Iterator[None]:
    def busy() -> None:
        raise UsageError("another bench is running here", path=to, fix="wait for it, or give another --to")

    with alone(to, busy):
        yield
