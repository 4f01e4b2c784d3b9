"""Processes that share each batch make the losses of one process with all of it."""

from __future__ import annotations

import csv
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from asr.errors import ModelError
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.networks.batches import Batch
from asr.models.networks.parallel import BatchNorm, count_only, world
from tests.models.test_ctc import LEXICON, SMALL, one_thread, tone_cuts, waves_of

__all__ = ["one_thread"]


def test_parts_of_a_batch_are_the_batch() -> None:
    batch = Batch(
        torch.arange(12.0).view(3, 4),
        torch.tensor([4, 3, 2]),
        torch.tensor([1, 2, 3, 4, 5, 6]),
        torch.tensor([2, 1, 3]),
        (torch.tensor([7, 8, 9]), torch.tensor([1, 1, 1])),
    )
    first, second = batch.part(0, 2), batch.part(1, 2)
    assert first.samples.tolist() == [4, 2] and second.samples.tolist() == [3]
    assert first.targets.tolist() == [1, 2, 4, 5, 6] and second.targets.tolist() == [3]
    assert first.second is not None and first.second[0].tolist() == [7, 9]
    assert first.waveforms.tolist() == batch.waveforms[[0, 2]].tolist()
    assert batch.part(3, 4).samples.tolist() == [4]  # there is none for it; it counts for nothing


def normalised(number: int, address: str, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=address, rank=number, world_size=2)
    assert world() == (number, 2)
    torch.save(outcome(slice(number, None, 2)), f"{folder}/{number}.pt")
    distributed.destroy_process_group()


def outcome(rows: slice, counts: bool = True) -> dict[str, torch.Tensor]:
    """Output and gradients of some rows of a batch, and what the layer remembers of all of it."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(6, 3, 5, generator=generator) * 4 + 2)[rows].requires_grad_()
    weight = torch.randn(6, 3, 5, generator=generator)[rows]
    layer = BatchNorm(3)
    count_only(layer, counts)
    y = layer(x)
    (y * weight).sum().backward()
    return {"y": y.detach(), "x": x.grad, "mean": layer.running_mean, "variance": layer.running_var}


def stood_in(number: int, address: str, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=address, rank=number, world_size=3)
    torch.save(outcome(slice(min(number, 1), min(number, 1) + 1), number < 2), f"{folder}/{number}.pt")
    distributed.destroy_process_group()


def test_batch_norm_counts_no_stand_in(tmp_path: Path) -> None:
    multiprocessing.spawn(stood_in, (f"file://{tmp_path}/meet", str(tmp_path)), nprocs=3)
    whole = outcome(slice(0, 2))
    for number in range(2):
        part = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        torch.testing.assert_close(part["y"], whole["y"][number : number + 1], rtol=1e-4, atol=1e-5)
        for name in ("mean", "variance"):
            torch.testing.assert_close(part[name], whole[name], rtol=1e-5, atol=1e-6)


def test_batch_norm_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    multiprocessing.spawn(normalised, (f"file://{tmp_path}/meet", str(tmp_path)), nprocs=2)
    whole = outcome(slice(None))
    for number in range(2):
        part = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        for name in ("y", "x"):
            torch.testing.assert_close(part[name], whole[name][number::2], rtol=1e-4, atol=1e-5)
        for name in ("mean", "variance"):
            torch.testing.assert_close(part[name], whole[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [None, pytest.param(0.5, marks=pytest.mark.slow)])
def test_two_processes_have_the_losses_of_one(tmp_path: Path, share: float | None) -> None:
    """Fifty steps and more, with flat start and denominator; the network at the end is the same one, too."""
    cuts, losses, scores = tone_cuts(tmp_path / "wav", 8), [], []
    for processes in (1, 2):
        settings = CtcSettings(
            epochs=14,
            learning_rate=2e-3,
            processes=processes,
            phoneme_share=share,
            precision="32-true",
            average=0.5,
            **SMALL,
        )
        model, folder = Ctc(settings, LEXICON, seed=1), tmp_path / f"{processes}"
        model.fit(cuts, cuts, folder)
        with open(folder / "metrics.csv", newline="") as f:
            losses.append([float(row["loss"]) for row in csv.DictReader(f) if row["loss"]])
        scores.append(np.exp(model.emit(waves_of(cuts)[:1], 8000)[0].scores))
    one, two = losses
    assert len(one) == len(two) >= 5 and one[-1] < 0.7 * one[0]
    np.testing.assert_allclose(two, one, atol=1e-3)
    # the gradient of a bias before a batch normalisation is rounding noise, which the running means follow
    np.testing.assert_allclose(scores[1], scores[0], atol=0.05)


@pytest.mark.slow
def test_a_process_that_is_killed_is_named(tmp_path: Path) -> None:
    def kill_one() -> None:
        for _ in range(1200):
            time.sleep(0.1)
            if (tmp_path / "run" / "metrics.csv").exists():
                return multiprocessing.active_children()[0].kill()

    cuts = tone_cuts(tmp_path / "wav", 8)
    model = Ctc(CtcSettings(epochs=500, processes=2, **SMALL), LEXICON, seed=1)
    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with pytest.raises(ModelError, match=r"process \d of 2 was killed.*run it again"):
        model.fit(cuts, cuts, tmp_path / "run")
