"""Rooms and noises, drawn from a random generator: what makes clean speech sound recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve

Waveform = np.ndarray


def room(
    t60_s: float, direct_to_reverberant_db: float, sample_rate: int, random: np.random.Generator
) -> Waveform:
    """A room impulse response: the direct sound at sample 0, then noise that decays by 60 dB in `t60_s`.

    Parameters
    ----------
    t60_s
        Reverberation time in seconds.
    direct_to_reverberant_db
        Energy of the direct sound against that of the tail.

    Returns
    -------
    numpy.ndarray
        (samples,) float32, the direct sound being 1.

    Reference
    ---------
    Polack's model: Polack (1988), in Jot, Cerveau and Warusfel (1997), "Analysis and synthesis of room
    reverberation based on a statistical time-frequency model", section 1.
    """
    size = max(2, int(t60_s * sample_rate))
    tail = random.standard_normal(size, dtype=np.float32)
    tail *= np.exp(-np.log(1000) / size * np.arange(size, dtype=np.float32))
    tail[: int(0.002 * sample_rate)] = 0  # the first reflection comes after a detour of at least 70 cm
    tail *= 10 ** (-direct_to_reverberant_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1
    return tail


def reverberate(speech: Waveform, response: Waveform) -> Waveform:
    """Speech in a room, cut to its own length."""
    return fftconvolve(speech, response)[: len(speech)].astype(np.float32)


def coloured(size: int, slope: float, random: np.random.Generator) -> Waveform:
    """Noise whose power falls with frequency to the power of `slope`: 0 white, 1 pink, 2 brown.

    It is flat below a 400th of the sample rate.
    """
    padded = next_fast_len(size, real=True)
    spectrum = rfft(random.standard_normal(padded, dtype=np.float32))
    k = np.maximum(np.arange(len(spectrum), dtype=np.float32), padded / 400)
    return irfft(spectrum * k ** (-slope / 2), n=padded)[:size].astype(np.float32)


def hum(size: int, sample_rate: int, random: np.random.Generator) -> Waveform:
    """Mains hum, 50 or 60 Hz with harmonics, over some pink noise."""
    mains = int(random.choice((50, 60)))
    orders = np.arange(1, 9)[:, None]
    phases = random.uniform(0, 2 * np.pi, orders.shape)
    period = sample_rate // 10  # a whole number of cycles of either
    time = np.arange(period) / sample_rate
    tones = np.resize((np.sin(2 * np.pi * mains * orders * time + phases) / orders).sum(axis=0), size)
    pink = coloured(size, 1, random)
    return (tones / tones.std() + pink / pink.std()).astype(np.float32)


def babble(size: int, talkers: Sequence[Waveform], random: np.random.Generator) -> Waveform:
    """Five of `talkers` at once, each from a random point on, over and over."""
    total = np.zeros(size, dtype=np.float32)
    for i in random.choice(len(talkers), size=min(5, len(talkers)), replace=False):
        talker = talkers[i]
        start = int(random.integers(len(talker)))
        total += np.resize(np.roll(talker, -start), size) / talker.std()
    return total


def noise(
    size: int, sample_rate: int, talkers: Sequence[Waveform], random: np.random.Generator
) -> tuple[str, Waveform]:
    """Draw a kind of noise, all equally probable, and `size` samples of it."""
    kinds: dict[str, Callable[[], Waveform]] = {
        "white": lambda: coloured(size, 0, random),
        "pink": lambda: coloured(size, 1, random),
        "brown": lambda: coloured(size, 2, random),
        "hum": lambda: hum(size, sample_rate, random),
        "babble": lambda: babble(size, talkers, random),
    }
    kind = str(random.choice(list(kinds)))
    return kind, kinds[kind]()


def add_noise(speech: Waveform, noise: Waveform, snr_db: float, active: slice) -> Waveform:
    """Speech with noise at a signal-to-noise ratio.

    Parameters
    ----------
    speech, noise
        (samples,) float32.
    snr_db
        Power of the speech within `active` against that of the whole noise.
    active
        The samples from the first word to the last.
    """
    gain = np.sqrt(np.mean(speech[active] ** 2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return (speech + gain * noise).astype(np.float32)
