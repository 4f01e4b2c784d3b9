"""What a training of a network asks of the machine it runs on, and what it gets there."""

from __future__ import annotations

from typing import Literal

import torch

from asr.errors import UsageError
from asr.models.networks.network import Network
from asr.models.networks.settings import NetworkSettings
from asr.models.networks.transfer import fitting


def require(settings: NetworkSettings, processes: int = 1, trained: bool = False) -> None:
    """See that what `settings` name is there; of a network that is `trained` no GPU is asked.

    Raises
    ------
    ModelError
        If there is no run to begin from, or none of its layers fits.
    UsageError
        If GPUs are wanted that torch does not see.
    """
    if settings.init_from is not None:
        fitting(Network.seeded(0, settings, units=1), [], settings.init_from)
    if not trained:
        device_of(settings, processes)


def device_of(settings: NetworkSettings, processes: int = 1) -> Literal["cpu", "cuda"]:
    """What `auto` means on this machine: GPUs where there is one a process.

    Raises
    ------
    UsageError
        If GPUs are wanted that torch does not see.
    """
    enough = torch.cuda.is_available() and torch.cuda.device_count() >= processes
    if settings.device == "cuda" and not enough:
        what = f"model.device: torch sees {torch.cuda.device_count()} GPUs for {processes} processes"
        raise UsageError(what, fix="set model.device=cpu")
    return "cuda" if settings.device != "cpu" and enough else "cpu"


def precision_of(settings: NetworkSettings, device: str) -> Literal["32-true", "bf16-mixed"]:
    """What `auto` means on a device."""
    if settings.precision != "auto":
        return settings.precision
    cuda = device == "cuda"
    native = torch.cuda.is_bf16_supported(False) if cuda else torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if native else "32-true"
