"""The composite HMM of one sentence and exact dynamic programming over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from asr.decode.pieces import FREE, START, Pieces
from asr.decode.topology import Topology
from asr.models.gmmhmm.states import PHONE_STATES, Parameters, States
from asr.text.lexicon import Lexicon

NEGLIGIBLE = -12.0  # log posterior that counts as none


@dataclass(frozen=True)
class Sentence:
    """All ways to say a sentence: every pronunciation of a word, optional pauses around words.

    A node is one emitting state at one place of the sentence. What training changes (how states are tied,
    self-loops, pauses) is left open and filled in by `Weights.of`, so a sentence is compiled once.

    Attributes
    ----------
    keys
        (nodes,) the key of each node, see `States`.
    piece
        (nodes,) the piece of the sentence it belongs to.
    pause
        (nodes,) 1 + index of the pause that begins here, 0 elsewhere.
    first, source, fixed, kind
        Arcs into node n are first[n] .. first[n + 1] - 1: where from, log weight, and the open part. Node
        number ``len(keys)`` is the end; source -1 is the start.
    canonical
        Nodes of the first pronunciations with a short pause at both ends: the flat start. None in contexts.
    words
        Number of words.
    shortest
        The fewest frames the sentence can take.
    """

    keys: np.ndarray
    piece: np.ndarray
    pause: np.ndarray
    first: np.ndarray
    source: np.ndarray
    fixed: np.ndarray
    kind: np.ndarray
    canonical: np.ndarray
    words: int
    shortest: int

    @classmethod
    def build(cls, states: States, topology: Topology, lexicon: Lexicon, words: Sequence[str]) -> Sentence:
        """Compile a sentence, in the contexts that `topology` tells apart; LexiconError names a bad word."""
        pieces = Pieces.of(topology, lexicon, words)
        keys: list[int] = []
        owner: list[int] = []
        pause: list[int] = []
        arcs: list[tuple[int, float, int]] = []
        first = [0]
        last = {START: START}
        for n, p in enumerate(pieces.pieces):
            arcs += [(last[b], -p.cost, p.kind) for b in p.before]
            first.append(len(arcs))
            key = states.key(p.left, p.token, p.right, 0)
            length = states.length(p.token)
            for i in range(1, length):
                arcs.append((len(keys) + i - 1, 0.0, FREE))
                first.append(len(arcs))
            keys += range(key, key + length)
            owner += [n] * length
            pause += [0 if p.word >= 0 else p.way + 1, *[0] * (length - 1)]
            last[n] = len(keys) - 1
        arcs += [(last[n], 0.0, kind) for n, kind in pieces.ends]
        first.append(len(arcs))
        source, fixed, kind = zip(*arcs, strict=True)
        return cls(
            keys=np.array(keys, np.int32),
            piece=np.array(owner, np.int32),
            pause=np.array(pause, np.int8),
            first=np.array(first, np.int32),
            source=np.array(source, np.int32),
            fixed=np.array(fixed, np.float32),
            kind=np.array(kind, np.int8),
            canonical=_canonical(pieces, np.array(owner), len(words))
            if topology.context is None
            else np.zeros(0, np.int32),
            words=len(words),
            shortest=sum(PHONE_STATES * lexicon.shortest(word) for word in words),
        )

    def flat_path(self, loud: np.ndarray) -> np.ndarray:
        """(frames,) nodes: the canonical pronunciation over the `loud` (frames,), every state equally long.

        Quiet frames are a pause wherever they lie, and so is at least one frame at each end.
        """
        frames = loud.copy()
        frames[[0, -1]] = False
        speech, pause = self.canonical[1:-1], self.canonical[0]
        rank = (np.cumsum(frames) - 1) * len(speech) // max(1, frames.sum())
        return np.where(frames, speech[rank], pause).astype(np.int32)

    def spoken(self, states: States, nodes: np.ndarray) -> np.ndarray:
        """Keys of a path (frames,) of nodes, with the neighbours that it really has."""
        pieces = self.piece[nodes]
        begins = np.flatnonzero(np.diff(pieces, prepend=-1))
        _, token, _, _ = states.parts(self.keys[nodes[begins]])
        _, _, _, position = states.parts(self.keys[nodes])
        edge = len(states.phones)
        around = np.concatenate([[edge], states.class_of[token], [edge]])
        run = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(nodes)))
        return states.key(around[run], token[run], around[run + 2], position).astype(np.int32)


def _canonical(pieces: Pieces, owner: np.ndarray, words: int) -> np.ndarray:
    """Nodes of every word's first pronunciation between two short pauses."""
    mine: list[list[int]] = [[] for _ in range(words)]
    pauses = []
    for n, p in enumerate(pieces.pieces):
        if p.word >= 0 and p.way == 0:
            mine[p.word].append(n)
        elif p.word < 0 and p.way == 1:
            pauses.append(n)
    # a word's first token is there twice: after no pause, and after one
    path = [n for i, word in enumerate(mine) for n in (word[i == 0], *word[2:])]
    chosen = [pauses[0], *path, pauses[-1]]
    first = np.searchsorted(owner, chosen)
    return np.concatenate(
        [np.arange(a, b) for a, b in zip(first, np.searchsorted(owner, chosen, "right"), strict=True)]
    ).astype(np.int32)


@dataclass(frozen=True)
class Weights:
    """What parameters make of a sentence.

    Attributes
    ----------
    columns
        (nodes,) the state of each node.
    stay
        (nodes,) log probability of its self-loop.
    arcs
        (arcs,) log weights; leaving a node is part of the arcs out of it.
    """

    columns: np.ndarray
    stay: np.ndarray
    arcs: np.ndarray

    @classmethod
    def of(cls, sentence: Sentence, parameters: Parameters) -> Weights:
        """Fill in what training has found."""
        columns = parameters.states.columns[sentence.keys]
        stay = parameters.stay[columns]
        leave = np.append(np.log1p(-stay), 0.0)  # source -1, the start, finds the zero at the end
        none = max(1.0 - float(parameters.pauses.sum()), 1e-10)
        kinds = np.log([1.0, none, *np.maximum(parameters.pauses, 1e-10)])
        return cls(columns, np.log(stay), sentence.fixed + kinds[sentence.kind] + leave[sentence.source])


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
