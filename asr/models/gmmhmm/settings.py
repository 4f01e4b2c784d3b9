"""Settings of the GMM-HMM acoustic model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from asr.config import Settings
from asr.features.mfcc import MfccSettings


class GmmHmmSettings(Settings):
    """How phoneme models are built and trained.

    Attributes
    ----------
    features
        Cepstra and their normalisation.
    estimation
        ``baum-welch`` sums over all paths of a sentence, ``viterbi`` takes the best one.
    gaussians
        Total number of Gaussians that mixture splitting ends with.
    frames_per_gaussian
        No state gets more than one Gaussian for so many of its frames: small budgets end with fewer.
    power
        A state's share of the Gaussians grows with its frames to this power.
    first_passes
        Passes over the data with one Gaussian a state.
    passes
        Passes after each doubling of the Gaussians.
    last_passes
        Passes with all Gaussians.
    transform
        ``lda``: once first models are trained, features are made anew from `context` frames each side, by
        LDA and MLLT to `dimensions`; ``none``: cepstra with deltas throughout.
    variance_floor
        Smallest variance as a fraction of that of all frames.
    """

    type: Literal["gmmhmm"] = "gmmhmm"
    features: MfccSettings = MfccSettings()
    estimation: Literal["baum-welch", "viterbi"] = "baum-welch"
    gaussians: int = Field(default=4000, ge=1)
    frames_per_gaussian: float = Field(default=30, gt=0)
    power: float = Field(default=0.5, ge=0, le=1)
    first_passes: int = Field(default=10, ge=1)
    passes: int = Field(default=3, ge=1)
    last_passes: int = Field(default=5, ge=1)
    transform: Literal["lda", "none"] = "lda"
    context: int = Field(default=4, ge=0, le=15)
    dimensions: int = Field(default=40, ge=2)
    variance_floor: float = Field(default=0.01, gt=0, le=1)
