"""What Lightning, logs, alarms and checkpoints cost beside a bare loop over the same batches."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet

from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.training import CtcTraining
from asr.models.networks.batches import Ahead, Batches, Utterances
from asr.models.networks.fit import fit
from asr.models.networks.network import Network
from asr.models.networks.resume import Resume
from tests.models.test_ctc import cut_of, one_thread

__all__ = ["one_thread"]
UNITS, PASSES, BATCH_S = 40, 1, 60.0


def now() -> np.ndarray:
    """CPU seconds of this process, and those of the clock."""
    return np.array([time.process_time(), time.monotonic()])


@pytest.mark.slow
def test_training_is_nearly_as_fast_as_a_bare_loop(tmp_path: Path) -> None:
    """At least 0.95 of its audio per CPU second: half an hour of it, smaller batches than those of 2 h.

    CPU seconds, since by the clock whatever else the machine does counts, too; `pytest -s` tells both ratios.
    """
    rng = np.random.default_rng(0)
    cuts = CutSet.from_cuts(
        cut_of(tmp_path / "wav", f"noise{i}", rng.standard_normal(40_000) * 0.1, "X") for i in range(384)
    )
    settings = CtcSettings(sample_rate=8000, crf=0.0, flat_start=0.0, precision="32-true")
    labels = [int(k) for k in rng.integers(1, UNITS, 20)]
    utterances = Utterances(cuts, [lambda _: labels], 8000, tmp_path / "audio", "train")
    batches = Batches(utterances.seconds, BATCH_S, settings.speeds, 0)
    loader = Ahead(utterances, batches)

    def bare() -> np.ndarray:
        network = Network.seeded(0, settings, UNITS).train()
        network.drop(0.15)
        optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
        began = now()
        for epoch in range(PASSES):
            batches.set_epoch(epoch)
            for batch in loader:
                log_probs, frames = network(batch.waveforms, batch.samples)
                loss = torch.nn.functional.ctc_loss(
                    log_probs.transpose(0, 1), batch.targets, frames, batch.target_lengths
                )
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
        return now() - began

    def ours(number: int) -> np.ndarray:
        network = Network.seeded(0, settings, UNITS)
        network.drop(0.15)
        steps = (PASSES * len(batches),)
        module = CtcTraining(network, settings, steps, 0, "key", speakers=utterances.voices)
        began = now()
        fit(module, loader, PASSES, Resume(tmp_path / f"run{number}", "key"))
        return now() - began

    bare()  # kernels are compiled once
    cpu, clock = np.median([bare() / ours(number) for number in range(3)], axis=0)
    print(f"\naudio per second, of a bare loop's: {cpu:.3f} by CPU seconds, {clock:.3f} by the clock")
    assert cpu >= 0.95
