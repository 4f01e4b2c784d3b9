"""Phonetic decision trees: which contexts of a phoneme share a state."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from asr.decode.topology import PLACES
from asr.models.gmmhmm.states import PHONE_STATES, States

RARE_FRAMES = 20  # a phoneme's state with fewer, copies included, is shared with another phoneme


@dataclass
class ContextStatistics:
    """Moments of the frames of each phoneme state in each context; they add.

    Attributes
    ----------
    keys
        (contexts,) keys of phoneme states (see `States`), ascending.
    moments
        (contexts, 1 + 2 dimensions) float64: frames, their sum, the sum of their squares.
    """

    keys: np.ndarray
    moments: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, frames: np.ndarray) -> ContextStatistics:
        """Moments of (frames, dimensions) with a key each."""
        order = np.argsort(keys, kind="stable")
        distinct, first = np.unique(keys[order], return_index=True)
        x = frames[order].astype(np.float64)
        parts = [np.ones((len(x), 1)), x, x * x]
        return cls(distinct, np.concatenate([np.add.reduceat(p, first, axis=0) for p in parts], axis=1))

    def __iadd__(self, other: ContextStatistics) -> ContextStatistics:
        keys, where = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        moments = np.zeros((len(keys), self.moments.shape[1]))
        moments[where[: len(self.keys)]] = self.moments
        moments[where[len(self.keys) :]] += other.moments
        self.keys, self.moments = keys, moments
        return self


def log_likelihood(moments: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Of frames under the one Gaussian that fits them best: (..., 1 + 2 dimensions) to (...,)."""
    size = len(floor)
    n = moments[..., :1]
    count = np.maximum(n, 1e-9)
    variance = np.maximum(moments[..., 1 + size :] / count - (moments[..., 1 : 1 + size] / count) ** 2, floor)
    return -0.5 * n[..., 0] * (np.log(variance).sum(axis=-1) + size * (1 + np.log(2 * np.pi)))


