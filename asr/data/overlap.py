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
        """Which of two is to be kept: that of test, then of any other split than train."""
        return {"test": 2, "train": 0}.get(self.split, 1)


def overlapping(stretches: Iterable[Stretch]) -> Iterator[tuple[Stretch, Stretch]]:
    """Pairs that are mostly the same sound, the one to be kept second.

    All pairs in different splits; of one split each stretch comes with one earlier one at most.
    """
    by_sound: defaultdict[str, list[Stretch]] = defaultdict(list)
    for stretch in stretches:
        by_sound[stretch.sound].append(stretch)
    for some in by_sound.values():
        open_: list[tuple[float, int, Stretch]] = []  # a heap of those that began before, by their end
        for number, stretch in enumerate(sorted(some, key=lambda s: s.start)):
            while open_ and open_[0][0] <= stretch.start:
                heapq.heappop(open_)
            told = False
            for *_, other in open_:
                if (told and other.split == stretch.split) or not stretch.shares(other):
                    continue
                told = told or other.split == stretch.split
                yield (stretch, other) if stretch.rank <= other.rank else (other, stretch)
            heapq.heappush(open_, (stretch.end, number, stretch))
