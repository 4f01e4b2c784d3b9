"""The composite HMM of one sentence and exact dynamic programming over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from asr.models.gmmhmm.states import SHORT_PAUSE, SILENCE, Parameters, States
from asr.text.lexicon import Lexicon

NEGLIGIBLE = -12.0  # log posterior that counts as none
# what an arc costs besides its fixed weight: nothing, the probability of no pause, or of a pause
FREE, NO_PAUSE = 0, 1


@dataclass(frozen=True)
class Sentence:
    """All ways to say a sentence: every pronunciation of a word, optional pauses around words.

    A node is one emitting state at one place of the sentence. What training changes (self-loops, pauses) is
    left open and filled in by `Weights.of`, so a sentence is compiled once.

    Attributes
    ----------
    columns
        (nodes,) the emission column of each node.
    first, source, fixed, kind
        Arcs into node n are first[n] .. first[n + 1] - 1: where from, log weight, and the open part. Node
        number ``len(columns)`` is the end; source -1 is the start.
    pause
        (nodes,) 1 + index of the pause that begins here, 0 elsewhere.
    canonical
        Nodes of the first pronunciations with a short pause at both ends: the flat start.
    words
        Number of words.
    shortest
        The fewest frames the sentence can take.
    """

    columns: np.ndarray
    first: np.ndarray
    source: np.ndarray
    fixed: np.ndarray
    kind: np.ndarray
    pause: np.ndarray
    canonical: np.ndarray
    words: int
    shortest: int

    @classmethod
    def build(cls, states: States, lexicon: Lexicon, words: Sequence[str]) -> Sentence:
        """Compile a sentence; KeyError names a word that is not in the lexicon."""
        columns: list[int] = []
        arcs: list[list[tuple[int, float, int]]] = []  # into each node
        pause: list[int] = []
        canonical: list[int] = []
        shortest = 0

        def chain(tokens: Sequence[str], heads: list[tuple[int, float, int]], begins: int = 0) -> int:
            for column in (c for t in tokens for c in states.columns[t]):
                columns.append(column)
                arcs.append(heads)
                pause.append(begins)
                heads, begins = [(len(columns) - 1, 0.0, FREE)], 0
            return len(columns) - 1

        ends = [-1]  # last nodes of the word before
        for i in range(len(words) + 1):
            heads = [(n, 0.0, NO_PAUSE) for n in ends]
            for k, token in enumerate((SILENCE, SHORT_PAUSE)):
                end = chain([token], [(n, 0.0, NO_PAUSE + 1 + k) for n in ends], 1 + k)
                heads.append((end, 0.0, FREE))
                if token == SHORT_PAUSE and i in (0, len(words)):
                    canonical.append(end)
            if i == len(words):
                arcs.append(heads)
                break
            ways = lexicon.entries[words[i]]
            chances = lexicon.probabilities.get(words[i], (1 / len(ways),) * len(ways))
            ends = []
            for way, chance in zip(ways, chances, strict=True):
                begin = len(columns)
                chance = math.log(max(chance, 1e-10))
                ends.append(chain(way, [(n, w + chance, kind) for n, w, kind in heads]))
                if len(ends) == 1:
                    canonical += range(begin, ends[0] + 1)
            shortest += min(sum(len(states.columns[t]) for t in way) for way in ways)
        flat = [arc for into in arcs for arc in into]
        return cls(
            columns=np.array(columns, np.int32),
            first=np.cumsum([0, *map(len, arcs)], dtype=np.int32),
            source=np.array([s for s, _, _ in flat], np.int32),
            fixed=np.array([w for _, w, _ in flat], np.float32),
            kind=np.array([k for _, _, k in flat], np.int8),
            pause=np.array(pause, np.int8),
            canonical=np.array(canonical, np.int32),
            words=len(words),
            shortest=shortest,
        )

    def flat_path(self, frames: int) -> np.ndarray:
        """(frames,) nodes: the canonical pronunciation, every state equally long."""
        return self.canonical[np.arange(frames) * len(self.canonical) // frames]


@dataclass(frozen=True)
class Weights:
    """The log weights of one sentence under some parameters: self-loops (nodes,) and arcs (arcs,)."""

    stay: np.ndarray
    arcs: np.ndarray

    @classmethod
    def of(cls, sentence: Sentence, parameters: Parameters) -> Weights:
        """Fill in what training has found; leaving a node is part of the arcs out of it."""
        stay = parameters.stay[sentence.columns]
        leave = np.append(np.log1p(-stay), 0.0)  # source -1, the start, finds the zero at the end
        none = max(1.0 - float(parameters.pauses.sum()), 1e-10)
        kinds = np.log([1.0, none, *np.maximum(parameters.pauses, 1e-10)])
        return cls(np.log(stay), sentence.fixed + kinds[sentence.kind] + leave[sentence.source])


def best_path(sentence: Sentence, weights: Weights, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Log score of the best path and its nodes (frames,), for (frames, nodes) log likelihoods.

    The score is -inf where the frames are too few.
    """
    s = sentence
    return _viterbi(s.first, s.source, weights.arcs, weights.stay, scores)


