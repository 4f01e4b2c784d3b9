"""Cepstra of a training set on disk, read back normalised by speaker: memory does not grow with hours."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut

from asr.data.audio import change_speed, load_cut
from asr.errors import AudioError, DataError
from asr.features.mfcc import MfccSettings, SpeakerNorm, mfcc
from asr.files import content_hash, replacing, write_json
from asr.progress import console, track

QUIET_DB = 30.0  # frames this far below the loudest of their utterance hold no speech, says the flat start
BATCH = 64  # recordings in flight at once


def name_at(name: str, speed: float) -> str:
    """What an utterance or a speaker is called at a speed."""
    return name if speed == 1.0 else f"{name} at {speed:g}"


@dataclass(frozen=True)
class Entry:
    """One utterance: its text, where its frames are; of a copy at another speed, the recorded one's id."""

    id: str
    speaker: str
    text: str
    begin: int
    frames: int
    copy_of: str | None = None


class FeatureStore:
    """Normalised cepstra of every utterance, by index.

    Parameters
    ----------
    path
        The file of raw float32 cepstra.
    entries
        Its utterances in order.
    settings
        How the cepstra were made.
    """

    def __init__(self, path: Path, entries: list[Entry], settings: MfccSettings) -> None:
        self.entries = entries
        self.settings = settings
        total = sum(e.frames for e in entries)
        self._raw = np.memmap(path, np.float32, "r", shape=(total, settings.cepstra))
        norms = {e.speaker: SpeakerNorm(settings.cepstra) for e in entries}
        for e in entries:
            norms[e.speaker].add(self._raw[e.begin : e.begin + e.frames])
        self._scale = {speaker: norm.scale(settings.variance) for speaker, norm in norms.items()}

    @classmethod
    def create(
        cls,
        cuts: CutSet,
        folder: Path,
        settings: MfccSettings,
        rates: tuple[int, int],
        pool: Executor,
        speeds: Sequence[float] = (1.0,),
    ) -> FeatureStore:
        """Compute what is not there yet below `folder`; unreadable audio is named and left out.

        Parameters
        ----------
        cuts
            Utterances of one supervision each.
        folder
            Where the features are kept.
        settings
            How to compute them.
        rates
            The sample rate to work at and the lowest native one, in Hz (see `mfcc`).
        pool
            Computes them.
        speeds
            Factors on tempo and pitch: all cuts at the first, then all at the second. A speaker at
            another speed is another speaker.

        Raises
        ------
        DataError
            If no utterance is left.
        """
        key = content_hash(
            settings.model_dump_json(),
            str(rates),
            str(speeds),
            *(f"{c.id} {c.duration} {c.supervisions[0].speaker} {c.supervisions[0].text}" for c in cuts),
        )
        index, path = folder / "index.json", folder / "cepstra.f32"
        if index.exists():
            head = json.loads(index.read_text(encoding="utf-8"))
            if head["key"] == key and path.exists():
                return cls(path, [Entry(**e) for e in head["entries"]], settings)
            index.unlink()
        entries: list[Entry] = []
        begin = 0
        with replacing(path) as temporary, open(temporary, "wb") as file:
            for cut, speed, cepstra in _cepstra(cuts, settings, rates, pool, speeds):
                file.write(cepstra.tobytes())
                said = cut.supervisions[0]
                name, speaker = (name_at(x, speed) for x in (said.id, said.speaker or said.id))
                copy_of = said.id if speed != 1.0 else None
                entries.append(Entry(name, speaker, said.text or "", begin, len(cepstra), copy_of))
                begin += len(cepstra)
        if not entries:
            raise DataError("no utterance could be read", path=folder, fix="run `asr check` on the corpus")
        write_json(index, {"key": key, "entries": [e.__dict__ for e in entries]})
        return cls(path, entries, settings)

    def __len__(self) -> int:
        return len(self.entries)

    def cepstra(self, i: int) -> np.ndarray:
        """(frames, cepstra) float32 of utterance i, normalised."""
        e = self.entries[i]
        mean, factor = self._scale[e.speaker]
        return (self._raw[e.begin : e.begin + e.frames] - mean) * factor

    def loud(self, i: int) -> np.ndarray:
        """(frames,) whether each frame of utterance i lies within QUIET_DB of its loudest."""
        e = self.entries[i]
        level = self._raw[e.begin : e.begin + e.frames, 0]
        # the zeroth coefficient of an orthonormal transform: mean log power of the filters times sqrt(bins)
        decibels = level * (10 / np.log(10) / np.sqrt(self.settings.mel_bins))
        return decibels > decibels.max() - QUIET_DB


def native_rate(cuts: CutSet, fallback: int) -> int:
    """The lowest sample rate in Hz that a recording was made at, seen through lazy resampling."""
    rates = [
        int(getattr(t, "source_sampling_rate", c.sampling_rate))
        for c in cuts
        for t in (c.recording.transforms or [None])
    ]
    return min(rates, default=fallback)


def _cepstra(
    cuts: CutSet, settings: MfccSettings, rates: tuple[int, int], pool: Executor, speeds: Sequence[float]
) -> Iterator[tuple[Cut, float, np.ndarray]]:
    def one(item: tuple[float, Cut]) -> np.ndarray | AudioError:
        speed, cut = item
        try:
            waveform = change_speed(torch.from_numpy(load_cut(cut, rates[0])), speed)
            return mfcc(waveform.numpy(), rates[0], settings, rates[1])
        except AudioError as e:
            return e

    rest = iter(track(list(itertools.product(speeds, cuts)), "features"))
    while batch := list(itertools.islice(rest, BATCH)):
        for (speed, cut), cepstra in zip(batch, pool.map(one, batch), strict=True):
            if not isinstance(cepstra, AudioError):
                yield cut, speed, cepstra
            elif speed == speeds[0]:
                console.print(f"asr: left out: {cepstra}", style="yellow", markup=False, soft_wrap=True)
