"""A known sentence as the pieces it can be said with: one token, in one context, at one place."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from asr.decode.topology import Topology, pronunciations
from asr.text.lexicon import Lexicon

START = -1
# what entering a piece or the end costs besides its own: nothing, the probability of no pause, of a pause
FREE, NO_PAUSE, PAUSE = 0, 1, 2


@dataclass(frozen=True)
class Piece:
    """One token in one context.

    Attributes
    ----------
    word
        Index of its word; -1 for a pause.
    way
        Index of the pronunciation of that word; for a pause, of the pause.
    token
        Index of the token.
    left, right
        Classes of the neighbours; the boundary's where the token does not depend on them.
    before
        The pieces it may follow; START among them where it may begin the sentence.
    cost
        Negative log probability of the pronunciation, on its first token.
    kind
        What is left open: FREE, NO_PAUSE, or PAUSE + the index of the pause.
    """

    word: int
    way: int
    token: int
    left: int
    right: int
    before: tuple[int, ...]
    cost: float
    kind: int


@dataclass(frozen=True)
class Pieces:
    """All ways to say a sentence: every pronunciation of each word, optional pauses around words.

    Attributes
    ----------
    pieces
        Every piece comes after those it may follow.
    ends
        (piece, kind) of those the sentence may end with.
    """

    pieces: tuple[Piece, ...]
    ends: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, topology: Topology, lexicon: Lexicon, words: Sequence[str]) -> Pieces:
        """Every way to say `words`; pauses are the last tokens a word may be followed by.

        Raises
        ------
        LexiconError
            Names a word without a pronunciation or a token outside the topology.
        """
        spoken = pronunciations(lexicon, words, topology)
        pauses = [topology.tokens.index(token) for token, _ in topology.pauses]
        # (from, to, word, way, token, cost, kind): every hub has a twin that is reached through a pause
        arcs: list[tuple[int, int, int, int, int, float, int]] = []
        hub, state = 0, 1
        for i in range(len(words) + 1):
            heads = [(hub, NO_PAUSE)]
            if pauses:
                arcs += [(hub, state, -1, k, token, 0.0, PAUSE + k) for k, token in enumerate(pauses)]
                heads.append((state, FREE))
                state += 1
            if i == len(words):
                break
            end, state = state, state + 1
            for way, (labels, cost) in enumerate(spoken[words[i]]):
                froms = heads
                for n, label in enumerate(labels):
                    to = end if n + 1 == len(labels) else state
                    arcs += [(at, to, i, way, label - 1, cost, kind) for at, kind in froms]
                    froms, cost = [(to, FREE)], 0.0
                    state += to == state
            hub = end
        return cls._in_context(topology, arcs, dict(heads))

    @classmethod
    def _in_context(
        cls,
        topology: Topology,
        arcs: list[tuple[int, int, int, int, int, float, int]],
        final: dict[int, int],
    ) -> Pieces:
        classes, boundary, free = topology.classes, topology.boundary, topology.free
        lefts: defaultdict[int, set[int]] = defaultdict(set, {0: {boundary}})
        rights: defaultdict[int, set[int]] = defaultdict(set, {state: {boundary} for state in final})
        for a, b, _, _, token, _, _ in arcs:
            lefts[b].add(classes[token])
            rights[a].add(classes[token])
        pieces: list[Piece] = []
        ends: list[tuple[int, int]] = []
        # pieces into a state, by the class they expect next; None: any
        into: defaultdict[int, list[tuple[int, int, int | None]]] = defaultdict(list)
        # a state's arcs come after those that lead to it
        for a, b, word, way, token, cost, kind in arcs:
            mine = classes[token]
            for left in [None] if token in free else sorted(lefts[a]):
                before = tuple(
                    n for n, other, expects in into[a] if expects in (None, mine) and left in (None, other)
                )
                if a == 0 and left in (None, boundary):
                    before = (START, *before)
                if not before:
                    continue
                for right in [None] if token in free else sorted(rights[b]):
                    n = len(pieces)
                    into[b].append((n, mine, right))
                    if b in final and right in (None, boundary):
                        ends.append((n, final[b]))
                    behind, ahead = (boundary if c is None else c for c in (left, right))
                    pieces.append(Piece(word, way, token, behind, ahead, before, cost, kind))
        return cls(tuple(pieces), tuple(ends))


def open_costs(topology: Topology) -> tuple[float, ...]:
    """Negative log probability of each kind."""
    none = 1.0 - sum(p for _, p in topology.pauses)
    return tuple(-math.log(p) if p > 0 else math.inf for p in (1.0, none, *(p for _, p in topology.pauses)))