def posteriors(
    sentence: Sentence, weights: Weights, scores: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log probability over all paths, node posteriors (frames, nodes), expected self-loops (nodes,).

    Reference
    ---------
    Rabiner 1989, Proc. IEEE 77(2), equations 19-27, in logarithms: likelihoods of neighbouring states differ
    by hundreds of nats, more than scaled doubles hold.
    """
    s = sentence
    return _forward_backward(s.first, s.source, weights.arcs, weights.stay, scores)


@numba.njit(cache=True, nogil=True)
def _viterbi(first, source, arcs, stay, scores):  # type: ignore[no-untyped-def]  # pragma: no cover
    frames, nodes = scores.shape
    back = np.empty((frames, nodes), np.int32)
    value, before = np.empty(nodes), np.full(nodes, -np.inf)
    for t in range(frames):
        for n in range(nodes):
            best, where = before[n] + stay[n], n
            for a in range(first[n], first[n + 1]):
                m = source[a]
                if m >= 0:
                    v = before[m] + arcs[a]
                elif t == 0:
                    v = arcs[a]
                else:
                    continue
                if v > best:
                    best, where = v, m
            value[n] = best + scores[t, n]
            back[t, n] = where
        value, before = before, value
    best, where = -np.inf, -1
    for a in range(first[nodes], first[nodes + 1]):
        if source[a] >= 0 and before[source[a]] + arcs[a] > best:
            best, where = before[source[a]] + arcs[a], source[a]
    path = np.empty(frames, np.int32)
    for t in range(frames - 1, -1, -1):
        path[t] = where
        if where >= 0:
            where = back[t, where]
    return best, path


@numba.njit(cache=True, nogil=True)
def _add(a, b):  # type: ignore[no-untyped-def]  # pragma: no cover
    """log(exp(a) + exp(b)), exact to double precision."""
    if a < b:
        a, b = b, a
    # the first test also keeps -inf - -inf from becoming NaN
    return a if b <= a - 40.0 else a + math.log1p(math.exp(b - a))


@numba.njit(cache=True, nogil=True)
def _forward_backward(first, source, arcs, stay, scores):  # type: ignore[no-untyped-def]  # pragma: no cover
    frames, nodes = scores.shape
    alpha = np.empty((frames, nodes))
    for t in range(frames):
        for n in range(nodes):
            p = alpha[t - 1, n] + stay[n] if t > 0 else -np.inf
            for a in range(first[n], first[n + 1]):
                m = source[a]
                if m >= 0 and t > 0:
                    p = _add(p, alpha[t - 1, m] + arcs[a])
                elif m < 0 and t == 0:
                    p = _add(p, arcs[a])
            alpha[t, n] = p + scores[t, n]
    total = -np.inf
    beta, ahead, stays = np.full(nodes, -np.inf), np.empty(nodes), np.zeros(nodes)
    for a in range(first[nodes], first[nodes + 1]):
        if source[a] >= 0:
            total = _add(total, alpha[frames - 1, source[a]] + arcs[a])
            beta[source[a]] = _add(beta[source[a]], arcs[a])
    posterior = np.zeros((frames, nodes))
    if total == -np.inf:
        return total, posterior, stays
    for t in range(frames - 1, -1, -1):
        for n in range(nodes):
            p = alpha[t, n] + beta[n] - total
            if p > NEGLIGIBLE:
                posterior[t, n] = math.exp(p)
            ahead[n] = beta[n] + scores[t, n]
            beta[n] = -np.inf
        if t == 0:
            break
        for n in range(nodes):
            if ahead[n] == -np.inf:
                continue
            loop = ahead[n] + stay[n]
            beta[n] = _add(beta[n], loop)
            p = alpha[t - 1, n] + loop - total
            if p > NEGLIGIBLE:
                stays[n] += math.exp(p)
            for a in range(first[n], first[n + 1]):
                m = source[a]
                if m >= 0:
                    beta[m] = _add(beta[m], ahead[n] + arcs[a])
    return total, posterior, stays
