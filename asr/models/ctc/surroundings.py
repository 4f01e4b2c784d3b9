"""Noise and rooms around training audio, drawn anew in every pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from lhotse.audio.mixer import AudioMixer
from lhotse.augmentation import ReverbWithImpulseResponse
from lhotse.augmentation.utils import FastRandomRIRGenerator

from asr.cores import one_core
from asr.data.audio import inspect_audio, resampled
from asr.data.augment import coloured
from asr.errors import AudioError
from asr.models.ctc.settings import CtcSettings
from asr.progress import track

DRAWS = 10  # of a piece of noise that is not silent
ROOMS = 100  # made once: one takes as long as ten seconds of training


class Surroundings:
    """Puts a share of the utterances into a random room, and a share into noise.

    Parameters
    ----------
    settings
        Shares and signal-to-noise ratios.
    noises
        Recordings to take noise from; without any, noise is random, its power falling with the frequency to
        a random power from 0 to 2.

    Raises
    ------
    AudioError
        If one of them cannot be read.

    Reference
    ---------
    Ko et al. 2017, "A study on data augmentation of reverberant speech for robust speech recognition"; the
    rooms are Lhotse's: Luo and Yu 2022, "FRA-RIR: Fast random approximation of the image-source method".
    """

    def __init__(self, settings: CtcSettings, noises: Sequence[Path] = ()) -> None:
        self.settings = settings
        self.rooms = [
            _room(settings.sample_rate, k) for k in track(range(ROOMS if settings.room_share else 0), "rooms")
        ]
        # what can be decoded, which a header may promise more than
        self.noises = [(path, inspect_audio(path).seconds) for path in track(noises, "noises")]

    def __call__(self, waveform: torch.Tensor, draw: int) -> torch.Tensor:
        """What a microphone there hears of (samples,); the same for the same random number `draw`."""
        rng, s = np.random.default_rng(draw), self.settings
        heard = waveform.numpy()[None]
        if rng.random() < s.room_share:
            room = self.rooms[rng.integers(len(self.rooms))]
            heard = ReverbWithImpulseResponse(rir_generator=lambda nsource: room)(heard, s.sample_rate)
        if rng.random() < s.noise_share and heard.any():  # silence has no ratio to noise
            mixer = AudioMixer(heard, s.sample_rate)
            samples = heard.shape[1]
            noise = (
                self._recorded(samples, rng) if self.noises else coloured(samples, rng.uniform(0.0, 2.0), rng)
            )
            mixer.add_to_mix(noise[None], snr=rng.uniform(*s.noise_snr))
            heard = mixer.mixed_mono_audio
        return torch.from_numpy(np.ascontiguousarray(heard[0], dtype=np.float32))

    def _recorded(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        """A random piece of a random recording, repeated where it is shorter; rarely silence."""
        for _ in range(DRAWS):
            if (noise := self._piece(samples, rng)).any():
                break
        return noise

    def _piece(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        path, length = self.noises[rng.integers(len(self.noises))]
        seconds = samples / self.settings.sample_rate
        start = rng.uniform(0.0, max(0.0, length - seconds))
        try:
            with soundfile.SoundFile(path) as sound:
                sound.seek(int(start * sound.samplerate))
                piece = sound.read(math.ceil(seconds * sound.samplerate), dtype="float32", always_2d=True)
                rate = sound.samplerate
        except soundfile.LibsndfileError as e:
            raise AudioError(
                f"cannot be decoded ({e.error_string})", path=path, fix="convert it again"
            ) from e
        noise = resampled(piece.mean(axis=1), rate, self.settings.sample_rate)
        return np.resize(noise, samples)


def _room(sample_rate: int, number: int) -> np.ndarray:
    """An impulse response (1, samples), the same for the same number.

    Lhotse draws a part of it from torch's own generator, and writes reflections that fall on one sample over
    each other: the one that stays depends on how many threads there are.
    """
    with one_core(), torch.random.fork_rng():
        torch.manual_seed(number)
        return np.asarray(FastRandomRIRGenerator(sample_rate, room_seed=number, source_seed=number)(1))
