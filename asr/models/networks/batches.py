"""Training audio decoded once, and batches of about equal duration."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch.utils.data import Dataset

from asr.data.audio import change_speed, load_cut
from asr.errors import AsrError
from asr.models.networks.network import FRAME_SHIFT_S, MINIMUM_FRAMES, frames_of
from asr.models.networks.speakers import NOBODY, numbered
from asr.progress import console, track

AHEAD = 2  # batches made before they are needed
ROUND_S = 0.64  # batches are padded to a multiple of this: the CPU kernels are prepared once per shape


class Batch(NamedTuple):
    """Padded audio and its labels.

    Attributes
    ----------
    waveforms
        (batch, samples) float32, zero behind each utterance.
    samples
        (batch,) int64, length of each.
    targets
        (sum of target lengths,) int64, all labels in a row.
    target_lengths
        (batch,) int64.
    second
        The same two of a second task, where there is one.
    speakers
        (batch,) int64, see `Utterances`; None: nothing is known of anybody.
    """

    waveforms: torch.Tensor
    samples: torch.Tensor
    targets: torch.Tensor
    target_lengths: torch.Tensor
    second: tuple[torch.Tensor, torch.Tensor] | None = None
    speakers: torch.Tensor | None = None

    @property
    def tasks(self) -> list[Batch]:
        """The batch, for a second task once more with its labels."""
        if self.second is None:
            return [self]
        targets, lengths = self.second
        return [self, self._replace(targets=targets, target_lengths=lengths)]

    def repeated(self, times: int) -> Batch:
        """The utterances with their labels, so many times one below the other."""
        if times == 1:
            return self
        samples, targets, lengths = (
            x.repeat(times) for x in (self.samples, self.targets, self.target_lengths)
        )
        second = None if self.second is None else (self.second[0].repeat(times), self.second[1].repeat(times))
        speakers = None if self.speakers is None else self.speakers.repeat(times)
        return Batch(self.waveforms.repeat(times, 1), samples, targets, lengths, second, speakers)

    def part(self, number: int, of: int) -> Batch:
        """Every so manieth utterance, padded as before; the first one where there is none for this number."""
        rows = list(range(number, len(self.samples), of)) or [0]

        def labels(targets: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            pieces = targets.split(lengths.tolist())
            return torch.cat([pieces[i] for i in rows]), lengths[rows]

        second = None if self.second is None else labels(*self.second)
        speakers = None if self.speakers is None else self.speakers[rows]
        own = labels(self.targets, self.target_lengths)
        return Batch(self.waveforms[rows], self.samples[rows], *own, second, speakers)


def frames_needed(labels: Sequence[int]) -> int:
    """Frames a CTC path needs at least: one a label and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


class Take(NamedTuple):
    """An utterance as one pass takes it.

    Attributes
    ----------
    utterance
        Its number.
    speed
        Factor on its speed.
    draw
        Random number that its surroundings are drawn with; None: it stays as it was recorded.
    alone
        Whether it is taken for one of an unknown speaker.
    """

    utterance: int
    speed: float
    draw: int | None = None
    alone: bool = False


def usable(
    cut: Cut, encode: Sequence[Callable[[Cut], Sequence[int]]], sample_rate: int
) -> tuple[np.ndarray, list[Sequence[int]], int]:
    """Waveform (samples,) of a cut, its labels for each task and the frames that these need.

    Raises
    ------
    AsrError
        If it cannot be read, has no labels, or is too short for them.
    """
    labels = [task(cut) for task in encode]
    waveform = load_cut(cut, sample_rate)
    have, need = frames_of(len(waveform), sample_rate), max(map(frames_needed, labels))
    if need > have:
        raise AsrError(f"has {have} frames for labels that need {need}", utterance=cut.id)
    return waveform, labels, need


