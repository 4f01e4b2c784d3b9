"""Alignment of a hypothesis with its reference: jiwer counts, we keep who was matched with whom."""

from __future__ import annotations

from collections.abc import Sequence

import jiwer

from asr.score.counts import Scores

# (reference token, hypothesis token); None on the left is an insertion, on the right a deletion
Pairs = tuple[tuple[str | None, str | None], ...]


def align_words(references: Sequence[str], hypotheses: Sequence[str]) -> list[Pairs]:
    """Align white-space separated tokens (words or phonemes) of each hypothesis with its reference.

    Parameters
    ----------
    references, hypotheses
        Texts, in the same order; either may be empty.

    Returns
    -------
    list of Pairs
        One alignment of minimal edit distance per text.

    Reference
    ---------
    jiwer.process_words, an edit distance with weight 1 for each kind of error (Levenshtein 1966).
    """
    return _pairs(jiwer.process_words(*_spaced(references, hypotheses))) if references else []


def align_characters(references: Sequence[str], hypotheses: Sequence[str]) -> list[Pairs]:
    """Align characters, the single spaces between words included, as jiwer.process_characters does."""
    return _pairs(jiwer.process_characters(*_spaced(references, hypotheses))) if references else []


def count(pairs: Pairs) -> Scores:
    """The errors of one alignment."""
    insertions = sum(r is None for r, _ in pairs)
    deletions = sum(h is None for _, h in pairs)
    wrong = sum(r != h for r, h in pairs)
    return Scores(wrong - insertions - deletions, deletions, insertions, len(pairs) - insertions)


def _spaced(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts with single spaces: jiwer would count a second space as an empty word."""
    return [" ".join(t.split()) for t in references], [" ".join(t.split()) for t in hypotheses]


def _pairs(output: jiwer.WordOutput | jiwer.CharacterOutput) -> list[Pairs]:
    aligned = []
    for reference, hypothesis, chunks in zip(
        output.references, output.hypotheses, output.alignments, strict=True
    ):
        pairs: list[tuple[str | None, str | None]] = []
        for chunk in chunks:
            left: Sequence[str | None] = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            right: Sequence[str | None] = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "insert":
                left = [None] * len(right)
            elif chunk.type == "delete":
                right = [None] * len(left)
            pairs.extend(zip(left, right, strict=True))
        aligned.append(tuple(pairs))
    return aligned