def questions(by_class: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Sets of neighbours worth asking for, found by merging the most similar phonemes again and again.

    Parameters
    ----------
    by_class
        (positions, classes, 1 + 2 dimensions) moments of each phoneme's states; pauses are the last class.
    floor
        (dimensions,) smallest variance.

    Returns
    -------
    numpy.ndarray
        (questions, classes) bool: every class alone, and every set that merging made at any position.

    Reference
    ---------
    Povey et al. 2011, "The Kaldi speech recognition toolkit", section IV (questions made from data).
    """
    classes = by_class.shape[1]
    asked = {tuple(row) for row in np.eye(classes, dtype=bool).tolist()}
    for moments in by_class:
        sets = [np.eye(classes, dtype=bool)[i] for i in range(classes - 1)]
        sums = [moments[i] for i in range(classes - 1)]
        while len(sets) > 2:
            stacked = np.array(sums)
            alone = log_likelihood(stacked, floor)
            together = log_likelihood(stacked[:, None] + stacked[None], floor)
            loss = alone[:, None] + alone[None] - together
            loss[np.tril_indices(len(sets))] = np.inf
            i, j = np.unravel_index(int(loss.argmin()), loss.shape)
            sets[i], sums[i] = sets[i] | sets[j], sums[i] + sums[j]
            del sets[j], sums[j]
            asked.add(tuple(sets[i].tolist()))
    return np.array(sorted(asked))


@dataclass(frozen=True)
class Leaf:
    """What shares a state: phonemes, places (4,) bool, neighbours (classes,) bool each side; its moments."""

    phones: tuple[int, ...]
    position: int
    shared: tuple[np.ndarray, np.ndarray, np.ndarray]  # places, left, right
    moments: np.ndarray


def roots(moments: np.ndarray, floor: np.ndarray) -> list[tuple[int, ...]]:
    """Phonemes that share a state at one position: those heard too little join the one most like them.

    One that was never heard is like no other, and stays alone; so do all where none was heard enough.

    Parameters
    ----------
    moments
        (phonemes, 1 + 2 dimensions) of the frames of each.
    floor
        (dimensions,) smallest variance.
    """
    frames = moments[:, 0]
    hosts = np.flatnonzero(frames >= RARE_FRAMES)
    rare = (frames > 0) & (frames < RARE_FRAMES) & (len(hosts) > 0)
    groups = {k: [k] for k in np.flatnonzero(~rare).tolist()}
    alone = log_likelihood(moments, floor)
    for k in np.flatnonzero(rare).tolist():
        loss = alone[hosts] - log_likelihood(moments[hosts] + moments[k], floor)
        groups[int(hosts[loss.argmin()])].append(k)
    return sorted(tuple(sorted(group)) for group in groups.values())


def grow(
    phones: tuple[str, ...], statistics: ContextStatistics, leaves: int, fewest: float, floor: np.ndarray
) -> tuple[States, np.ndarray]:
    """Split each phoneme state by the question that gains most, the best split of all first.

    A phoneme heard too little at a position begins in one tree with the one most like it there, see `roots`.

    Parameters
    ----------
    phones
        The inventory.
    statistics
        Of single Gaussians in context.
    leaves
        Tied states wanted, silence not counted; fewer where no split is left.
    fewest
        Frames that both sides of a split must have.
    floor
        (dimensions,) smallest variance.

    Returns
    -------
    states
        The tied states.
    moments
        (leaves, 1 + 2 dimensions) of the frames of each, in the order of their columns.

    Reference
    ---------
    Young, Odell and Woodland 1994, "Tree-based state tying for high accuracy acoustic modelling", section 3.
    """
    plain = States(phones)
    left, token, right, position = plain.parts(statistics.keys)
    phone, place = np.divmod(token, len(PLACES))
    size, classes = statistics.moments.shape[1], plain.classes
    spoken = token < plain.spoken
    whole = np.zeros((len(phones), PHONE_STATES, size))
    np.add.at(whole, (phone[spoken], position[spoken]), statistics.moments[spoken])
    by_class = np.concatenate([whole, np.zeros((1, PHONE_STATES, size))]).transpose(1, 0, 2)
    neighbours = questions(by_class, floor)
    # every way to part the places in two, the first one on the side of no
    subsets = np.array(list(itertools.product((False, True), repeat=len(PLACES) - 1)))[1:]
    places = np.concatenate([np.zeros((len(subsets), 1), bool), subsets], axis=1)
    sides = ((place, places), (left, neighbours), (right, neighbours))

    def best_split(leaf: Leaf, rows: np.ndarray) -> tuple[float, int, np.ndarray]:
        """Gain, which of the sides it asks about, and the set."""
        best: tuple[float, int, np.ndarray] = (0.0, 0, places[0])
        whole = log_likelihood(leaf.moments, floor)
        for n, (side, asked) in enumerate(sides):
            sums = np.zeros((asked.shape[1], size))
            np.add.at(sums, side[rows], statistics.moments[rows])
            yes = asked @ sums
            no = leaf.moments - yes
            gain = log_likelihood(yes, floor) + log_likelihood(no, floor) - whole
            gain[np.minimum(yes[:, 0], no[:, 0]) < fewest] = 0.0
            k = int(gain.argmax())
            if gain[k] > best[0]:
                best = (float(gain[k]), n, asked[k])
        return best

    every = np.ones(len(PLACES), bool), np.ones(classes, bool), np.ones(classes, bool)
    found: dict[int, Leaf] = {}
    queue: list[tuple[float, int, int, np.ndarray, np.ndarray]] = []

    def add(number: int, leaf: Leaf, rows: np.ndarray) -> None:
        found[number] = leaf
        gain, side, asks = best_split(leaf, rows)
        if gain > 0:
            heapq.heappush(queue, (-gain, number, side, asks, rows))

    for p in range(PHONE_STATES):
        for together in roots(whole[:, p], floor):
            rows = np.flatnonzero(spoken & np.isin(phone, together) & (position == p))
            add(len(found), Leaf(together, p, every, whole[list(together), p].sum(axis=0)), rows)
    number = len(found)
    while queue and len(found) < leaves:
        _, parent, side, asks, rows = heapq.heappop(queue)
        leaf = found.pop(parent)
        for answer in (asks, ~asks):
            mine = rows[answer[sides[side][0][rows]]]
            moments = statistics.moments[mine].sum(axis=0)
            shared = [s & answer if n == side else s for n, s in enumerate(leaf.shared)]
            add(number, Leaf(leaf.phones, leaf.position, (shared[0], shared[1], shared[2]), moments), mine)
            number += 1
    ordered = sorted(found.items(), key=lambda item: (item[1].phones[0], item[1].position, item[0]))
    table = np.zeros((len(phones), len(PLACES), PHONE_STATES, classes, classes), np.int32)
    for column, (_, leaf) in enumerate(ordered):
        for k in leaf.phones:
            table[k, :, leaf.position][np.ix_(*leaf.shared)] = column
    return States(phones, table), np.array([leaf.moments for _, leaf in ordered])
