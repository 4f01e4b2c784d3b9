"""Cells on a Dask cluster: a scheduler and two workers of this machine."""

import sys
from pathlib import Path

import pytest

from asr.bench import plan, run_bench
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
        run=stub.run,
        jobs=cluster.number,
        executor=cluster.executor,
    )
    assert [s.state for s in there] == [s.state for s in here]
    assert sorted(s.state for s in there) == ["done"] * 8 + ["failed"]
    assert (tmp_path / "a" / "results.csv").read_text() == (tmp_path / "b" / "results.csv").read_text()
    (failed,) = (s for s in there if s.error)
    assert failed.error.startswith("x.wav: utterance u1: holds no samples")


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
