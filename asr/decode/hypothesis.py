"""What the search says was spoken."""

from __future__ import annotations

from dataclasses import dataclass


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
