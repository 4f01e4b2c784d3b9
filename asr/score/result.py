"""Scoring of whole test sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from asr.errors import DataError
from asr.score.align import Method, align_characters, align_words, count
from asr.score.alignments import alignments_text
from asr.score.bootstrap import SPEAKERS, Interval, interval
from asr.score.counts import Scores, UtteranceScore

Unit = Literal["word", "character", "phoneme"]
RATE_NAMES: dict[str, str] = {"word": "WER", "character": "CER", "phoneme": "PER"}


@dataclass(frozen=True)
class Result:
    """The score of a test set.

    Attributes
    ----------
    utterances
        One entry per reference, in the order of the references.
    missing
        References without a hypothesis; they are scored as deletions.
    unknown
        Hypotheses without a reference; they are not scored.
    unit
        What was counted.
    """

    utterances: tuple[UtteranceScore, ...]
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unit: Unit = "word"

    @property
    def scores(self) -> Scores:
        """Counts of all utterances."""
        return sum((u.scores for u in self.utterances), Scores.zero())

    @property
    def rate_name(self) -> str:
        """WER, CER or PER."""
        return RATE_NAMES[self.unit]

    @property
    def speakers(self) -> dict[str, Scores]:
        """Counts by speaker, in the order of first appearance; empty where a speaker is unknown."""
        totals: dict[str, Scores] = {}
        for u in self.utterances:
            if u.speaker is None:
                return {}
            totals[u.speaker] = totals.get(u.speaker, Scores.zero()) + u.scores
        return totals

    @cached_property
    def interval(self) -> Interval:
        """95% bootstrap interval of the rate over utterances; (None, None) for an empty reference."""
        return interval([u.scores for u in self.utterances])

    @cached_property
    def speaker_interval(self) -> Interval:
        """The same over speakers; (None, None) unless `SPEAKERS` or more of them are known."""
        if len(self.speakers) < SPEAKERS:
            return Interval(None, None)
        return interval([u.scores for u in self.utterances], [str(u.speaker) for u in self.utterances])

    def as_dict(self) -> dict[str, object]:
        """Counts, rate and interval for scores.json and `--json`."""
        return {
            "unit": self.unit,
            "utterances": len(self.utterances),
            **self.scores.as_dict(),
            "low": self.interval.low,
            "high": self.interval.high,
            "speaker_low": self.speaker_interval.low,
            "speaker_high": self.speaker_interval.high,
            "missing": list(self.missing),
            "unknown": list(self.unknown),
        }

    def report(self) -> str:
        """The alignments and totals as sclite lays them out."""
        return alignments_text(self.utterances, self.speakers, self.scores)


def score_texts(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    unit: Unit = "word",
    speakers: Mapping[str, str] | None = None,
    method: Method = "jiwer",
) -> Result:
    """Score hypotheses against references.

    Parameters
    ----------
    references, hypotheses
        Utterance id → text; words or phonemes separated by white space. Texts are compared as they are.
    unit
        What is counted: words (WER), characters with the spaces between words (CER) or phonemes (PER).
    speakers
        Utterance id → speaker, for totals and intervals by speaker.
    method
        Whose alignment of words or phonemes is counted; see asr.score.align.

    Raises
    ------
    DataError
        If there is no reference at all.
    """
    if not references:
        raise DataError("there is no reference to score against")
    ids = list(references)
    texts = [references[i] for i in ids], [hypotheses.get(i, "") for i in ids]
    pairs = align_characters(*texts) if unit == "character" else align_words(*texts, method)
    return Result(
        tuple(
            UtteranceScore(i, p, count(p), (speakers or {}).get(i)) for i, p in zip(ids, pairs, strict=True)
        ),
        missing=tuple(i for i in ids if i not in hypotheses),
        unknown=tuple(i for i in hypotheses if i not in references),
        unit=unit,
    )
