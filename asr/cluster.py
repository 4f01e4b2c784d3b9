"""Cells on the workers of a Dask cluster."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple

from asr.errors import UsageError

ANSWER_S = 10.0  # for the scheduler to answer


class Cluster(NamedTuple):
    """Where `asr.bench.run_bench` runs its cells.

    Attributes
    ----------
    executor
        Makes the executor that a cell runs in.
    number
        How many cells run at a time.
    """

    executor: Callable[[], Executor]
    number: int


def connect(address: str) -> Cluster:
    """The workers that a Dask scheduler has now.

    They must see the same files under the same paths, and have this package. Start them with one thread, for
    one cell at a time, and without a nanny, which would allow them no processes of their own:
    ``dask worker --nthreads 1 --no-nanny ADDRESS``.

    Raises
    ------
    UsageError
        If the package `distributed` is missing, no scheduler answers, or it has no worker.
    """
    try:
        from distributed import Client
    except ImportError as e:
        raise UsageError("a cluster needs the package distributed", fix="pip install distributed") from e
    try:
        client = Client(address, timeout=ANSWER_S)
    except (OSError, ValueError) as e:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({e})", fix="start one with `dask scheduler`"
        ) from e
    workers = len(client.scheduler_info()["workers"])
    if not workers:
        start = f"dask worker --nthreads 1 --no-nanny {address}"
        raise UsageError(f"the scheduler at {address} has no worker", fix=f"start some with `{start}`")
    atexit.register(client.close)  # or its threads complain of the lost connection
    # a cell that killed its worker is named, not sent to the next one
    client.run_on_scheduler(_kill_no_others)
    return Cluster(lambda: client.get_executor(pure=False, retries=0), workers)


def _kill_no_others(dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = 0
