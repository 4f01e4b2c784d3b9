"""How the tokens of a lexicon (phonemes, characters) are spelled out in columns of Emissions."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Literal

import kaldifst
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


def topology_fst(topology: Topology) -> kaldifst.StdVectorFst:
    """The transducer from columns to tokens, sorted by output label; shared, so not to be altered.

    Input labels are column + 1, output labels are token index + 1, costs are negative natural logs. It has no
    epsilon inputs, so every arc takes one frame: the way from the last state of one token to the first of the
    next is one arc for each pair, which keeps the "blank between equal tokens" rule of CTC exact.

    Reference: Miao, Gowayyed and Metze 2015 (EESEN), section 3.2, for the CTC token transducer; Mohri,
    Pereira and Riley 2002 for the HMM one.
    """
    return _compiled(
        topology.kind == "ctc",
        topology.states,
        tuple((-topology.stay).tolist()),
        tuple((-topology.leave).tolist()),
        topology.blank,
    )


@functools.lru_cache(maxsize=4)
def _compiled(
    ctc: bool,
    states: tuple[tuple[int, ...], ...],
    stay: tuple[float, ...],
    leave: tuple[float, ...],
    blank: int | None,
) -> kaldifst.StdVectorFst:
    lines = ["0"]
    if blank is not None:
        lines.append(f"0 0 {blank + 1} 0 0")
    starts = np.cumsum([1, *(len(chain) for chain in states)])[:-1].tolist()
    for k, (chain, start) in enumerate(zip(states, starts, strict=True)):
        last = start + len(chain) - 1
        lines.append(f"0 {start} {chain[0] + 1} {k + 1} 0")
        for i, column in enumerate(chain):
            lines.append(f"{start + i} {start + i} {column + 1} 0 {stay[column]}")
            if i + 1 < len(chain):
                lines.append(f"{start + i} {start + i + 1} {chain[i + 1] + 1} 0 {leave[column]}")
        out = leave[chain[-1]]
        lines.append(f"{last} {out}")
        if blank is not None:
            lines.append(f"{last} 0 {blank + 1} 0 {out}")
        for j, (other, entry) in enumerate(zip(states, starts, strict=True)):
            if not (ctc and j == k):
                lines.append(f"{last} {entry} {other[0] + 1} {j + 1} {out}")
    fst = kaldifst.compile("\n".join(lines) + "\n", acceptor=False)
    kaldifst.arcsort(fst, "olabel")
    return fst
