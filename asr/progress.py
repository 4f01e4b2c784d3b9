"""Progress bars and log lines, always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.spinner import Spinner
from rich.text import Text

ALARM = "asr: training "  # begins a line about what goes wrong in one, which a bench shows at once
EPOCH = "epoch "  # begins one about how far it is

console = Console(stderr=True, highlight=False)
T = TypeVar("T")


def bar() -> Progress:
    """A progress display in the house layout; use it as a context manager."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        # rich would take what is printed to a redirected stdout (`asr ... > file`) and show it here instead
        redirect_stdout=sys.stdout.isatty(),
        disable=not console.is_terminal,
    )


def waiting(what: str) -> Live:
    """A context manager that shows `what` while it lasts, where stderr is a terminal."""
    spinner = Spinner("dots", Text(what))
    return Live(spinner, console=console, transient=True, redirect_stdout=sys.stdout.isatty())


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` with a bar named `what`; silent when stderr is no terminal."""
    with bar() as progress:
        yield from progress.track(items, total=total, description=what)
