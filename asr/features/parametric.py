"""Front ends that the learned filterbank is measured against: SincNet, LEAF, strided convolutions."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from asr.errors import ConfigError
from asr.features.logmel import FLOOR, SHIFT_S, mel_edges
from asr.features.waveform import LearnedFilterbank

PCEN_FRAMES = 200  # that the smoother of PCEN looks back: it starts with 3e-4 of its weight beyond them


class _Parametric(LearnedFilterbank):
    """Filters given by a centre and a bandwidth in Hz; both are learned as factors, from the mel scale on."""

    def _begin(self) -> None:
        edges = torch.from_numpy(mel_edges(self.channels, *self.band)).float()[:, None]
        self.register_buffer("mel_centre", edges[1:-1], persistent=False)
        self.register_buffer("mel_width", (edges[2:] - edges[:-2]) / 2, persistent=False)
        time_s = (torch.arange(self.taps) - (self.taps - 1) / 2) / self.sample_rate
        self.register_buffer("time_s", time_s[None], persistent=False)
        self.register_buffer(
            "taper", torch.hann_window(self.taps + 2, periodic=False)[1:-1], persistent=False
        )
        self.mel_centre: torch.Tensor
        self.mel_width: torch.Tensor
        self.time_s: torch.Tensor
        self.taper: torch.Tensor
        self.centre = nn.Parameter(torch.zeros(self.channels, 1))
        self.width = nn.Parameter(torch.zeros(self.channels, 1))

    def envelope(self, width: torch.Tensor) -> torch.Tensor:
        """(channels, taps), the filters before they are moved from 0 Hz; `width` (channels, 1) in Hz."""
        raise NotImplementedError

    def bank(self) -> torch.Tensor:
        """(2 · channels, 1, taps), real parts of the filters, then imaginary ones."""
        envelope = self.envelope(self.mel_width * torch.exp(self.width)) * self.taper
        envelope = envelope / envelope.sum(dim=1, keepdim=True)
        phase = 2 * math.pi * self.mel_centre * torch.exp(self.centre) * self.time_s
        return torch.cat([envelope * torch.cos(phase), envelope * torch.sin(phase)])[:, None]


class SincFilterbank(_Parametric):
    """Rectangular band-pass filters that learn their edges alone, each with its quadrature.

    The squared modulus and the learned low-pass of `LearnedFilterbank` follow, which SincNet has not.

    Reference
    ---------
    Ravanelli and Bengio 2018, "Speaker recognition from raw waveform with SincNet", section 2.
    """

    def envelope(self, width: torch.Tensor) -> torch.Tensor:
        """A sinc of that bandwidth."""
        return torch.sinc(width * self.time_s)


class LeafFilterbank(_Parametric):
    """Gabor filters that learn their centres and bandwidths alone, and a learned compression (sPCEN).

    The low-pass is `LearnedFilterbank`'s free window, where LEAF has a Gaussian of learned width.

    Reference
    ---------
    Zeghidour et al. 2021, "LEAF: a learnable frontend for audio classification", section 3.
    """

    def _begin(self) -> None:
        super()._begin()
        channels = self.channels
        self.alpha = nn.Parameter(torch.full((channels, 1), 0.96))
        self.delta = nn.Parameter(torch.full((channels, 1), 2.0))
        self.root = nn.Parameter(torch.full((channels, 1), 2.0))
        self.smooth = nn.Parameter(torch.full((channels, 1), 0.04))

    def envelope(self, width: torch.Tensor) -> torch.Tensor:
        """A Gaussian of that half-power bandwidth."""
        deviation_s = math.sqrt(math.log(2.0)) / (math.pi * width)
        return torch.exp(-0.5 * (self.time_s / deviation_s) ** 2)

    def compress(self, energies: torch.Tensor) -> torch.Tensor:
        """Per-channel energy normalisation, each channel with its own numbers."""
        s = self.smooth.clamp(0.01, 1.0)
        back = torch.arange(PCEN_FRAMES - 1, -1, -1, device=s.device)
        kernel = s * (1 - s) ** back
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
        padded = nn.functional.pad(energies, (PCEN_FRAMES - 1, 0), mode="replicate")
        planes = padded[:, :, None].contiguous(memory_format=torch.channels_last)
        level = nn.functional.conv2d(planes, kernel[:, None, None], groups=self.channels)[:, :, 0]
        root = 1 / self.root.clamp(min=1.0)
        gained = energies / (level + FLOOR) ** self.alpha.clamp(max=1.0)
        return (gained + self.delta) ** root - self.delta**root


class ConvStack(nn.Module):
    """Four strided convolutions from the samples to one frame every 10 ms; nothing is given but the strides.

    Parameters
    ----------
    channels
        Of every layer.
    sample_rate
        Samples per second of the input.

    Raises
    ------
    ConfigError
        If 10 ms are no multiple of 16 samples.

    Reference
    ---------
    Schneider et al. 2019, "wav2vec: unsupervised pre-training for speech recognition", section 2.1.
    """

    def __init__(self, channels: int = 64, sample_rate: int = 16000) -> None:
        super().__init__()
        shift = round(SHIFT_S * sample_rate)
        if shift % 16:
            raise ConfigError(
                f"frontend: stack cannot make frames of 10 ms at {sample_rate} Hz", fix="use 8000 or 16000 Hz"
            )
        rest = (4, 4, 2) if shift % 32 == 0 else (4, 2, 2)
        self.strides = (shift // int(np.prod(rest)), *rest)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels if k else 1, channels, 2 * stride, stride)
            for k, stride in enumerate(self.strides)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in self.strides)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """(batch, samples), a multiple of 10 ms, to (batch, channels, samples / 10 ms)."""
        x = waveforms[:, None]
        for stride, convolution, norm in zip(self.strides, self.convolutions, self.norms, strict=True):
            x = nn.functional.pad(x, (stride // 2, stride - stride // 2))
            x = nn.functional.silu(norm(convolution(x).transpose(1, 2)).transpose(1, 2))
        return x
