"""The two front ends: the learned filterbank starts near log-mel, log-mel equals librosa's."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from asr.errors import ConfigError
from asr.features.logmel import LogMel, hertz, mel, mel_edges, mel_matrix
from asr.features.parametric import ConvStack, LeafFilterbank, SincFilterbank
from asr.features.waveform import LearnedFilterbank, gabor_filters

RATE = 16000


def speechlike(seconds: float = 2.0, seed: int = 0) -> torch.Tensor:
    """Harmonics of a moving pitch under a moving formant, and a little noise; (1, samples)."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 120 + 40 * np.sin(2 * np.pi * 1.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formant = 1500 + 900 * np.sin(2 * np.pi * 2.1 * t)
    wave = sum(np.exp(-(((k * pitch - formant) / 500) ** 2)) * np.cos(k * phase) for k in range(1, 40))
    wave = wave * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t)) + 0.01 * rng.standard_normal(len(t))
    return torch.from_numpy((wave / np.abs(wave).max()).astype(np.float32))[None]


def test_mel_scale_equals_librosa_htk() -> None:
    f = np.array([0.0, 60.0, 440.0, 1000.0, 7999.0])
    np.testing.assert_allclose(mel(f), librosa.hz_to_mel(f, htk=True), rtol=1e-9)
    np.testing.assert_allclose(hertz(mel(f)), f, atol=1e-8)


