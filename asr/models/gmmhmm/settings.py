"""Settings of the GMM-HMM acoustic model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from asr.config import Settings
from asr.features.mfcc import MfccSettings
from asr.models.networks.machine import require
from asr.models.networks.settings import NetworkSettings

STEPS = ("mono", "tri", "lda", "sat")
WITH_COPIES = ("sat",)  # steps that also see the training set at other speeds


class StateNetworkSettings(NetworkSettings):
    """Those of a network of tied states: an alignment is learned in fewer passes than CTC."""

    frontend: Literal["waveform", "logmel"] = "logmel"
    effort: float = Field(0.6, gt=0)
    dropout: float | None = Field(0.25, ge=0, lt=1)
    weight_decay: float = Field(2e-2, ge=0)
    mmi: float = Field(1.0, ge=0)
    """Weight of mutual information beside cross-entropy, in a second cycle of the learning rate."""
    mmi_passes: float = Field(0.17, ge=0)
    """Passes of that cycle, as a share of those before it; without it, or with `mmi` 0, there is none."""
    mmi_scale: float = Field(0.1, gt=0)
    """Acoustic scale of the paths that compete."""


class GmmHmmSettings(Settings):
    """How phoneme models are built and trained.

    Attributes
    ----------
    features
        Cepstra and their normalisation.
    step
        The last step of the training: ``mono`` phonemes, ``tri`` phonemes in context with tied states,
        ``lda`` LDA and MLLT over neighbouring frames, ``sat`` speaker-adaptive training with fMLLR.
    leaves
        Tied states, silence not counted; None: by `frames_per_leaf`.
    frames_per_leaf
        Training frames for each tied state of 1 h of audio, copies at other speeds included where a step sees
        them; their number grows with the square root of it.
    fewest_frames
        No split of a tied state leaves fewer frames than this on a side, copies included.
    gaussians
        Total number of Gaussians that training ends with; None: by `frames_per_gaussian`.
    frames_per_gaussian
        Training frames (the same) for each Gaussian, and no state gets more than one for so many of
        its own.
    power
        A state's share of the Gaussians grows with its frames to this power.
    passes
        Passes over the data of each step.
    speeds
        In `sat`, training also sees a copy of every utterance at each of these speeds, tempo and pitch.
    context
        Frames each side that LDA looks at.
    dimensions
        Features that LDA keeps.
    adaptation_frames
        A speaker's transform is drawn towards none as if by so many frames.
    variance_floor
        Smallest variance as a fraction of that of all frames.
    acoustic
        What scores the states in a speaker's space: the mixtures alone, or beside them a network trained on
        their alignment.
    network
        Of that network.
    mixture_share
        Of the mixtures in the log likelihoods that the search sees, beside the network: they err elsewhere.
    """

    type: Literal["gmmhmm"] = "gmmhmm"
    features: MfccSettings = MfccSettings()
    step: Literal["mono", "tri", "lda", "sat"] = "sat"
    leaves: int | None = Field(default=None, ge=1)
    frames_per_leaf: float = Field(default=1200, gt=0)
    fewest_frames: float = Field(default=60, ge=1)
    gaussians: int | None = Field(default=None, ge=1)
    frames_per_gaussian: float = Field(default=270, gt=0)
    power: float = Field(default=0.25, ge=0, le=1)
    passes: int = Field(default=20, ge=6)
    speeds: tuple[Annotated[float, Field(gt=0)], ...] = (0.9, 1.0, 1.1)
    context: int = Field(default=3, ge=0, le=15)
    dimensions: int = Field(default=40, ge=2)
    adaptation_frames: float = Field(default=300, ge=1)
    variance_floor: float = Field(default=0.01, gt=0, le=1)
    acoustic: Literal["gmm", "network"] = "gmm"
    network: StateNetworkSettings = StateNetworkSettings()

    mixture_share: float = Field(default=0.33, ge=0, le=1)

    def require(self, trained: bool = False) -> None:
        """Raise what a network among them needs and is wanting; of one that is `trained` no GPU is asked."""
        if self.acoustic == "network":
            require(self.network, trained=trained)

    def for_hours(self, hours: float) -> GmmHmmSettings:
        """Nothing here changes at some number of hours."""
        return self

    @property
    def trained(self) -> GmmHmmSettings:
        """What decides the training: everything."""
        return self

    @model_validator(mode="after")
    def _network_needs_adaptation(self) -> GmmHmmSettings:
        if self.acoustic == "network" and self.step != "sat":
            raise ValueError(f"acoustic: network follows the step sat, not {self.step}")
        return self
