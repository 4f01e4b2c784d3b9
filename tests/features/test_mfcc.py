"""Cepstra against librosa's, derivatives against librosa's, and what the band limit and the norm promise."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.fft

from asr.features.mfcc import FRAME_SHIFT_S, MfccSettings, SpeakerNorm, add_deltas, mfcc

RATE = 16000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def test_cepstra_match_a_librosa_pipeline():
    """Same steps from librosa's parts; its triangles are straight in Hz, Kaldi's in mel: so not equal."""
    settings = MfccSettings()
    t = np.arange(RATE) / RATE
    chirp = 0.3 * np.sin(2 * np.pi * (100 + 3000 * t) * t).astype(np.float32)
    wave = chirp + noise(1.0) * 0.1
    ours = mfcc(wave, RATE, settings, RATE)
    # frame t is centred at (t + 0.5) shifts, the edges mirrored
    padded = np.pad(wave * 32768, 120, mode="symmetric")
    frames = librosa.util.frame(padded, frame_length=400, hop_length=160, axis=0)[: len(ours)]
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    # povey: a hann window to the power 0.85
    frames = frames * np.hanning(400) ** 0.85
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    mel = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=26, fmin=20, fmax=7600, htk=True, norm=None)
    theirs = scipy.fft.dct(np.log(power @ mel.T), norm="ortho")[:, :13]
    theirs *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    inner = slice(2, -2)
    assert ours.shape == theirs.shape == (100, 13)
    for k in range(13):
        assert np.corrcoef(ours[inner, k], theirs[inner, k])[0, 1] > 0.98
    assert np.abs(ours[inner, 0] - theirs[inner, 0]).mean() < 0.5


def test_deltas_equal_librosas():
    statics = np.random.default_rng(0).standard_normal((40, 13)).astype(np.float32)
    out = add_deltas(statics)
    first = librosa.feature.delta(statics.T, width=5, order=1, mode="nearest").T
    np.testing.assert_array_equal(out[:, :13], statics)
    np.testing.assert_allclose(out[:, 13:26], first, atol=1e-5)
    second = librosa.feature.delta(first.T, width=5, order=1, mode="nearest").T
    np.testing.assert_allclose(out[:, 26:], second, atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 16000, 16079, 16080])
def test_frame_count_and_no_infinity(samples):
    out = mfcc(np.zeros(samples, np.float32), RATE, MfccSettings(), RATE)
    assert out.shape == ((max(samples, 400) + 80) // 160, 13)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()


def test_a_click_is_loudest_in_the_frame_that_covers_it():
    wave = np.zeros(RATE, np.float32)
    at = 0.437
    wave[int(at * RATE)] = 0.9
    out = mfcc(wave, RATE, MfccSettings(), RATE)
    assert abs(int(out[:, 0].argmax()) - int(at / FRAME_SHIFT_S)) <= 1


def test_nothing_above_the_native_band_matters():
    wave = noise(1.0)
    hiss = 0.05 * np.sin(2 * np.pi * 6000 * np.arange(RATE) / RATE).astype(np.float32)
    narrow = [mfcc(x, RATE, MfccSettings(), 8000) for x in (wave, wave + hiss)]
    wide = [mfcc(x, RATE, MfccSettings(), RATE) for x in (wave, wave + hiss)]
    assert np.abs(narrow[0] - narrow[1]).mean() < 0.05 * np.abs(wide[0] - wide[1]).mean()


@pytest.mark.parametrize("variance", [True, False])
def test_speaker_norm(variance):
    rng = np.random.default_rng(1)
    parts = [rng.normal(5, 3, (n, 4)).astype(np.float32) for n in (7, 50, 300)]
    mean, factor = SpeakerNorm.of(parts, 4).scale(variance)
    together = (np.concatenate(parts) - mean) * factor
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(
        together.std(axis=0), 1 if variance else np.concatenate(parts).std(axis=0), rtol=1e-4
    )


def test_speaker_norm_survives_constant_and_no_frames():
    for parts in ([np.full((9, 4), 2.0, np.float32)], []):
        mean, factor = SpeakerNorm.of(parts, 4).scale(True)
        assert np.isfinite(mean).all() and np.isfinite(factor).all()


def test_the_noise_under_silence_is_the_same_however_long():
    """Beyond its minute it is repeated."""
    short, long = (mfcc(np.zeros(s * RATE, np.float32), RATE, MfccSettings(), RATE) for s in (1, 70))
    np.testing.assert_array_equal(short[:-2], long[: len(short) - 2])
    assert len(long) == 7000
    assert np.isfinite(long).all()
