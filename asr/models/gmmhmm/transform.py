"""Linear feature transforms estimated from alignments: LDA over neighbouring frames, then MLLT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

ITERATIONS = 30  # of MLLT's row updates; the likelihood has long stopped growing


def splice(cepstra: np.ndarray, context: int) -> np.ndarray:
    """Each frame between `context` neighbours on both sides, edges repeated: (frames, c (2 context + 1))."""
    n = len(cepstra)
    padded = np.pad(cepstra, ((context, context), (0, 0)), mode="edge")
    return np.concatenate([padded[k : k + n] for k in range(2 * context + 1)], axis=1)


@dataclass
class Scatter:
    """Full second moments of spliced frames for each state; they add."""

    frames: np.ndarray  # (states,)
    first: np.ndarray  # (states, size)
    second: np.ndarray  # (states, size, size)

    @classmethod
    def zeros(cls, states: int, size: int) -> Scatter:
        """Nothing seen yet."""
        return cls(np.zeros(states), np.zeros((states, size)), np.zeros((states, size, size)))

    @classmethod
    def of(cls, spliced: np.ndarray, state: np.ndarray, weight: np.ndarray, states: int) -> Scatter:
        """Moments of (pairs, size) frames given to ascending states with posterior weights (pairs,)."""
        out = cls.zeros(states, spliced.shape[1])
        bounds = np.searchsorted(state, np.arange(states + 1))
        for s in np.flatnonzero(np.diff(bounds)):
            rows = slice(bounds[s], bounds[s + 1])
            # double precision: what is left of these after the mean is taken off may be very small
            x, w = spliced[rows].astype(np.float64), weight[rows, None]
            out.frames[s] = w.sum()
            out.first[s] = (w * x).sum(axis=0)
            out.second[s] = (w * x).T @ x
        return out

    def __iadd__(self, other: Scatter) -> Scatter:
        self.frames += other.frames
        self.first += other.first
        self.second += other.second
        return self

    def covariances(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share of the frames, mean and covariance of each state that was seen."""
        seen = self.frames > 0
        n = self.frames[seen]
        mean = self.first[seen] / n[:, None]
        covariance = self.second[seen] / n[:, None, None] - mean[:, :, None] * mean[:, None, :]
        return n / n.sum(), mean, covariance


def lda(scatter: Scatter, size: int) -> np.ndarray:
    """The (size, inputs) projection that keeps states furthest apart; within a state it has unit variance.

    Reference
    ---------
    Haeb-Umbach and Ney 1992, ICASSP, section 2.
    """
    share, mean, covariance = scatter.covariances()
    within = np.einsum("s,sij->ij", share, covariance)
    # a ridge: constant inputs and fewer frames than dimensions must not make it singular
    within += (1e-4 * np.trace(within) / len(within) + 1e-4) * np.eye(len(within))
    centred = mean - share @ mean
    between = np.einsum("s,si,sj->ij", share, centred, centred)
    _, vectors = scipy.linalg.eigh(between, within)
    projection = vectors[:, ::-1][:, :size].T
    # eigenvectors have no sign of their own: make the largest entry positive
    largest = projection[np.arange(len(projection)), np.abs(projection).argmax(axis=1)]
    return projection * np.sign(largest)[:, None]


def mllt(scatter: Scatter, projection: np.ndarray) -> np.ndarray:
    """Rotate `projection` so that states are best described by diagonal covariances.

    Reference
    ---------
    Gales 1999, "Semi-tied covariance matrices", IEEE Trans. Speech and Audio Processing 7(3), eq. 21-23.
    """
    share, _, covariance = scatter.covariances()
    size = len(projection)
    enough = scatter.frames[scatter.frames > 0] >= size  # fewer frames say nothing about a full covariance
    if not enough.any():
        return projection
    share, covariance = share[enough], projection @ covariance[enough] @ projection.T
    # within a state the variance is one on average; the ridge is for states that never change
    covariance += 1e-2 * np.eye(size)
    a = np.eye(size)
    for _ in range(ITERATIONS):
        variance = np.einsum("ij,sjk,ik->si", a, covariance, a)
        for i in range(size):
            g = np.einsum("s,sjk->jk", share / variance[:, i], covariance)
            inverse = np.linalg.inv(g)
            cofactor = np.linalg.inv(a)[:, i]  # up to the determinant, which cancels
            row = cofactor @ inverse
            a[i] = row / np.sqrt(row @ cofactor)
    return a @ projection
