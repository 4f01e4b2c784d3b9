"""Utterances that are the same sound: cut from one recording at the same time, or from copies of it."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SHARE = 0.5  # of the shorter one, above which two stretches are the same; cuts often have some margin


@dataclass(frozen=True)
class Stretch:
    """Where the sound of an utterance is.

    Attributes
    ----------
    name
        Id of the utterance.
    split
        Split that it is in.
    sound
        Digest of the recording's samples.
    start, end
        Seconds in the recording.
    channel
        Of the recording; None for all of them.
    """

    name: str
    split: str
    sound: str
    start: float
    end: float
    channel: int | None = None

    def shares(self, other: Stretch) -> bool:
        """Whether it and another one of the same recording are mostly the same sound."""
        both = min(self.end, other.end) - max(self.start, other.start)
        heard = self.channel is None or other.channel is None or self.channel == other.channel
        return heard and both > SHARE * min(self.end - self.start, other.end - other.start)

    @property
    def rank(self) -> int:
        """The more, the rather it is kept."""
        return _rank(self.split)


def overlapping(stretches: Iterable[Stretch]) -> Iterator[tuple[Stretch, Stretch]]:
    """Pairs that are mostly the same sound, the one to be kept second.

    Every stretch that shares its sound with one of its split or of another that is to be kept rather comes
    first in one pair at least for each of these splits.
    """
    by_sound: defaultdict[str, list[Stretch]] = defaultdict(list)
    for stretch in stretches:
        by_sound[stretch.sound].append(stretch)
    for some in by_sound.values():
        # of each split those that began before, by their end, and those of them that are in no pair yet
        open_: defaultdict[str, list[tuple[float, int, Stretch]]] = defaultdict(list)
        single: defaultdict[tuple[str, str], list[Stretch]] = defaultdict(list)
        splits = {s.split for s in some}
        for number, stretch in enumerate(sorted(some, key=lambda s: s.start)):
            for split in splits:
                heap = open_[split]
                while heap and heap[0][0] <= stretch.start:
                    heapq.heappop(heap)
                if _rank(split) < stretch.rank:
                    waiting = [s for s in single[split, stretch.split] if s.end > stretch.start]
                    yield from ((s, stretch) for s in waiting if s.shares(stretch))
                    single[split, stretch.split] = [s for s in waiting if not s.shares(stretch)]
                elif (other := next((s for *_, s in heap if s.shares(stretch)), None)) is not None:
                    yield stretch, other
                elif _rank(split) > stretch.rank:
                    single[stretch.split, split].append(stretch)
            heapq.heappush(open_[stretch.split], (stretch.end, number, stretch))


def _rank(split: str) -> int:
    """Which of two is to be kept: that of test, then of any other split than train."""
    return {"test": 2, "train": 0}.get(split, 1)
