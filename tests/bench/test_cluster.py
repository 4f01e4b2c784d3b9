"""Cells on a Dask cluster: a scheduler and two workers of this machine."""

import functools
import sys
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from asr.bench import _only_one, apart, plan, run_bench
from asr.cluster import connect
from asr.errors import UsageError

sys.path.insert(0, str(Path(__file__).parent))
import stub


@pytest.fixture
def scheduler():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        yield cluster


def test_a_cluster_gives_the_table_of_this_machine(scheduler, tmp_path):
    cells = stub.cells(hours=(0.1, 0.666, 1.0))
    here = run_bench(plan(cells, tmp_path / "a"), tmp_path / "a", run=stub.run, executor=stub.thread)
    cluster = connect(scheduler.scheduler_address)
    assert cluster.number == 2
    there = run_bench(
        plan(cells, tmp_path / "b"),
        tmp_path / "b",
        run=functools.partial(apart, stub.run, Path.cwd()),
        jobs=cluster.number,
        executor=cluster.executor,
    )
    assert [s.state for s in there] == [s.state for s in here]
    assert sorted(s.state for s in there) == ["done"] * 8 + ["failed"]
    assert (tmp_path / "a" / "results.csv").read_text() == (tmp_path / "b" / "results.csv").read_text()
    # each in a process of its own, whose words are in its log
    assert all("a line of the training" in (s.folder / "log.txt").read_text() for s in there)
    (failed,) = (s for s in there if s.error)
    assert failed.error.startswith("x.wav: utterance u1: holds no samples")


def test_paths_are_those_of_the_bench_wherever_a_worker_is(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    apart(stub.run, tmp_path, stub.cells()[0], Path("run"), lambda _: None)
    assert (tmp_path / "run" / "record.json").exists() and not any((tmp_path / "elsewhere").iterdir())


def test_no_scheduler_is_one_line(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("asr.cluster.ANSWER_S", 0.5)
    with pytest.raises(UsageError, match="no Dask scheduler answers at tcp://"):
        connect("tcp://127.0.0.1:1")


def test_a_scheduler_without_workers_is_one_line():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address=None, protocol="tcp"
        ) as cluster,
        pytest.raises(UsageError, match="has no worker"),
    ):
        connect(cluster.scheduler_address)


def test_a_cell_that_another_process_is_at_is_not_begun(tmp_path):
    (cell,) = stub.cells(hours=(0.5,))[:1]
    with _only_one(tmp_path), pytest.raises(UsageError, match="another bench is running here"):
        apart(stub.run, Path.cwd(), cell, tmp_path, lambda _: None)


def test_a_lost_worker_fails_its_cell_alone(tmp_path):
    class Lost(ThreadPoolExecutor):
        def submit(self, *_, **__):
            future = Future()
            future.set_exception(CancelledError("scheduler gone"))
            return future

    executors = iter([Lost(1), *(stub.thread() for _ in range(2))])
    states = run_bench(
        plan(stub.cells(hours=(1.0,)), tmp_path), tmp_path, run=stub.run, executor=lambda: next(executors)
    )
    assert sorted(s.state for s in states) == ["done", "done", "failed"]
    assert "its worker was lost (CancelledError: scheduler gone)" in states[0].error
