"""Phonetic decision trees: which contexts of a phoneme share a state."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from asr.models.gmmhmm.states import PHONE_STATES, States


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
    """The contexts (classes,) bool on both sides that share a state, and the moments of its frames."""

    phone: int
    position: int
    left: np.ndarray
    right: np.ndarray
    moments: np.ndarray


def grow(
    phones: tuple[str, ...], statistics: ContextStatistics, leaves: int, fewest: float, floor: np.ndarray
) -> tuple[States, np.ndarray]:
    """Split each phoneme state by the question that gains most, the best split of all first.

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
    size, classes = statistics.moments.shape[1], plain.classes
    spoken = token < len(phones)
    whole = np.zeros((len(phones), PHONE_STATES, size))
    np.add.at(whole, (token[spoken], position[spoken]), statistics.moments[spoken])
    by_class = np.concatenate([whole, np.zeros((1, PHONE_STATES, size))]).transpose(1, 0, 2)
    asked = questions(by_class, floor)

    def best_split(leaf: Leaf, rows: np.ndarray) -> tuple[float, bool, np.ndarray]:
        """Gain, whether it asks for the left neighbour, and the set."""
        best: tuple[float, bool, np.ndarray] = (0.0, True, asked[0])
        whole = log_likelihood(leaf.moments, floor)
        for on_left, side in ((True, left), (False, right)):
            sums = np.zeros((classes, size))
            np.add.at(sums, side[rows], statistics.moments[rows])
            yes = asked @ sums
            no = leaf.moments - yes
            gain = log_likelihood(yes, floor) + log_likelihood(no, floor) - whole
            gain[np.minimum(yes[:, 0], no[:, 0]) < fewest] = 0.0
            k = int(gain.argmax())
            if gain[k] > best[0]:
                best = (float(gain[k]), on_left, asked[k])
        return best

    every = np.ones(classes, dtype=bool)
    found: dict[int, Leaf] = {}
    queue: list[tuple[float, int, bool, np.ndarray, np.ndarray]] = []

    def add(number: int, leaf: Leaf, rows: np.ndarray) -> None:
        found[number] = leaf
        gain, on_left, asks = best_split(leaf, rows)
        if gain > 0:
            heapq.heappush(queue, (-gain, number, on_left, asks, rows))

    for phone in range(len(phones)):
        for p in range(PHONE_STATES):
            rows = np.flatnonzero((token == phone) & (position == p))
            add(len(found), Leaf(phone, p, every, every, whole[phone, p]), rows)
    number = len(found)
    while queue and len(found) < leaves:
        _, parent, on_left, asks, rows = heapq.heappop(queue)
        leaf = found.pop(parent)
        for answer in (asks, ~asks):
            mine = rows[answer[(left if on_left else right)[rows]]]
            before, after = (answer, every) if on_left else (every, answer)
            moments = statistics.moments[mine].sum(axis=0)
            contexts = leaf.left & before, leaf.right & after
            add(number, Leaf(leaf.phone, leaf.position, contexts[0], contexts[1], moments), mine)
            number += 1
    ordered = sorted(found.items(), key=lambda item: (item[1].phone, item[1].position, item[0]))
    table = np.zeros((len(phones), PHONE_STATES, classes, classes), np.int32)
    for column, (_, leaf) in enumerate(ordered):
        table[leaf.phone, leaf.position][np.ix_(leaf.left, leaf.right)] = column
    return States(phones, table), np.array([leaf.moments for _, leaf in ordered])
