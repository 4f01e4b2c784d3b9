"""The contract between acoustic models and the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from asr.text.units import Units


@dataclass(frozen=True)
class Emissions:
    """Scores of every unit at every frame of one utterance.

    Attributes
    ----------
    scores
        (frames, units) float32, natural log: log posteriors that sum to one over units, or log likelihoods.
    units
        The column symbols.
    frame_shift_s
        Seconds from one frame to the next; frame t covers [t, t + 1) * frame_shift_s.
    kind
        ``posterior`` (priors may be subtracted) or ``likelihood`` (they may not).
    """

    scores: np.ndarray
    units: Units
    frame_shift_s: float
    kind: Literal["likelihood", "posterior"]

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.units):
            raise ValueError(f"scores {self.scores.shape} do not fit {len(self.units)} units")
        if self.scores.dtype != np.float32:
            raise ValueError(f"scores must be float32, not {self.scores.dtype}")

    @property
    def duration_s(self) -> float:
        """Length covered by the frames in seconds."""
        return self.scores.shape[0] * self.frame_shift_s
