"""How the tokens of a lexicon (phonemes, characters) are spelled out in columns of Emissions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from asr.text.units import Units


@dataclass(frozen=True)
class Topology:
    """The states each lexicon token passes through, as columns of Emissions.

    Attributes
    ----------
    kind
        ``ctc``: a token is its column once or more, blank optional between different tokens and required
        between equal ones (Graves et al. 2006, section 3). ``hmm``: a token is a left-to-right chain.
    tokens
        The symbols lexicon entries are written in, in order, pauses included.
    states
        For each token its columns in order; a CTC token has exactly one.
    stay
        (columns,) natural log probability of the self-loop of each column; zeros for CTC.
    leave
        (columns,) natural log probability of going on; zeros for CTC.
    blank
        The column of the CTC blank; None for an HMM.
    pauses
        (token, probability) of the optional pauses between words, at the start and at the end. The rest of
        the probability is "no pause". Empty for CTC, whose blank takes that part.
    """

    kind: Literal["ctc", "hmm"]
    tokens: tuple[str, ...]
    states: tuple[tuple[int, ...], ...]
    stay: np.ndarray
    leave: np.ndarray
    blank: int | None = None
    pauses: tuple[tuple[str, float], ...] = field(default=())

    @classmethod
    def ctc(cls, units: Units, blank: int = 0) -> Topology:
        """The CTC topology: every unit but the blank is a token."""
        tokens = tuple(u for i, u in enumerate(units) if i != blank)
        zeros = np.zeros(len(units), dtype=np.float32)
        return cls("ctc", tokens, tuple((units.id(t),) for t in tokens), zeros, zeros, blank=blank)
