"""What the search says was spoken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asr.decode.align import Segment

Timed = TypeVar("Timed", "Word", "Segment")


@dataclass(frozen=True)
class Word:
    """One recognised word: text, start and length in seconds, confidence in 0..1."""

    text: str
    start_s: float
    duration_s: float
    confidence: float


@dataclass(frozen=True)
class Hypothesis:
    """The words of one utterance, and whether a final state of the graph was reached."""

    words: tuple[Word, ...]
    complete: bool = True

    @property
    def text(self) -> str:
        """The words joined by single spaces."""
        return " ".join(w.text for w in self.words)


def within(some: Timed, start_s: float, end_s: float) -> Timed:
    """A word or segment of the piece from `start_s` to `end_s`, its time counted from that of the recording.

    Frames may reach beyond the samples: the last one is padded, and a network gives 0.8 s at least.
    """
    first = min(start_s + some.start_s, end_s)
    last = min(start_s + some.start_s + some.duration_s, end_s)
    return replace(some, start_s=first, duration_s=last - first)
