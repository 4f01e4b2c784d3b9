"""What every acoustic model offers; the search, the system and the contract tests know only this."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from lhotse import CutSet

from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.text.lexicon import Spoken
from asr.text.units import Units


class AcousticModel(Protocol):
    """Turns audio into Emissions.

    Attributes
    ----------
    units
        Columns of the Emissions.
    topology
        How lexicon tokens are spelled in those columns.
    sample_rate
        Samples per second the model works at; other rates are resampled inside `emit`.
    log_prior
        (units,) natural log of the mean posterior over the training frames; None for likelihoods.
    spoken
        How often the words of the training set were said in each of their ways, as `fit` aligned them; empty
        where one way is all there is, and after `load`.
    alarms
        What went wrong in the training, each a line that follows "training"; empty after `load`.
    adapts
        Whether `adapt` does better than `emit`, once a first search has told what was said.
    """

    units: Units
    topology: Topology
    sample_rate: int
    log_prior: np.ndarray | None
    spoken: Spoken
    alarms: list[str]
    adapts: bool

    def fit(self, train: CutSet, dev: CutSet, workdir: Path) -> None:
        """Train on `train`, watch `dev`; resume from what an interrupted call left in `workdir`."""
        ...

    def emit(self, waveforms: Sequence[np.ndarray], sample_rate: int) -> list[Emissions]:
        """Emissions of several utterances of one speaker, which may depend on each other.

        Each waveform is (samples,) float32 in -1..1.
        """
        ...

    def adapt(
        self, waveforms: Sequence[np.ndarray], sample_rate: int, columns: Sequence[np.ndarray]
    ) -> list[Emissions]:
        """Emissions of the same utterances, adapted to their speaker; only where `adapts`.

        `columns` are the (frames,) columns on the best path of each utterance through its first emissions.
        """
        ...

    def steps(self, workdir: Path) -> list[tuple[str, Self]]:
        """Names and models of all steps of the training in `workdir`; empty if it has only one."""
        ...

    def save(self, folder: Path) -> None:
        """Write model.safetensors, units.txt and model.json below `folder`."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises ModelError where it is damaged."""
        ...

    def parameters_count(self) -> int:
        """Number of trained numbers."""
        ...
