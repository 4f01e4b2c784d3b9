"""Linear feature transforms: LDA over neighbouring frames, MLLT, and fMLLR for a speaker."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import scipy.linalg

from asr.models.gmmhmm.mixtures import Mixtures, MixtureStatistics

SWEEPS = 20  # of row updates; the likelihood has long stopped growing


def splice(cepstra: np.ndarray, context: int) -> np.ndarray:
    """Each frame between `context` neighbours on both sides, edges repeated: (frames, c (2 context + 1))."""
    n = len(cepstra)
    padded = np.pad(cepstra, ((context, context), (0, 0)), mode="edge")
    return np.concatenate([padded[k : k + n] for k in range(2 * context + 1)], axis=1)


def affine(features: np.ndarray, transform: np.ndarray | None) -> np.ndarray:
    """(frames, dimensions) through a (dimensions, dimensions + 1) transform; None leaves them alone."""
    if transform is None:
        return features
    return features @ transform[:, :-1].T.astype(np.float32) + transform[:, -1].astype(np.float32)


@dataclass
class ClassStatistics:
    """Moments of frames by class, second moments over all classes together; they add."""

    frames: np.ndarray  # (classes,)
    first: np.ndarray  # (classes, size)
    second: np.ndarray  # (size, size)

    @classmethod
    def of(cls, frames: np.ndarray, label: np.ndarray, classes: int) -> ClassStatistics:
        """Moments of (frames, size) with a class each."""
        first = np.zeros((classes, frames.shape[1]))
        np.add.at(first, label, frames)
        # double precision: what is left of these after the mean is taken off may be very small
        x = frames.astype(np.float64)
        return cls(np.bincount(label, minlength=classes).astype(float), first, x.T @ x)

    def __iadd__(self, other: ClassStatistics) -> ClassStatistics:
        self.frames += other.frames
        self.first += other.first
        self.second += other.second
        return self


def lda(statistics: ClassStatistics, size: int) -> np.ndarray:
    """The (size, inputs) projection that keeps classes furthest apart; within a class it has unit variance.

    Reference
    ---------
    Haeb-Umbach and Ney 1992, ICASSP, section 2.
    """
    seen = statistics.frames > 0
    n, first = statistics.frames[seen], statistics.first[seen]
    mean = first / n[:, None]
    within = (statistics.second - mean.T @ first) / n.sum()
    # a ridge: constant inputs and fewer frames than dimensions must not make it singular
    within += (1e-4 * np.trace(within) / len(within) + 1e-4) * np.eye(len(within))
    centred = mean - first.sum(axis=0) / n.sum()
    between = (centred * n[:, None]).T @ centred / n.sum()
    _, vectors = scipy.linalg.eigh(between, within)
    projection = vectors[:, ::-1][:, :size].T
    # eigenvectors have no sign of their own: make the largest entry positive
    largest = projection[np.arange(len(projection)), np.abs(projection).argmax(axis=1)]
    return projection * np.sign(largest)[:, None]


@dataclass
class RowStatistics:
    """What each row of a linear transform is estimated from; they add.

    Attributes
    ----------
    frames
        Number of frames.
    outer
        (dimensions, dimensions + 1, dimensions + 1): for each row the frames' outer products, a one behind
        each frame, weighted by the precision that explains them.
    target
        (dimensions, dimensions + 1): the frames, weighted by precision times mean.
    """

    frames: float
    outer: np.ndarray
    target: np.ndarray

    @classmethod
    def zeros(cls, size: int) -> RowStatistics:
        """Nothing seen yet."""
        return cls(0.0, np.zeros((size, size + 1, size + 1)), np.zeros((size, size + 1)))

    @classmethod
    def of(
        cls, mixtures: Mixtures, frames: np.ndarray, state: np.ndarray, moved: np.ndarray | None = None
    ) -> RowStatistics:
        """Of (frames, dimensions) float32 given to (frames,) states.

        `moved` are the same frames in another feature space: components explain `frames`, and the transform
        will be applied to `moved`.
        """
        precision, target = mixtures.pulls(frames, state)
        ones = np.ones((len(frames), 1), np.float32)
        x = np.concatenate([frames if moved is None else moved, ones], axis=1)
        outer = np.stack([(x * column[:, None]).T @ x for column in precision.T])
        return cls(len(frames), outer.astype(float), (target.T @ x).astype(float))

    def __iadd__(self, other: RowStatistics) -> RowStatistics:
        self.frames += other.frames
        self.outer += other.outer
        self.target += other.target
        return self

    def with_prior(self, prior: np.ndarray, frames: float) -> RowStatistics:
        """These and as many `frames` that want no change; `prior` is `outer` of a frame of all speakers."""
        size = len(prior)
        wanted = prior[np.arange(size), np.arange(size)] - np.eye(size, size + 1)
        return RowStatistics(self.frames + frames, self.outer + frames * prior, self.target + frames * wanted)


@dataclass
class SemiTiedStatistics:
    """What MLLT is estimated from: both kinds of statistics of the same frames; they add."""

    rows: RowStatistics
    moments: MixtureStatistics

    @classmethod
    def of(cls, mixtures: Mixtures, frames: np.ndarray, state: np.ndarray) -> SemiTiedStatistics:
        """Of (frames, dimensions) float32 given to (frames,) states."""
        weight = np.ones(len(frames), np.float32)
        return cls(RowStatistics.of(mixtures, frames, state), mixtures.statistics(frames, state, weight)[1])

    def __iadd__(self, other: SemiTiedStatistics) -> SemiTiedStatistics:
        self.rows += other.rows
        self.moments += other.moments
        return self


def mllt(mixtures: Mixtures, statistics: SemiTiedStatistics) -> np.ndarray:
    """The (dimensions, dimensions) matrix after which diagonal covariances describe the states best.

    Reference
    ---------
    Gales 1999, "Semi-tied covariance matrices", IEEE Trans. Speech and Audio Processing 7(3), eq. 21-23.
    """
    size, moments = len(statistics.rows.target), statistics.moments
    # second moments about the means, for each row weighted by its precision
    half = moments.first - 0.5 * moments.occupancy[:, None] * mixtures.means
    cross = np.stack([(half * p[:, None]).T @ mixtures.means for p in (1 / mixtures.variances).T])
    outer = statistics.rows.outer[:, :-1, :-1] - cross - cross.transpose(0, 2, 1)
    frames = float(statistics.rows.frames)
    if frames == 0:
        return np.eye(size)
    # features that never change, where the others have a variance of one within a state
    values, vectors = np.linalg.eigh((outer + outer.transpose(0, 2, 1)) / 2)
    values = np.maximum(values, 1e-2 * frames)
    inverse = (vectors / values[:, None]) @ vectors.transpose(0, 2, 1)
    return _by_rows(inverse, np.zeros((size, size)), frames, np.eye(size))


def fmllr(rows: RowStatistics) -> np.ndarray:
    """The (dimensions, dimensions + 1) transform that makes one speaker's frames most likely.

    Reference
    ---------
    Gales 1998, "Maximum likelihood linear transformations for HMM-based speech recognition", Computer Speech
    and Language 12(2), section 4 and appendix B.
    """
    size = len(rows.target)
    if rows.frames == 0:
        return np.eye(size, size + 1)
    ridge = 1e-6 * (rows.frames + np.trace(rows.outer, axis1=1, axis2=2))[:, None, None] * np.eye(size + 1)
    inverse = np.linalg.inv(rows.outer + ridge)
    return _by_rows(inverse, rows.target, float(rows.frames), np.eye(size, size + 1))


@numba.njit(cache=True, nogil=True)
def _by_rows(inverse, target, frames, w):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Maximise frames·log|det A| - ½ Σ wᵢ Gᵢ wᵢ + Σ wᵢ kᵢ over w = [A b], one row after another."""
    size = len(w)
    back = np.eye(size)  # inverse of A, kept up by rank-one updates
    solved = np.empty_like(w)
    for i in range(size):
        solved[i] = inverse[i] @ target[i]
    for _ in range(SWEEPS):
        for i in range(size):
            # cofactors of row i, up to the determinant
            p = np.zeros(w.shape[1])
            p[:size] = back[:, i]
            q = inverse[i] @ p
            # frames / (α·a + c) = α maximises; of its two roots the better
            a, c = p @ q, p @ solved[i]
            root = math.sqrt(c * c + 4 * a * frames)
            best, alpha = -np.inf, 0.0
            for r in ((-c + root) / (2 * a), (-c - root) / (2 * a)):
                value = frames * math.log(abs(r * a + c) + 1e-300) - 0.5 * r * r * a
                if value > best:
                    best, alpha = value, r
            row = alpha * q + solved[i]
            change = row[:size] - w[i, :size]
            w[i] = row
            along = change @ back
            column = back[:, i].copy()
            back -= np.outer(column, along) / (1 + along[i])
    return w
