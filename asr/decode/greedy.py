"""Decoding without lexicon or language model: the best column of each frame."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from asr.emissions import Emissions
from asr.text.units import BLANK, WORD_END


def greedy(emissions: Emissions, blank: str = BLANK) -> list[str]:
    """The units of the best path: repeats merged, then blanks dropped.

    Reference: Graves et al. 2006, section 3.2, "best path decoding".
    """
    if len(emissions.scores) == 0:
        return []
    best = emissions.scores.argmax(axis=1)
    kept = best[np.diff(best, prepend=-1) != 0]
    return emissions.units.decode(kept[kept != emissions.units.id(blank)])


def words_of(characters: Iterable[str]) -> str:
    """Characters, with WORD_END after each word, as words separated by single spaces."""
    return " ".join("".join(characters).replace(WORD_END, " ").split())