class Utterances(Dataset[Batch]):
    """Every utterance of a set as 16-bit audio in one memory-mapped file, with its labels.

    Utterances that cannot be read, or that are too short for their labels, are left out and named on stderr.

    Parameters
    ----------
    cuts
        Cuts with one supervision each.
    encode
        From a cut to its labels, for each task; AsrError leaves it out.
    sample_rate
        Audio is resampled to this many samples per second.
    path
        File for the decoded audio; 115 MB per hour at 16 kHz.
    what
        Name of the set in messages.

    Attributes
    ----------
    speakers
        (utterances,) int64 numbers of their speakers from 0; NOBODY for those without another utterance.
    surroundings
        From a waveform (samples,) and the random number of a `Take` to what is heard of it; None: as it is.
    """

    def __init__(
        self,
        cuts: CutSet,
        encode: Sequence[Callable[[Cut], Sequence[int]]],
        sample_rate: int,
        path: Path,
        what: str,
    ) -> None:
        self.sample_rate = sample_rate
        self.surroundings: Callable[[torch.Tensor, int], torch.Tensor] | None = None
        self.labels: list[list[np.ndarray]] = []
        self.needed: list[int] = []
        starts, ids, speakers, skipped = [0], [], [], 0
        with open(path, "wb") as f:
            for cut in track(list(cuts), f"reading {what}"):
                try:
                    waveform, labels, need = usable(cut, encode, sample_rate)
                except AsrError as e:
                    console.print(f"{what}: left out: {e}", markup=False, soft_wrap=True)
                    skipped += 1
                    continue
                f.write((waveform.clip(-1.0, 1.0) * 32767.0).round().astype(np.int16).tobytes())
                starts.append(starts[-1] + len(waveform))
                self.labels.append([np.asarray(of_task, dtype=np.int64) for of_task in labels])
                self.needed.append(need)
                ids.append(cut.id)
                speakers.append(cut.supervisions[0].speaker or None)
        if skipped:
            console.print(f"{what}: {skipped} of {skipped + len(ids)} utterances left out", markup=False)
        self.ids, self.path, self.speakers = ids, path, numbered(speakers)
        self.starts = np.asarray(starts, dtype=np.int64)
        self._open()

    def _open(self) -> None:
        empty = self.starts[-1] == 0
        self.audio = np.zeros(0, np.int16) if empty else np.memmap(self.path, dtype=np.int16, mode="r")

    def __getstate__(self) -> dict[str, Any]:
        """Without the audio, which another process maps for itself."""
        return {k: v for k, v in self.__dict__.items() if k != "audio"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the audio."""
        self.__dict__ |= state
        self._open()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def seconds(self) -> np.ndarray:
        """(utterances,) duration of each."""
        return np.diff(self.starts) / self.sample_rate

    @property
    def voices(self) -> int:
        """How many speakers are numbered, from 0."""
        return int(self.speakers.max(initial=NOBODY)) + 1

    def __getitem__(self, items: Sequence[Take]) -> Batch:
        """Padded batch; a speed that leaves too few frames is not applied."""
        first, *second = (
            (torch.from_numpy(np.concatenate(labels)), torch.tensor([len(x) for x in labels]))
            for labels in zip(*(self.labels[i] for i, *_ in items), strict=True)
        )
        return Batch(
            *self.audio_of(items), *first, second=second[0] if second else None, speakers=self.who(items)
        )

    def who(self, items: Sequence[Take]) -> torch.Tensor:
        """(batch,) int64 numbers of the speakers."""
        return torch.tensor([NOBODY if take.alone else self.speakers[take.utterance] for take in items])

    def audio_of(self, items: Sequence[Take]) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded waveforms (batch, samples), and the length of each."""
        waveforms = []
        for i, speed, draw, _ in items:
            samples = self.audio[self.starts[i] : self.starts[i + 1]]
            waveform = torch.from_numpy(samples.astype(np.float32)) / 32767.0
            faster = round(len(samples) / speed)
            if frames_of(faster, self.sample_rate) >= self.needed[i]:
                waveform = change_speed(waveform, speed)
            if self.surroundings is not None and draw is not None:
                waveform = self.surroundings(waveform, draw)
            waveforms.append(waveform)
        step = round(ROUND_S * self.sample_rate)
        longest = -(-max(len(w) for w in waveforms) // step) * step
        padded = torch.zeros(len(waveforms), longest)
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = waveform
        return padded, torch.tensor([len(w) for w in waveforms])


class Ahead:
    """The batches of a pass; the next ones are made on another thread while one is learned.

    Parameters
    ----------
    data
        Makes a batch of some takes.
    batches
        Which, pass by pass.
    """

    def __init__(self, data: Dataset[Any], batches: Batches) -> None:
        self.data, self.batches = data, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[Any]] = deque()
            for takes in self.batches:
                waiting.append(pool.submit(self.data.__getitem__, takes))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class Batches:
    """The batches of one pass, drawn anew from (seed, epoch).

    Utterances are sorted by length with some jitter, cut into pieces of about equal duration, and the pieces
    shuffled. Every pass has the same number of them, and resuming needs nothing but the number of the epoch.

    Parameters
    ----------
    seconds
        (utterances,) duration of each.
    batch_s
        Seconds of audio in a batch, about.
    speeds
        Speed factors to draw from; (1.0,) for none.
    seed
        None: sorted by length, unshuffled, for evaluation.
    alone
        Share of the utterances that are taken for some of unknown speakers, where there is a seed.
    ascending
        Of the first pass, the pieces are not shuffled: it goes from short to long.

    Reference
    ---------
    Amodei et al. 2016, "Deep Speech 2", section 3.2 (SortaGrad), for `ascending`.
    """

    def __init__(
        self,
        seconds: np.ndarray,
        batch_s: float,
        speeds: Sequence[float],
        seed: int | None,
        alone: float = 0.0,
        ascending: bool = False,
    ) -> None:
        self.seconds = np.maximum(seconds, MINIMUM_FRAMES * FRAME_SHIFT_S)
        self.batch_s, self.speeds, self.seed, self.alone = batch_s, tuple(speeds), seed, alone
        self.ascending = ascending
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose which pass the next iteration is."""
        self.epoch = epoch

    def __len__(self) -> int:
        return min(len(self.seconds), max(1, round(self.seconds.sum() / self.batch_s)))

    def __iter__(self) -> Iterator[list[Take]]:
        # a generator: Lightning asks for the iterator before it says which epoch it is
        count = len(self.seconds)
        speeds, jitter = np.ones(count), np.ones(count)
        draws: list[int] | list[None] = [None] * count
        alone = np.zeros(count, bool)
        if self.seed is not None:
            rng = np.random.default_rng((self.seed, self.epoch))
            speeds = rng.choice(self.speeds, count)
            jitter = rng.uniform(0.9, 1.1, count)
        lengths = np.maximum(self.seconds / speeds, MINIMUM_FRAMES * FRAME_SHIFT_S)
        order = np.argsort(lengths * jitter, kind="stable")
        middles = np.cumsum(lengths[order]) - lengths[order] / 2
        # boundaries at equal shares of the duration, moved where needed so that no piece is empty
        ranks = np.arange(1, len(self))
        ends = np.searchsorted(middles, lengths.sum() / len(self) * ranks)
        ends = np.minimum(np.maximum.accumulate(np.maximum(ends - ranks, 0)), count - len(self)) + ranks
        pieces = np.split(order, ends)
        if self.seed is not None:
            turns = rng.permutation(len(pieces))  # drawn in any case: what comes after stays the same
            if self.epoch or not self.ascending:
                pieces = [pieces[k] for k in turns]
            draws = rng.integers(2**62, size=count).tolist()
            alone = rng.random(count) < self.alone
        for piece in pieces:
            yield [Take(int(i), float(speeds[i]), draws[i], bool(alone[i])) for i in piece]
