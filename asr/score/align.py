"""Alignment of a hypothesis with its reference: jiwer counts, we keep who was matched with whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jiwer
import numpy as np

from asr.score.counts import Pairs, Scores

# jiwer: the fewest errors. sclite: NIST's weights (4 for a substitution, 3 for a deletion or an insertion)
# and NIST's choice among equals. On ordinary output both find the same number of errors, but sclite more
# often tells a word missed and a word put in where jiwer tells two words mistaken.
Method = Literal["jiwer", "sclite"]


def align_words(
    references: Sequence[str], hypotheses: Sequence[str], method: Method = "jiwer"
) -> list[Pairs]:
    """Align white-space separated tokens (words or phonemes) of each hypothesis with its reference.

    Parameters
    ----------
    references, hypotheses
        Texts, in the same order; either may be empty.
    method
        Whose alignment: jiwer's (each error weighs 1) or sclite's (4, 3, 3).

    Returns
    -------
    list of Pairs
        One alignment of minimal weight per text.

    Reference
    ---------
    jiwer.process_words; sclite of NIST's SCTK, src/sclite/align.c.
    """
    if method == "sclite":
        pairs = zip(references, hypotheses, strict=True)
        return [_sclite(r.split(), h.split()) for r, h in pairs]
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


def _sclite(reference: Sequence[str], hypothesis: Sequence[str]) -> Pairs:
    """Alignment with sclite's weights; from the end, a match or substitution goes before an insertion."""
    rows, columns = len(reference), len(hypothesis)
    cost = np.zeros((rows + 1, columns + 1), dtype=np.int32)
    cost[0] = rising = 3 * np.arange(columns + 1, dtype=np.int32)
    number = {word: n for n, word in enumerate({*reference, *hypothesis})}
    heard = np.array([number[word] for word in hypothesis], dtype=np.int32)
    for i in range(rows):
        # without insertions first; then an insertion is worth 3 a column, a running minimum
        row = np.minimum(
            cost[i] + 3, np.append(cost[i, 0] + 3, cost[i, :-1] + 4 * (heard != number[reference[i]]))
        )
        cost[i + 1] = np.minimum.accumulate(row - rising) + rising
    i, j = rows, columns
    pairs: list[tuple[str | None, str | None]] = []
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + 4 * (reference[i - 1] != hypothesis[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((reference[i], hypothesis[j]))
        elif j and cost[i, j] == cost[i, j - 1] + 3:
            j -= 1
            pairs.append((None, hypothesis[j]))
        else:
            i -= 1
            pairs.append((reference[i], None))
    return tuple(reversed(pairs))


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
