"""Mel frequency cepstral coefficients, their time derivatives, and normalisation over a speaker."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Self

import numpy as np
import torch
import torchaudio.compliance.kaldi as kaldi
from pydantic import Field, model_validator

from asr.config import Settings

FRAME_SHIFT_S = 0.010
FRAME_LENGTH_S = 0.025


class MfccSettings(Settings):
    """How cepstra are computed.

    Attributes
    ----------
    cepstra
        Coefficients kept, the zeroth (loudness) included.
    mel_bins
        Triangular filters on the mel scale.
    band
        Highest filter edge as a fraction of half the lowest rate that the training recordings were made at:
        audio that was upsampled holds nothing above that.
    variance
        Whether a speaker's variance is normalised too, not the mean alone.
    """

    cepstra: int = Field(default=13, ge=2, le=40)
    mel_bins: int = Field(default=26, ge=10, le=80)
    band: float = Field(default=0.95, gt=0.1, le=1.0)
    variance: bool = True

    @model_validator(mode="after")
    def _enough_bins(self) -> Self:
        if self.cepstra > self.mel_bins:
            raise ValueError(f"cepstra: {self.cepstra} of {self.mel_bins} mel_bins; there are no more")
        return self


def mfcc(waveform: np.ndarray, sample_rate: int, settings: MfccSettings, native_rate: int) -> np.ndarray:
    """Cepstra of one utterance, as Kaldi's compute-mfcc-feats --snip-edges=false.

    Frame t is centred at (t + 0.5) * FRAME_SHIFT_S. An utterance shorter than one window is padded to it.

    Parameters
    ----------
    waveform
        (samples,) float32 in -1..1.
    sample_rate
        Samples per second of `waveform`.
    settings
        Number of filters and coefficients.
    native_rate
        Lowest sample rate in Hz that any recording of the training data was made at.

    Returns
    -------
    numpy.ndarray
        (frames, cepstra) float32.

    Reference
    ---------
    Davis and Mermelstein 1980, IEEE Trans. ASSP 28(4), section II.
    """
    window = round(FRAME_LENGTH_S * sample_rate)
    if len(waveform) < window:
        waveform = np.pad(waveform, (0, window - len(waveform)))
    # noise of one 16-bit step keeps digital silence from becoming log(0); the same noise every time
    samples = np.asarray(waveform, dtype=np.float32) * np.float32(32768.0)
    noise = _noise()
    samples += noise[: len(samples)] if len(samples) <= len(noise) else np.resize(noise, len(samples))
    cepstra = kaldi.mfcc(
        torch.from_numpy(samples)[None],
        sample_frequency=float(sample_rate),
        frame_length=FRAME_LENGTH_S * 1000,
        frame_shift=FRAME_SHIFT_S * 1000,
        num_ceps=settings.cepstra,
        num_mel_bins=settings.mel_bins,
        high_freq=settings.band * min(native_rate, sample_rate) / 2,
        snip_edges=False,
    )
    return cepstra.numpy()


def add_deltas(statics: np.ndarray) -> np.ndarray:
    """Append first and second time derivatives: (frames, c) to (frames, 3 c).

    Reference
    ---------
    Furui 1986, IEEE Trans. ASSP 34(1); the regression over two frames each side of HTK (book 3.4, eq. 5.16).
    """
    first = _slope(statics)
    return np.concatenate([statics, first, _slope(first)], axis=1)


def _slope(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((2, 2), (0, 0)), mode="edge")
    n = len(x)
    return (padded[3 : 3 + n] - padded[1 : 1 + n] + 2 * (padded[4 : 4 + n] - padded[:n])) / np.float32(10)


class SpeakerNorm:
    """Running mean and variance of one speaker's cepstra; normalises to zero mean and unit variance.

    Parameters
    ----------
    size
        Coefficients a frame.
    """

    def __init__(self, size: int) -> None:
        self.frames = 0
        self.total = np.zeros(size)
        self.squares = np.zeros(size)

    @classmethod
    def of(cls, utterances: Iterable[np.ndarray], size: int) -> SpeakerNorm:
        """The statistics of several utterances (frames, size)."""
        norm = cls(size)
        for cepstra in utterances:
            norm.add(cepstra)
        return norm

    def add(self, cepstra: np.ndarray) -> None:
        """Take in the frames (frames, size) of one more utterance."""
        self.frames += len(cepstra)
        self.total += cepstra.sum(axis=0, dtype=np.float64)
        self.squares += np.square(cepstra, dtype=np.float64).sum(axis=0)

    def scale(self, variance: bool) -> tuple[np.ndarray, np.ndarray]:
        """Mean and the factor after it, each (size,) float32; the factor is one where `variance` is off."""
        mean = self.total / max(self.frames, 1)
        spread = np.maximum(self.squares / max(self.frames, 1) - mean**2, 1e-4)
        factor = 1 / np.sqrt(spread) if variance else np.ones_like(mean)
        return mean.astype(np.float32), factor.astype(np.float32)


@functools.cache
def _noise() -> np.ndarray:
    """(samples,) a minute of white noise, repeated where more is needed: to draw it takes a fifth of all."""
    return np.random.default_rng(0).standard_normal(2**20, dtype=np.float32)
