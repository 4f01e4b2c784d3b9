"""Noise and rooms around training audio, drawn anew in every pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lhotse import Recording
from lhotse.audio.mixer import AudioMixer
from lhotse.augmentation import ReverbWithImpulseResponse
from lhotse.augmentation.utils import FastRandomRIRGenerator

from asr.data.audio import SUFFIXES, inspect_audio
from asr.errors import DataError
from asr.models.ctc.settings import CtcSettings
from asr.progress import track

ROOMS = 100  # made once: one takes as long as ten seconds of training


class Surroundings:
    """Puts a share of the utterances into a random room, and a share into noise.

    Parameters
    ----------
    settings
        Shares, signal-to-noise ratios and, for recorded noise, its folder.

    Raises
    ------
    DataError
        If that folder holds no audio.
    AudioError
        If a file there cannot be read.

    Reference
    ---------
    Ko et al. 2017, "A study on data augmentation of reverberant speech for robust speech recognition"; the
    rooms are Lhotse's: Luo and Yu 2022, "FRA-RIR: Fast random approximation of the image-source method".
    """

    def __init__(self, settings: CtcSettings) -> None:
        self.settings = settings
        numbers = track(range(ROOMS), "rooms") if settings.room_share else ()
        self.rooms = [
            FastRandomRIRGenerator(settings.sample_rate, room_seed=k, source_seed=k)(1) for k in numbers
        ]
        self.recordings: list[Recording] = []
        if settings.noise_share and settings.noise_from is not None:
            folder = Path(settings.noise_from)
            files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
            if not files:
                raise DataError(
                    "holds no audio", path=folder, fix="set model.noise_from to a folder of noises"
                )
            for file in track(files, "noises"):
                inspect_audio(file)
                self.recordings.append(Recording.from_file(file).resample(settings.sample_rate))

    def __call__(self, waveform: torch.Tensor, draw: int) -> torch.Tensor:
        """What a microphone there hears of (samples,); the same for the same random number `draw`."""
        rng, s = np.random.default_rng(draw), self.settings
        heard = waveform.numpy()[None]
        if rng.random() < s.room_share:
            room = self.rooms[rng.integers(len(self.rooms))]
            heard = ReverbWithImpulseResponse(rir_generator=lambda nsource: room)(heard, s.sample_rate)
        if rng.random() < s.noise_share:
            mixer = AudioMixer(heard, s.sample_rate)
            noise = self._recorded(heard.shape[1], rng) if self.recordings else coloured(heard.shape[1], rng)
            mixer.add_to_mix(noise[None], snr=rng.uniform(*s.noise_snr))
            heard = mixer.mixed_mono_audio
        return torch.from_numpy(np.ascontiguousarray(heard[0], dtype=np.float32))

    def _recorded(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        """A random piece of a random recording, over and over where that is shorter."""
        recording = self.recordings[rng.integers(len(self.recordings))]
        seconds = samples / self.settings.sample_rate
        start = rng.uniform(0.0, max(0.0, recording.duration - seconds))
        piece = recording.load_audio(offset=start, duration=min(seconds, recording.duration)).mean(axis=0)
        return np.resize(piece, samples)


def coloured(samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples,) float32 noise, its power falling with the frequency to a random power from 0 to 2."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0.0, 1.0)
    noise = np.fft.irfft(spectrum, samples)
    return (noise / max(float(np.abs(noise).max()), 1e-12)).astype(np.float32)
