"""Counts of errors that add up."""

from __future__ import annotations

from dataclasses import dataclass

from asr.errors import DataError

# (reference token, hypothesis token); None on the left is an insertion, on the right a deletion
Pairs = tuple[tuple[str | None, str | None], ...]


@dataclass(frozen=True)
class Scores:
    """Errors counted against a reference; add them, never average their rates.

    Parameters
    ----------
    substitutions, deletions, insertions
        Errors, in words, characters or phonemes.
    reference
        Length of the reference in the same unit.

    Raises
    ------
    DataError
        If a count is negative or more of the reference is wrong than there is.
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference: int = 0

    def __post_init__(self) -> None:
        if min(self.substitutions, self.deletions, self.insertions, self.hits) < 0:
            raise DataError(f"impossible error counts: {self!r}")

    @classmethod
    def zero(cls) -> Scores:
        """Nothing scored yet: the neutral element of addition."""
        return cls()

    def __add__(self, other: Scores) -> Scores:
        return Scores(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference + other.reference,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def hits(self) -> int:
        """Reference units that were recognised."""
        return self.reference - self.substitutions - self.deletions

    @property
    def rate(self) -> float | None:
        """Errors in percent of the reference; None for an empty reference."""
        return 100.0 * self.errors / self.reference if self.reference else None

    def kaldi(self, name: str = "WER") -> str:
        """The line Kaldi's compute-wer prints: ``%WER 5.95 [ 46 / 773, 3 ins, 3 del, 40 sub ]``."""
        rate = "nan" if self.rate is None else f"{self.rate:.2f}"
        return (
            f"%{name} {rate} [ {self.errors} / {self.reference}, {self.insertions} ins, "
            f"{self.deletions} del, {self.substitutions} sub ]"
        )

    def as_dict(self) -> dict[str, int | float | None]:
        """Counts and rate under the column names of results.csv, for JSON."""
        return {
            "reference": self.reference,
            "sub": self.substitutions,
            "del": self.deletions,
            "ins": self.insertions,
            "rate": self.rate,
        }


@dataclass(frozen=True)
class UtteranceScore:
    """One utterance: its alignment, its counts and, where known, who spoke."""

    id: str
    pairs: Pairs
    scores: Scores
    speaker: str | None = None
