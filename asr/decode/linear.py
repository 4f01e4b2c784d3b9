"""The graph of one known sentence, and exact dynamic programming over it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import kaldifst
import numba
import numpy as np

from asr.decode.arcs import Arcs
from asr.decode.pieces import NO_PAUSE, START, Pieces, open_costs
from asr.decode.topology import Topology, topology_fst
from asr.text.lexicon import Lexicon


@dataclass(frozen=True)
class Slot:
    """One place for a token in a sentence: the index of its word, -1 for a pause, and the token."""

    word: int
    token: str


@dataclass(frozen=True)
class Linear:
    """All ways to say one sentence: every pronunciation of each word, optional pauses around words.

    Attributes
    ----------
    arcs
        Input labels are column + 1 on every arc; output label k on the first frame of slots[k - 1].
    slots
        What the output labels mean.
    """

    arcs: Arcs
    slots: tuple[Slot, ...]

    @classmethod
    def build(cls, topology: Topology, lexicon: Lexicon, words: Sequence[str]) -> Linear:
        """Spell the pieces of the sentence as columns.

        Raises
        ------
        LexiconError
            Names a word without a pronunciation or a token outside the topology.
        """
        pieces = Pieces.of(topology, lexicon, words)
        slots = tuple(Slot(p.word, topology.symbols[p.token]) for p in pieces.pieces)
        if topology.kind == "ctc":
            return cls(_through_ctc(topology, pieces), slots)
        chains = [topology.states[topology.chain(p.left, p.token, p.right)] for p in pieces.pieces]
        cost, stay, leave = open_costs(topology), (-topology.stay).tolist(), (-topology.leave).tolist()
        rows: list[tuple[int, int, int, int, float]] = []  # from, to, column, output label, cost
        final = {0: cost[NO_PAUSE]} if not words else {}
        last, state = {START: 0}, 1
        for n, (piece, chain) in enumerate(zip(pieces.pieces, chains, strict=True)):
            for b in piece.before:
                out = 0.0 if b == START else leave[chains[b][-1]]
                rows.append((last[b], state, chain[0], n + 1, out + piece.cost + cost[piece.kind]))
            for i, column in enumerate(chain):
                rows.append((state + i, state + i, column, 0, stay[column]))
                if i + 1 < len(chain):
                    rows.append((state + i, state + i + 1, chain[i + 1], 0, leave[column]))
            state += len(chain)
            last[n] = state - 1
        for n, kind in pieces.ends:
            final[last[n]] = leave[chains[n][-1]] + cost[kind]
        return cls(_arcs(rows, final, state), slots)


def _arcs(rows: Sequence[tuple[int, int, int, int, float]], final: Mapping[int, float], states: int) -> Arcs:
    """(from, to, column, output label, cost) as a graph from state 0; infinite costs are no arcs."""
    rows = sorted(r for r in rows if r[4] < math.inf)
    source, to, column, label, cost = np.array(rows).reshape(-1, 5).T
    ends = np.full(states, np.inf, np.float32)
    ends[list(final)] = list(final.values())
    first = np.searchsorted(source, np.arange(states + 1)).astype(np.int64)
    return Arcs(
        0,
        first,
        ends,
        (column + 1).astype(np.int32),
        label.astype(np.int32),
        cost.astype(np.float32),
        to.astype(np.int32),
    )


def _through_ctc(topology: Topology, pieces: Pieces) -> Arcs:
    """The pieces composed with the CTC topology: blanks between them depend on what they are."""
    ends = dict(pieces.ends)
    lines = []
    for n, piece in enumerate(pieces.pieces):
        lines += [f"{b + 1} {n + 1} {piece.token + 1} {n + 1} {piece.cost}" for b in piece.before]
    lines += [f"{n + 1} 0" for n in ends] or ["0 0"]
    # text begins with the start state
    lines.sort(key=lambda line: not line.startswith("0 "))
    sentence = kaldifst.compile("\n".join(lines) + "\n", acceptor=False)
    kaldifst.arcsort(sentence, "ilabel")
    return Arcs.of(kaldifst.compose(topology_fst(topology), sentence))


@dataclass(frozen=True)
class FramePath:
    """The best way through a graph: (frames,) arcs, natural log score, and if it got to the end."""

    arcs: np.ndarray
    score: float
    complete: bool


def best_path(arcs: Arcs, scores: np.ndarray, beam: float = np.inf) -> FramePath:
    """The best path of (frames, columns) log scores through a graph without epsilon inputs.

    Parameters
    ----------
    arcs
        The graph.
    scores
        (frames, columns) natural log; -inf forbids a column.
    beam
        States worse than the frame's best by more than this are given up; infinity makes the search exact.

    Returns
    -------
    FramePath
        Over the frames that any path could explain, all of them if `complete`; an incomplete path may end
        anywhere.
    """
    path, score, complete = _viterbi(
        arcs.start,
        arcs.first,
        arcs.source,
        arcs.final,
        arcs.ilabel,
        arcs.weight,
        arcs.next,
        np.asarray(scores, np.float32),
        beam,
    )
    return FramePath(path, score, complete)


@numba.njit(cache=True, nogil=True)
def _viterbi(start, first, sources, final, ilabel, weight, to, scores, beam):  # type: ignore[no-untyped-def]  # pragma: no cover
    frames, states = scores.shape[0], len(final)
    value = np.full(states, -np.inf)
    token = np.full(states, -1, np.int64)
    active = np.empty(states, np.int32)
    active[0], n = start, 1
    value[start] = 0.0
    incoming = np.full(states, -np.inf)
    arrived = np.full(states, -1, np.int64)
    reached = np.empty(states, np.int32)
    back = np.empty(1024, np.int64)
    taken = np.empty(1024, np.int64)
    used, done = 0, 0
    for t in range(frames):
        best = -np.inf
        for i in range(n):
            best = max(best, value[active[i]])
        m = 0
        for i in range(n):
            s = active[i]
            if value[s] < best - beam:
                continue
            for a in range(first[s], first[s + 1]):
                v = value[s] - weight[a] + scores[t, ilabel[a] - 1]
                d = to[a]
                if v > incoming[d]:
                    if incoming[d] == -np.inf:
                        reached[m] = d
                        m += 1
                    incoming[d] = v
                    arrived[d] = a
        if m == 0:
            break
        if used + m > len(back):
            size = max(2 * len(back), used + m)
            more = np.empty(size, np.int64)
            more[:used] = back[:used]
            back = more
            more = np.empty(size, np.int64)
            more[:used] = taken[:used]
            taken = more
        for i in range(m):
            d = reached[i]
            a = arrived[d]
            back[used + i] = token[sources[a]]
            taken[used + i] = a
        for i in range(n):
            value[active[i]] = -np.inf
        for i in range(m):
            d = reached[i]
            active[i] = d
            value[d] = incoming[d]
            token[d] = used + i
            incoming[d] = -np.inf
        n = m
        used += m
        done += 1
    end, score, complete = -1, -np.inf, False
    if done == frames:
        for i in range(n):
            s = active[i]
            if value[s] - final[s] > score:
                end, score, complete = s, value[s] - final[s], True
    if not complete:
        for i in range(n):
            if value[active[i]] > score:
                end, score = active[i], value[active[i]]
    path = np.empty(done, np.int64)
    at = token[end] if done > 0 else -1
    for t in range(done - 1, -1, -1):
        path[t] = taken[at]
        at = back[at]
    return path, score, complete


def forward_score(arcs: Arcs, scores: np.ndarray) -> float:
    """Log of the summed probability of all paths of (frames, columns) log scores through a graph.

    The graph must have no epsilon inputs, as `Linear` graphs have none. With CTC posteriors and one
    pronunciation a word this is minus the CTC loss.

    Reference: Graves et al. 2006, "Connectionist temporal classification", equations 5-8.
    """
    return float(
        _forward(
            arcs.start,
            arcs.source,
            arcs.final,
            arcs.ilabel,
            arcs.weight,
            arcs.next,
            scores.astype(np.float64),
        )
    )


@numba.njit(cache=True, nogil=True)
def _forward(start, source, final, ilabel, weight, to, scores):  # type: ignore[no-untyped-def]  # pragma: no cover
    states = len(final)
    value = np.full(states, -np.inf)
    value[start] = 0.0
    for t in range(scores.shape[0]):
        top = np.full(states, -np.inf)
        for a in range(len(to)):
            top[to[a]] = max(top[to[a]], value[source[a]] - weight[a] + scores[t, ilabel[a] - 1])
        total = np.zeros(states)
        for a in range(len(to)):
            v = value[source[a]] - weight[a] + scores[t, ilabel[a] - 1]
            if v > -np.inf:
                total[to[a]] += np.exp(v - top[to[a]])
        for s in range(states):
            value[s] = top[s] + np.log(total[s]) if total[s] > 0 else -np.inf
    best = -np.inf
    for s in range(states):
        best = max(best, value[s] - final[s])
    if best == -np.inf:
        return best
    total_end = 0.0
    for s in range(states):
        total_end += np.exp(value[s] - final[s] - best)
    return best + np.log(total_end)


def frames_needed(arcs: Arcs) -> int:
    """The fewest frames that reach the end of a graph without epsilon inputs; -1 if none do."""
    reached = np.zeros(len(arcs.final), dtype=bool)
    reached[arcs.start] = True
    frames, fresh = 0, reached.copy()
    while fresh.any():
        if np.isfinite(arcs.final[reached]).any():
            return frames
        fresh = np.zeros_like(reached)
        fresh[arcs.next[reached[arcs.source]]] = True
        fresh &= ~reached
        reached |= fresh
        frames += 1
    return -1
