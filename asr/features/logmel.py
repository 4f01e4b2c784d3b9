"""Log-mel filterbank energies: the fixed input the learned front end is measured against."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

WINDOW_S = 0.025
SHIFT_S = 0.010
LOW_HZ = 60.0  # lower corner of the first filter; the upper one of the last is half the sample rate
FLOOR = 1e-6  # added to energies, so that none is zero


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Frequency in Hz on O'Shaughnessy's mel scale, 2595·log10(1 + f/700)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)


def hertz(mels: np.ndarray | float) -> np.ndarray:
    """The inverse of `mel`."""
    return 700.0 * (10.0 ** (np.asarray(mels) / 2595.0) - 1.0)


def mel_edges(channels: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Corner frequencies in Hz, (channels + 2,), equally spaced in mel; channel i peaks at edge i + 1."""
    return hertz(np.linspace(mel(low_hz), mel(high_hz), channels + 2))


def mel_matrix(channels: int, fft_size: int, sample_rate: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Triangular filters of peak 1, (channels, fft_size // 2 + 1) float32."""
    edges = mel_edges(channels, low_hz, high_hz)[:, None]
    bins = np.fft.rfftfreq(fft_size, 1.0 / sample_rate)[None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


class LogMel(nn.Module):
    """Natural log of mel energies: Hann window of 25 ms every 10 ms, power spectrum, triangles of peak 1.

    Frame t is centred on the middle of [t, t + 1) · 10 ms.

    Parameters
    ----------
    channels
        Number of mel filters.
    sample_rate
        Samples per second of the input.
    """

    def __init__(self, channels: int = 64, sample_rate: int = 16000) -> None:
        super().__init__()
        self.channels = channels
        self.window_size = round(WINDOW_S * sample_rate)
        self.shift = round(SHIFT_S * sample_rate)
        self.fft_size = 1 << (self.window_size - 1).bit_length()
        matrix = mel_matrix(channels, self.fft_size, sample_rate, LOW_HZ, sample_rate / 2)
        self.register_buffer("matrix", torch.from_numpy(matrix), persistent=False)
        window = torch.hann_window(self.window_size)
        self.register_buffer("window", window / window.sum(), persistent=False)  # a tone keeps its amplitude
        self.matrix: torch.Tensor
        self.window: torch.Tensor

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
        margin = self.window_size - self.shift
        padded = nn.functional.pad(waveforms, (margin // 2, margin - margin // 2))
        frames = padded.unfold(1, self.window_size, self.shift) * self.window
        power = torch.fft.rfft(frames, self.fft_size).abs().square()
        return torch.log(power @ self.matrix.T + FLOOR).transpose(1, 2)
