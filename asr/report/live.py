"""The progress of a bench: a live table on a terminal, a line a change elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from asr.progress import console

if TYPE_CHECKING:
    from asr.bench import CellState

FINAL = ("done", "kept", "failed")


class BenchDisplay:
    """Shows cells on stderr; use it as a context manager and give `change` to `asr.bench.run_bench`."""

    def __init__(self, states: Sequence[CellState]) -> None:
        self.states = states
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=2, transient=True)
        self._told: dict[int, str] = {}
        self._warned: dict[int, int] = {}

    def __enter__(self) -> BenchDisplay:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def change(self, state: CellState) -> None:
        """Tell what goes wrong in a cell's training and, where no live table does, what it is at."""
        for alarm in state.alarms[self._warned.get(id(state), 0) :]:
            line = f"asr: {state.label}: training {alarm}"
            console.print(line, style="yellow", markup=False, soft_wrap=True)
        self._warned[id(state)] = len(state.alarms)
        if console.is_terminal or self._told.get(id(state)) == state.state:
            return
        self._told[id(state)] = state.state
        number = next(i for i, s in enumerate(self.states, 1) if s is state)
        line = f"[{number}/{len(self.states)}] {state.label}: {state.state}"
        if state.row is not None:
            line += f", WER {_wer(state)}%"
        if state.state in ("done", "failed"):
            line += f", {_clock(state.seconds)}"
        if state.error is not None:
            line += f": {state.error}"
        console.print(line, markup=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, caption=self._caption(), caption_justify="left")
        for name in ("cell", "state", "WER %", "time"):
            table.add_column(name, justify="right" if name in ("WER %", "time") else "left", no_wrap=True)
        for s in self._window():
            style = {"failed": "red", "waiting": "dim", "done": "green", "kept": "green"}.get(s.state, "bold")
            time = "" if s.state in ("waiting", "kept") else _clock(s.seconds)
            at = f"{s.state}, {s.epoch}" if s.epoch else s.state
            table.add_row(s.label, at, _wer(s) if s.row else "", time, style=style)
        return table

    def _window(self) -> Sequence[CellState]:
        """As many cells as the terminal has lines for, the running one among them."""
        room = max(3, console.height - 5)
        running = next((i for i, s in enumerate(self.states) if s.state not in FINAL), len(self.states))
        start = max(0, min(running - room // 2, len(self.states) - room))
        return self.states[start : start + room]

    def _caption(self) -> str:
        over = sum(s.state in FINAL for s in self.states)
        return f"{over} of {len(self.states)} cells, {_clock(sum(s.seconds for s in self.states))}"


def _wer(state: CellState) -> str:
    wer = state.row["wer"] if state.row else None
    return "-" if wer is None else f"{wer:.1f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
