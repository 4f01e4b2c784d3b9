"""A filterbank learned from the waveform: complex band-pass filters, squared modulus, low-pass, logarithm."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import nn

from asr.features.logmel import FLOOR, LOW_HZ, SHIFT_S, WINDOW_S, mel_edges

OVERSAMPLING = 2  # the envelope is sampled this many times per output frame, then low-passed
POOL_FRAMES = 2.5  # length of the low-pass in output frames


def gabor_filters(channels: int, taps: int, sample_rate: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Real and imaginary parts of mel-spaced Gabor filters, (2 · channels, taps) float32.

    Filter i is centred on mel channel i and has the half-power bandwidth of its triangle, as far as `taps`
    allow; its gain at the centre is one. The imaginary parts follow the real ones.

    Reference
    ---------
    Zeghidour et al. 2018, "Learning filterbanks from raw speech for phone recognition", section 2.
    """
    edges = mel_edges(channels, low_hz, high_hz)
    centre = edges[1:-1, None]
    width = (edges[2:] - edges[:-2])[:, None] / 2.0  # between the half-power points of the triangle
    deviation_s = np.sqrt(np.log(2.0)) / (np.pi * width)
    time_s = (np.arange(taps) - (taps - 1) / 2.0)[None] / sample_rate
    # the taper keeps the longest ones free of the side lobes that a cut-off Gaussian has
    envelope = np.exp(-0.5 * (time_s / deviation_s) ** 2) * np.hanning(taps + 2)[1:-1]
    envelope /= envelope.sum(axis=1, keepdims=True)
    phase = 2.0 * np.pi * centre * time_s
    return np.concatenate([envelope * np.cos(phase), envelope * np.sin(phase)]).astype(np.float32)


class LearnedFilterbank(nn.Module):
    """Log energies of learned filters, one frame every 10 ms; every tap is trained.

    Two real filters make one complex filter; their squared responses, taken every 5 ms, are added (the
    envelope), smoothed by a learned positive window per channel and sent through a logarithm. It starts near
    log-mel. Frame t is centred on the middle of [t, t + 1) · 10 ms.

    Parameters
    ----------
    channels
        Number of complex filters.
    sample_rate
        Samples per second of the input.
    start
        ``mel`` as said above, or ``random`` taps of the same energy.

    Reference
    ---------
    Zeghidour et al. 2018, "Learning filterbanks from raw speech for phone recognition", section 2; Zeghidour
    et al. 2021, "LEAF: a learnable frontend for audio classification", section 3.
    """

    def __init__(
        self,
        channels: int = 64,
        sample_rate: int = 16000,
        start: Literal["mel", "random"] = "mel",
    ) -> None:
        super().__init__()
        self.channels, self.sample_rate, self.start = channels, sample_rate, start
        self.band = (LOW_HZ, sample_rate / 2)
        self.shift = round(SHIFT_S * sample_rate)
        self.taps = round(WINDOW_S * sample_rate)
        self.step = self.shift // OVERSAMPLING
        self._begin()
        window = np.hanning(round(POOL_FRAMES * OVERSAMPLING) + 2)[1:-1]
        self.smoothing = nn.Parameter(
            torch.log(torch.tensor(window, dtype=torch.float32)).repeat(channels, 1)
        )

    def _begin(self) -> None:
        filters = gabor_filters(self.channels, self.taps, self.sample_rate, *self.band)
        # taps are stored at unit root mean square: Adam moves every number by about the learning rate, which
        # would wipe out filters whose taps are hundredths within a few dozen steps
        scale = np.sqrt((filters**2).mean(axis=1, keepdims=True))
        taps = torch.from_numpy(filters / scale)
        self.filters = nn.Parameter((taps if self.start == "mel" else torch.randn_like(taps))[:, None])
        self.register_buffer("scale", torch.from_numpy(scale)[:, None], persistent=True)
        self.scale: torch.Tensor

    def bank(self) -> torch.Tensor:
        """(2 · channels, 1, taps), real parts of the filters, then imaginary ones."""
        return self.filters * self.scale

    def compress(self, energies: torch.Tensor) -> torch.Tensor:
        """Energies (batch, channels, frames) to features."""
        return torch.log(energies + FLOOR)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Features of waveforms.

        Parameters
        ----------
        waveforms
            (batch, samples), samples a multiple of 10 ms.

        Returns
        -------
        (batch, channels, samples / 10 ms)
        """
        window = torch.softmax(self.smoothing, dim=1)[:, None]
        # each output frame is centred on the middle of its 10 ms
        reach = (window.shape[-1] - OVERSAMPLING) * self.step + self.taps - self.step
        padded = nn.functional.pad(waveforms, (reach // 2, reach - reach // 2))
        response = nn.functional.conv1d(padded[:, None], self.bank(), stride=self.step)
        real, imaginary = response.square().chunk(2, dim=1)
        # planes of one row, channels last: the backward pass of a grouped Conv1d takes twice the time
        envelope = (real + imaginary)[:, :, None].contiguous(memory_format=torch.channels_last)
        energy = nn.functional.conv2d(
            envelope, window[:, :, None], stride=(1, OVERSAMPLING), groups=self.channels
        )
        return self.compress(energy[:, :, 0])
