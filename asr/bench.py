"""Many cells, each trained and scored: which share a training, several at a time, resumable."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from asr.cell import Cell
from asr.cores import cores
from asr.data.corpus import Corpus
from asr.errors import AsrError, UsageError
from asr.experiment import CHECKPOINTS, TRAINED, run_cell
from asr.files import Tail, alone, discard_partial, has_system, write_text
from asr.progress import ALARM, EPOCH
from asr.record import COLUMNS, RunRecord
from asr.stages import attribute, stages_path

Row = dict[str, Any]
RunCell = Callable[[Cell, Path, Callable[[str], None]], Row]


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
    epoch
        How far its training is, as in "epoch 8/44", while that says so.
    alarms
        What went wrong in its training in this call, each a line that follows "training".
    """

    cell: Cell
    recipe: str
    folder: Path
    trained_in: Path
    state: str = "waiting"
    row: Row | None = None
    error: str | None = None
    seconds: float = 0.0
    epoch: str = ""
    alarms: list[str] = field(default_factory=list)

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
                elif not has_system(state.folder):
                    what = "its results were kept without its system, which stages take"
                    fix = f"remove {state.folder} to train it again, or leave --stages out"
                    state.state, state.error = "failed", f"{what}; {fix}"
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
    # or else the fork server takes modules from the directory that it is started in, whatever lies there
    os.environ["PYTHONSAFEPATH"] = "1"
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
        # side by side, a cell that waits for the training of another would hold a place for nothing
        order = sorted(states, key=_waits) if jobs > 1 else states
        futures = [pool.submit(work, state) for state in order]
        try:
            for future in futures:
                future.result()
        except BaseException:  # Ctrl-C: do not sit out the cells
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            # again and again: the fork server may still be starting one
            while any(future.running() for future in futures):
                for child in multiprocessing.active_children():
                    child.terminate()
                wait(futures, timeout=0.2)
            raise
        finally:
            pool.shutdown()
    return list(states)


def _waits(state: CellState) -> bool:
    """Whether a cell needs a training that is another's, and not finished."""
    return state.trained_in != state.folder and not (state.trained_in / TRAINED).exists()


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
    began, log = time.perf_counter(), Tail(state.folder / "log.txt")
    with executor() as pool:
        future = pool.submit(_work, run, state.cell, state.folder)
        try:
            while not wait([future], timeout=0.5).done:
                if stop.is_set():
                    future.cancel()
                    return
                with contextlib.suppress(FileNotFoundError):
                    state.state = stage.read_text(encoding="utf-8") or state.state
                _listen(state, log)
                state.seconds = time.perf_counter() - began
                on_change(state)
            row, state.error = future.result()
            state.row = row or state.row  # of a finished cell whose stages cannot be found
        except BrokenProcessPool:
            if stop.is_set():  # by the bench itself
                return
            state.error = "its process was killed (out of memory?)"
        except (Exception, CancelledError) as e:  # what an executor on other machines makes of a lost worker
            state.error = f"its worker was lost ({type(e).__name__}: {e})"
    state.seconds = time.perf_counter() - began
    _listen(state, log)
    if state.error is not None:
        state.error += f"; see {state.folder / 'log.txt'}"
    state.state = "done" if state.error is None else "failed"
    stage.unlink(missing_ok=True)


def _listen(state: CellState, log: Tail) -> None:
    """Take from a cell's log how far its training is, and what goes wrong in it."""
    for line in log.lines():
        if line.startswith(ALARM):
            state.alarms.append(line.removeprefix(ALARM))
        elif line.startswith(EPOCH):
            state.epoch = line.partition(":")[0]
    if state.state != "training":
        state.epoch = ""


def _link(state: CellState) -> None:
    """Give a cell the training of another one, unless it has one of its own."""
    own, other = state.folder / CHECKPOINTS, state.trained_in / CHECKPOINTS
    for link in (own, other):
        if link.is_symlink() and not link.exists():  # the folder it leads to was deleted
            link.unlink()
    if own != other and not own.exists():
        other.mkdir(parents=True, exist_ok=True)
        own.symlink_to(os.path.relpath(other, state.folder), target_is_directory=True)


def apart(run: RunCell, where: Path, cell: Cell, folder: Path, stage: Callable[[str], None]) -> Row:
    """Run a cell in a process of its own, from a worker that lives on: memory and death are the cell's.

    `where`: the directory of the bench, in which paths of the cell and its settings are what they say.

    Raises
    ------
    UsageError
        If another process is at this cell: one that an earlier bench left behind on a worker, perhaps.
    """
    with _only_one(where / folder), process(cores()) as pool:
        pool.submit(os.chdir, where).result()
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
        discard_partial(to, ".", "dev")
        yield