def test_mel_matrix_equals_librosa() -> None:
    ours = mel_matrix(64, 512, RATE, 60.0, 8000.0)
    theirs = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=64, fmin=60.0, fmax=8000.0, htk=True, norm=None)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_logmel_equals_librosa() -> None:
    wave = speechlike()
    front = LogMel(64, RATE)
    ours = front(wave)[0].numpy()
    padded = np.pad(wave[0].numpy(), (120, 120))
    window = front.window.numpy()
    frames = librosa.util.frame(padded, frame_length=400, hop_length=160).T * window
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    matrix = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=64, fmin=60.0, fmax=8000.0, htk=True, norm=None)
    np.testing.assert_allclose(ours, np.log(power @ matrix.T + 1e-6).T, atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_one_frame_every_10_ms_centred(rate: int) -> None:
    wave = torch.zeros(1, rate)
    click = 37 * rate // 100 + rate // 200  # the middle of frame 37
    wave[0, click] = 1.0
    for front in (LearnedFilterbank(24, rate), SincFilterbank(24, rate), LogMel(24, rate)):
        features = front(wave).detach()
        assert features.shape == (1, 24, 100)
        loud = features[0].sum(0)
        assert (
            abs(float((torch.arange(100) * (loud - loud.min())).sum() / (loud - loud.min()).sum()) - 37) < 0.3
        )


def test_a_tone_excites_the_channel_of_its_frequency() -> None:
    channels = 40
    centres = mel_edges(channels, 60.0, RATE / 2)[1:-1]
    t = torch.arange(RATE // 2) / RATE
    for front in (
        LearnedFilterbank(channels, RATE), SincFilterbank(channels, RATE), LogMel(channels, RATE)
    ):  # fmt: skip
        for i in (8, 20, 35):
            tone = torch.cos(2 * torch.pi * float(centres[i]) * t)[None]
            assert int(front(tone)[0, :, 25].argmax()) == i


def test_filters_have_unit_gain_and_the_bandwidth_of_the_triangle() -> None:
    edges = mel_edges(40, 60.0, 8000.0)
    filters = gabor_filters(40, 400, RATE, 60.0, 8000.0)
    complex_filters = filters[:40] + 1j * filters[40:]
    t = np.arange(400) / RATE
    for i in (15, 25, 39):

        def gain(frequency: float, i: int = i) -> float:
            return float(abs((complex_filters[i] * np.exp(-2j * np.pi * frequency * t)).sum()) ** 2)

        half = (edges[i + 2] - edges[i]) / 4
        assert gain(edges[i + 1]) == pytest.approx(1.0, abs=0.01)
        assert gain(edges[i + 1] + half) == pytest.approx(0.5, abs=0.1)
        assert gain(edges[i + 1] - half) == pytest.approx(0.5, abs=0.1)


def test_starts_near_logmel() -> None:
    wave = speechlike()
    learned = LearnedFilterbank(64, RATE)(wave)[0].detach().numpy()
    fixed = LogMel(64, RATE)(wave)[0].numpy()
    assert np.corrcoef(learned.ravel(), fixed.ravel())[0, 1] > 0.9
    per_channel = [np.corrcoef(a, b)[0, 1] for a, b in zip(learned, fixed, strict=True)]
    assert np.median(per_channel) > 0.85


def test_gradient_reaches_every_filter() -> None:
    front = LearnedFilterbank(32, RATE)
    front(speechlike(0.5) + 0.01).square().mean().backward()
    assert front.filters.grad is not None and front.smoothing.grad is not None
    assert (front.filters.grad.abs().amax((1, 2)) > 0).all()
    assert (front.smoothing.grad.abs().amax(1) > 0).all()


def test_leaf_compresses_as_librosa_does() -> None:
    front = LeafFilterbank(16, RATE)
    rng = np.random.default_rng(0)
    energies = (rng.random((16, 300)) ** 4 * np.linspace(0.1, 3, 300)).astype(np.float32)
    ours = front.compress(torch.from_numpy(energies)[None])[0].detach().numpy()
    at_rest = 0.96 * energies[:, :1]  # as if the first frame had lasted for ever
    theirs = librosa.pcen(energies, gain=0.96, bias=2.0, power=0.5, b=0.04, eps=1e-6, zi=at_rest)
    np.testing.assert_allclose(ours, theirs, rtol=5e-3, atol=2e-3)


def test_leaf_filters_are_the_gabor_filters_of_the_start() -> None:
    ours = LeafFilterbank(40, RATE).bank().detach().numpy()[:, 0]
    np.testing.assert_allclose(ours, gabor_filters(40, 400, RATE, 60.0, 8000.0), atol=1e-5)


@pytest.mark.parametrize("kind", [SincFilterbank, LeafFilterbank, ConvStack])
def test_every_learned_number_has_a_gradient(kind: type[torch.nn.Module]) -> None:
    torch.manual_seed(0)
    front = kind(24, RATE)
    features = front(speechlike(0.5))
    assert features.shape == (1, 24, 50)
    (features * torch.randn_like(features)).sum().backward()
    for name, parameter in front.named_parameters():
        assert parameter.grad is not None and (parameter.grad != 0).float().mean() > 0.9, name


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_stack_is_in_step_with_the_samples(rate: int) -> None:
    """Ten milliseconds later in the audio is one frame later in the features."""
    torch.manual_seed(0)
    front, shift = ConvStack(24, rate), rate // 100
    wave = torch.randn(1, 40 * shift)
    moved = torch.nn.functional.pad(wave, (shift, 0))
    here, there = front(wave).detach(), front(moved).detach()
    assert here.shape[2] == 40 and there.shape[2] == 41
    torch.testing.assert_close(there[:, :, 5:39], here[:, :, 4:38])
    with pytest.raises(ConfigError, match="frames of 10 ms at 11000 Hz"):
        ConvStack(24, 11000)


def test_random_taps_have_the_energy_of_the_mel_ones() -> None:
    torch.manual_seed(0)
    mel_like, random = LearnedFilterbank(24, RATE), LearnedFilterbank(24, RATE, start="random")
    energies = [f.bank().square().sum(2).detach().numpy() for f in (mel_like, random)]
    np.testing.assert_allclose(energies[1], energies[0], rtol=0.3)
    assert abs(np.corrcoef(mel_like.bank().detach().ravel(), random.bank().detach().ravel())[0, 1]) < 0.05
