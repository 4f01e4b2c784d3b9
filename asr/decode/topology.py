"""How the tokens of a lexicon (phonemes, characters) are spelled out in columns of Emissions."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import kaldifst
import numpy as np

from asr.errors import LexiconError
from asr.text.lexicon import Lexicon
from asr.text.units import Units

PLACES = ("B", "I", "E", "S")  # of a token in its word: at the beginning, inside, at the end, alone


def at_places(pronunciation: Sequence[str]) -> list[str]:
    """The tokens of a word with their places: ``K_B AE_I T_E``, ``AY_S``."""
    inner = len(pronunciation) - 2
    places = "S" if inner < 0 else f"B{'I' * inner}E"
    return [f"{token}_{place}" for token, place in zip(pronunciation, places, strict=True)]


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
        For each token its columns in order; a CTC token has exactly one. With `context`: distinct chains.
    stay
        (columns,) natural log probability of the self-loop of each column; zeros for CTC.
    leave
        (columns,) natural log probability of going on; zeros for CTC.
    blank
        The column of the CTC blank; None for an HMM.
    pauses
        (token, probability) of the optional pauses between words, at the start and at the end. The rest of
        the probability is "no pause". Empty for CTC, whose blank takes that part.
    context
        (classes, tokens, classes) index in `states` of the chain of each token between two neighbours; None
        where a token is the same everywhere, and token i is chain i.
    classes
        What each token counts as for its neighbours: short and long pauses are the same there.
    boundary
        The class before the first and after the last token.
    placed
        Whether tokens are those of the lexicon at a place in their word, see `at_places`.
    """

    kind: Literal["ctc", "hmm"]
    tokens: tuple[str, ...]
    states: tuple[tuple[int, ...], ...]
    stay: np.ndarray
    leave: np.ndarray
    blank: int | None = None
    pauses: tuple[tuple[str, float], ...] = field(default=())
    context: np.ndarray | None = None
    classes: tuple[int, ...] = ()
    boundary: int = 0
    placed: bool = False

    def __post_init__(self) -> None:
        if not self.classes:
            object.__setattr__(self, "classes", (0,) * len(self.tokens))

    @functools.cached_property
    def free(self) -> frozenset[int]:
        """The tokens that do not depend on their neighbours."""
        if self.context is None:
            return frozenset(range(len(self.tokens)))
        same = (self.context == self.context[:1, :, :1]).all(axis=(0, 2))
        return frozenset(np.flatnonzero(same).tolist())

    def chain(self, left: int, token: int, right: int) -> int:
        """Index in `states` of a token between neighbours of two classes."""
        return token if self.context is None else int(self.context[left, token, right])

    @functools.cached_property
    def symbols(self) -> tuple[str, ...]:
        """Each token as the lexicon writes it."""
        pauses = {token for token, _ in self.pauses}
        return tuple(t.rpartition("_")[0] if self.placed and t not in pauses else t for t in self.tokens)

    @classmethod
    def ctc(cls, units: Units, blank: int = 0) -> Topology:
        """The CTC topology: every unit but the blank is a token."""
        tokens = tuple(u for i, u in enumerate(units) if i != blank)
        zeros = np.zeros(len(units), dtype=np.float32)
        return cls("ctc", tokens, tuple((units.id(t),) for t in tokens), zeros, zeros, blank=blank)


def topology_fst(topology: Topology) -> kaldifst.StdVectorFst:
    """The transducer from columns to tokens of a CTC topology; shared, so not to be altered.

    Input labels are column + 1, output labels are token index + 1, costs are zero. It has no epsilon inputs,
    so every arc takes one frame: the way from one token to the next is one arc for each pair, which keeps the
    "blank between equal tokens" rule exact. Sorted by output label.

    Reference: Miao, Gowayyed and Metze 2015 (EESEN), section 3.2.
    """
    assert topology.kind == "ctc" and topology.blank is not None
    return _compiled(tuple(chain[0] for chain in topology.states), topology.blank)


@functools.lru_cache(maxsize=4)
def _compiled(columns: tuple[int, ...], blank: int) -> kaldifst.StdVectorFst:
    lines = [f"0 0 {blank + 1} 0 0", "0"]
    for k, column in enumerate(columns):
        lines.append(f"0 {k + 1} {column + 1} {k + 1} 0")
        lines.append(f"{k + 1} {k + 1} {column + 1} 0 0")
        lines.append(f"{k + 1} 0")
        lines.append(f"{k + 1} 0 {blank + 1} 0 0")
        lines += [f"{k + 1} {j + 1} {c + 1} {j + 1} 0" for j, c in enumerate(columns) if j != k]
    fst = kaldifst.compile("\n".join(lines) + "\n", acceptor=False)
    kaldifst.arcsort(fst, "olabel")
    return fst


Pronunciations = dict[str, list[tuple[tuple[int, ...], float]]]


def pronunciations(lexicon: Lexicon, words: Iterable[str], topology: Topology) -> Pronunciations:
    """Token labels (index + 1) and cost (0 without probabilities) of every way to say each of `words`.

    Raises
    ------
    LexiconError
        Names the words that are not in the lexicon, or the token that is not in the topology.
    """
    label = {token: i + 1 for i, token in enumerate(topology.tokens)}
    found: Pronunciations = {}
    words = list(dict.fromkeys(words))
    if missing := [repr(word) for word in words if word not in lexicon.entries]:
        what = f"word {missing[0]} is" if len(missing) == 1 else f"words {', '.join(missing)} are"
        raise LexiconError(f"{what} not in the lexicon", fix="add what is missing to the lexicon")
    for word in words:
        try:
            ways = [at_places(p) if topology.placed else p for p in lexicon.entries[word]]
            spelled = [tuple(label[t] for t in way) for way in ways]
        except KeyError as e:
            odd = e.args[0].rpartition("_")[0] if topology.placed else e.args[0]
            raise LexiconError(
                f"word {word!r} is pronounced with {odd!r}, which the model does not know",
                fix="use the lexicon the model was trained with",
            ) from e
        chances = lexicon.probabilities.get(word, (1.0,) * len(spelled))
        found[word] = [(p, -math.log(c)) for p, c in zip(spelled, chances, strict=True) if c > 0]
    return found
