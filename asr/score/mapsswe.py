"""MAPSSWE: does one system make fewer errors than another on the same speech?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from asr.errors import DataError
from asr.score.counts import Pairs


@dataclass(frozen=True)
class Mapsswe:
    """Outcome of the matched pairs sentence-segment word error test.

    Attributes
    ----------
    segments
        Number of segments in which either system errs.
    mean
        Errors of A minus errors of B, per segment.
    deviation
        Standard deviation of that difference.
    z
        Standardised mean; positive where B is better.
    p
        Two-sided p-value under the normal approximation, sound from about 50 segments on; that of the sign
        test where all segments differ by the same.
    """

    segments: int
    mean: float
    deviation: float
    z: float
    p: float


def mapsswe(a: Sequence[Pairs], b: Sequence[Pairs], utterances: Sequence[str] | None = None) -> Mapsswe:
    """Test whether two systems err equally often on the same utterances.

    Errors of one system are correlated within a stretch of speech, so stretches are compared, not words. A
    segment ends where both systems recognise two words running, and at the end of an utterance.

    Parameters
    ----------
    a, b
        Alignments of the two systems with the same references, in the same order. Use sclite's alignments to
        have the numbers of NIST's sc_stats.
    utterances
        Name of the utterance each is an alignment of, where several seeds recognised the same ones: their
        errors are added up, since the same speech twice is not twice the evidence.

    Raises
    ------
    DataError
        If the references differ.

    Reference
    ---------
    Gillick & Cox (1989), "Some statistical issues in the comparison of speech recognition algorithms",
    section 4. As in sc_stats (SCTK, src/sclite/mtchprs.c) segments without any error are left out; unlike
    there, words that only B puts in after the last word count as well.
    """
    names = list(map(str, range(len(a)))) if utterances is None else utterances
    spoken: dict[str, list[str]] = {}
    rows: dict[str, np.ndarray] = {}
    wrong: dict[str, np.ndarray] = {}
    for name, one, two in zip(names, a, b, strict=True):
        (reference, words_a, inserted_a), (same, words_b, inserted_b) = _by_word(one), _by_word(two)
        if not reference == same == spoken.setdefault(name, reference):
            raise DataError("the two results were scored against different references")
        # row i: insertions before word i and word i itself; the last row: insertions after the last word
        both = np.stack([inserted_a + np.append(words_a, 0), inserted_b + np.append(words_b, 0)])
        rows[name] = rows.get(name, 0) + both
        wrong[name] = wrong.get(name, 0) + np.append(words_a + words_b, 1)
    errors, breaks = list(rows.values()), []
    for name, both in rows.items():
        good_word = wrong[name] == 0
        good_row = (both.sum(axis=0) == 0) & good_word
        breaks.append(np.append(True, good_word[:-1] & good_row[1:]))
    if not errors:
        return Mapsswe(0, 0.0, 0.0, 0.0, 1.0)
    table, segment = np.concatenate(errors, axis=1), np.cumsum(np.concatenate(breaks)) - 1
    counts = np.stack([np.bincount(segment, weights=row) for row in table])
    difference = (counts[0] - counts[1])[counts.sum(axis=0) > 0]
    n = len(difference)
    mean = float(difference.mean()) if n else 0.0
    deviation = float(difference.std(ddof=1)) if n > 1 else 0.0
    if deviation == 0:
        # every segment says the same, so no spread judges it, but that chance gives all of them one sign
        return Mapsswe(n, mean, 0.0, 0.0, min(1.0, 2 * 0.5**n) if mean else 1.0)
    z = mean / (deviation / n**0.5)
    return Mapsswe(n, mean, deviation, float(z), float(2 * norm.sf(abs(z))))


def _by_word(pairs: Pairs) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Reference words, errors on each (words,), insertions before each and after the last (words + 1,)."""
    words: list[str] = []
    wrong: list[int] = []
    inserted = [0]
    for reference, hypothesis in pairs:
        if reference is None:
            inserted[-1] += 1
        else:
            words.append(reference)
            wrong.append(int(reference != hypothesis))
            inserted.append(0)
    return words, np.array(wrong, dtype=np.int64), np.array(inserted, dtype=np.int64)
