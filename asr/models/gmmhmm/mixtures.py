"""Diagonal Gaussian mixtures of all states side by side: densities, statistics, re-estimation, splitting."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numba
import numpy as np
import torch

NEGLIGIBLE = -40.0  # log weight beside the best component that adds nothing to a sum
BLOCK = 96  # frames evaluated at a time: their scores stay in the cache


@dataclass
class MixtureStatistics:
    """Zeroth, first and second moments of the frames that each component explains; they add."""

    occupancy: np.ndarray  # (components,) expected frames
    first: np.ndarray  # (components, dimensions)
    second: np.ndarray  # (components, dimensions)

    @classmethod
    def zeros(cls, mixtures: Mixtures) -> MixtureStatistics:
        """Nothing seen yet."""
        shape = mixtures.means.shape
        return cls(np.zeros(shape[0]), np.zeros(shape), np.zeros(shape))

    def __iadd__(self, other: MixtureStatistics) -> MixtureStatistics:
        self.occupancy += other.occupancy
        self.first += other.first
        self.second += other.second
        return self


@dataclass(frozen=True)
class Mixtures:
    """One Gaussian mixture a state; the components of state s are rows ``start[s]:start[s + 1]``.

    Attributes
    ----------
    weights
        (components,) that sum to one within each state.
    means
        (components, dimensions).
    variances
        (components, dimensions), diagonal covariances.
    start
        (states + 1,) int, first component of each state; every state has at least one.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    start: np.ndarray
    _projection: dict[np.dtype, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    _rows: tuple[np.ndarray, np.ndarray, np.ndarray] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def flat(cls, states: int, mean: np.ndarray, variance: np.ndarray) -> Mixtures:
        """One component a state, all at the global mean and variance (dimensions,)."""
        return cls(
            np.ones(states), np.tile(mean, (states, 1)), np.tile(variance, (states, 1)), np.arange(states + 1)
        )

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.start) - 1

    @property
    def components(self) -> int:
        """Number of Gaussians over all states."""
        return len(self.weights)

    @property
    def owner(self) -> np.ndarray:
        """(components,) the state each component belongs to."""
        return np.repeat(np.arange(self.states), np.diff(self.start))

    def projection(self, dtype: np.dtype) -> np.ndarray:
        """(2 dimensions + 1, components): [x, x^2, 1] times it is log(weight * density)."""
        if dtype not in self._projection:
            precision = 1 / self.variances
            constant = np.log(self.weights) - 0.5 * (
                np.log(2 * np.pi * self.variances) + self.means**2 * precision
            ).sum(axis=1)
            rows = np.vstack([(self.means * precision).T, -0.5 * precision.T, constant])
            self._projection[dtype] = np.asfortranarray(rows.astype(dtype))
        return self._projection[dtype]

    def log_densities(self, frames: np.ndarray) -> np.ndarray:
        """log(weight * density) of every component, (frames, components), in the precision of `frames`.

        Equals ``hmmlearn.stats.log_multivariate_normal_density(...) + log(weights)``, as one matrix product.
        """
        return expanded(frames) @ self.projection(frames.dtype)

    def log_likelihoods(self, frames: np.ndarray, states: np.ndarray | None = None) -> np.ndarray:
        """Log density of the mixture of every state, or of some, (frames, states), as precise as `frames`."""
        rows, counts = self.projection(frames.dtype).T, np.diff(self.start)
        if states is not None:
            rows, counts = rows[np.isin(self.owner, states)], counts[states]
        out = np.empty((len(frames), len(counts)), dtype=frames.dtype)
        start = np.concatenate([[0], np.cumsum(counts)])
        # with torch's product and exponential this takes four fifths of the time that numpy's need
        weights, columns = torch.from_numpy(rows), torch.from_numpy(expanded(frames)).T
        for t in range(0, len(frames), BLOCK):
            # components along the rows: the sums over those of a state then run over contiguous frames
            scores = torch.mm(weights, columns[:, t : t + BLOCK])
            best = np.empty((len(counts), scores.shape[1]), dtype=frames.dtype)
            total = np.empty_like(best)
            _centre(scores.numpy(), start, best)
            _sum(scores.exp_().numpy(), start, total)
            out[t : t + BLOCK] = (best + np.log(total)).T
        return out

    def statistics(
        self, frames: np.ndarray, state: np.ndarray, weight: np.ndarray, moved: np.ndarray | None = None
    ) -> tuple[float, MixtureStatistics]:
        """Weighted log likelihood and moments of frames given to states.

        Parameters
        ----------
        frames
            (pairs, dimensions) float32, one row for each (frame, state) pair.
        state
            (pairs,) the state each row is given to.
        weight
            (pairs,) float32 posterior probability of that state at that frame.
        moved
            (pairs, dimensions) float32: the same frames in another feature space. Components explain
            `frames`, and the moments are those of `moved`.
        """
        out = MixtureStatistics.zeros(self)
        total = _moments(
            frames,
            frames if moved is None else moved,
            state,
            weight,
            self.start,
            *self._by_component(),
            out.occupancy,
            out.first,
            out.second,
        )
        return total, out

    def pulls(self, frames: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected precision, and precision times mean, of the component that explains each frame.

        Both are (frames, dimensions) float32, for (frames, dimensions) float32 given to (frames,) states: all
        that linear transforms of features are estimated from.
        """
        precision, target = np.empty_like(frames), np.empty_like(frames)
        linear, quadratic, constant = self._by_component()
        _pulls(frames, state, self.start, linear, quadratic, constant, precision, target)
        return precision, target

    def _by_component(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of `projection`, contiguous by component."""
        if self._rows is None:
            rows, size = self.projection(np.dtype("f4")).T, self.means.shape[1]
            parts = (rows[:, :size], rows[:, size:-1], rows[:, -1])
            object.__setattr__(self, "_rows", tuple(np.ascontiguousarray(p) for p in parts))
        assert self._rows is not None
        return self._rows

    def tensors(self) -> dict[str, np.ndarray]:
        """Named arrays for a safetensors file."""
        return {n: getattr(self, n) for n in ("weights", "means", "variances", "start")}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Mixtures:
        """The inverse of `tensors`; KeyError names a missing array."""
        return cls(*(tensors[n] for n in ("weights", "means", "variances", "start")))  # type: ignore[arg-type]

    def moved(self, matrix: np.ndarray) -> Mixtures:
        """The same with means multiplied by a (dimensions, dimensions) matrix, after the features were."""
        return Mixtures(self.weights, self.means @ matrix.T, self.variances, self.start)

    def updated(self, statistics: MixtureStatistics, floor: np.ndarray, fewest: float) -> Mixtures:
        """Maximum likelihood parameters; variances no lower than `floor` (dimensions,).

        A component with less than `fewest` frames keeps its mean and variance, and a state without any frame
        its weights, so that the likelihood cannot fall.
        """
        n = statistics.occupancy
        enough = n >= fewest
        count = np.where(enough, n, 1.0)[:, None]
        means = np.where(enough[:, None], statistics.first / count, self.means)
        spread = np.maximum(statistics.second / count - means**2, floor)
        variances = np.where(enough[:, None], spread, self.variances)
        total = np.add.reduceat(n, self.start[:-1])[self.owner]
        weights = np.where(total > 0, n / np.where(total > 0, total, 1.0), self.weights)
        # a weight of exactly zero would be log(0) and could never recover
        weights = np.maximum(weights, 1e-8)
        weights /= np.add.reduceat(weights, self.start[:-1])[self.owner]
        return Mixtures(weights, means, variances, self.start)

    def split(self, occupancy: np.ndarray, total: int, frames_each: float, power: float = 0.5) -> Mixtures:
        """Grow to `total` components by splitting the heaviest of the states that see the most frames.

        Parameters
        ----------
        occupancy
            (components,) expected frames of each component in the last pass.
        total
            Components wanted over all states; fewer where the data do not suffice.
        frames_each
            A state gets at most one component for this many frames.
        power
            A state's share of the components grows with its frames to this power.

        Reference
        ---------
        Young and Woodland 1994; HTK book 3.4, section 10.6 (a copy each side, 0.2 standard deviations away).
        """
        frames = np.add.reduceat(occupancy, self.start[:-1])
        counts = np.diff(self.start).copy()
        most = np.maximum(frames / frames_each, counts)
        share = np.maximum(frames, 1e-3) ** power
        queue = [(-share[s] / counts[s], s) for s in range(self.states)]
        heapq.heapify(queue)
        while queue and counts.sum() < total:
            _, s = heapq.heappop(queue)
            if counts[s] + 1 <= most[s]:
                counts[s] += 1
                heapq.heappush(queue, (-share[s] / counts[s], s))
        pieces = [self._grown(s, int(counts[s])) for s in range(self.states)]
        weights, means, variances = (np.concatenate(part) for part in zip(*pieces, strict=True))
        return Mixtures(weights, means, variances, np.concatenate([[0], np.cumsum(counts)]))

    def _grown(self, state: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mine = slice(self.start[state], self.start[state + 1])
        weights, means, variances = (list(a[mine]) for a in (self.weights, self.means, self.variances))
        while len(weights) < count:
            heaviest = int(np.argmax(weights))
            step = 0.2 * np.sqrt(variances[heaviest])
            weights[heaviest] = weights[heaviest] / 2
            weights.append(weights[heaviest])
            means.append(means[heaviest] + step)
            means[heaviest] = means[heaviest] - step
            variances.append(variances[heaviest])
        return np.array(weights), np.array(means), np.array(variances)


def expanded(frames: np.ndarray) -> np.ndarray:
    """[x, x^2, 1] of each frame: (frames, 2 dimensions + 1)."""
    return np.concatenate([frames, frames * frames, np.ones((len(frames), 1), frames.dtype)], axis=1)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _centre(scores, start, best):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The best component of each state and frame into `best`, and `scores` relative to it, in place."""
    lowest = scores.dtype.type(NEGLIGIBLE)
    for s in range(len(start) - 1):
        top = best[s]
        top[:] = scores[start[s]]
        for m in range(start[s] + 1, start[s + 1]):
            for t in range(len(top)):
                top[t] = max(top[t], scores[m, t])
        for m in range(start[s], start[s + 1]):
            for t in range(len(top)):
                scores[m, t] = max(scores[m, t] - top[t], lowest)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum(terms, start, total):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sums over the components of each state into `total`."""
    for s in range(len(start) - 1):
        total[s] = terms[start[s]]
        for m in range(start[s] + 1, start[s + 1]):
            for t in range(terms.shape[1]):
                total[s, t] += terms[m, t]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _explain(x, a, b, linear, quadratic, constant, scores):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Posteriors of components a .. b - 1 into `scores`; returns the log likelihood of the frame."""
    best = np.float32(-1e30)
    for m in range(a, b):
        v = np.float32(0.0)
        for d in range(len(x)):
            v += x[d] * (linear[m, d] + x[d] * quadratic[m, d])
        v += constant[m]
        scores[m - a] = v
        best = max(best, v)
    total = np.float32(0.0)
    for k in range(b - a):
        # far below the best: denormal numbers would take most of the time
        scores[k] = math.exp(scores[k] - best) if scores[k] - best > NEGLIGIBLE else np.float32(0.0)
        total += scores[k]
    for k in range(b - a):
        scores[k] /= total
    return best + math.log(total)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _moments(frames, moved, state, weight, start, linear, quadratic, constant, occupancy, first, second):  # type: ignore[no-untyped-def]  # pragma: no cover
    scores = np.empty(np.max(np.diff(start)), np.float32)
    total = 0.0
    for n in range(len(frames)):
        a, b, w, y = start[state[n]], start[state[n] + 1], weight[n], moved[n]
        total += w * _explain(frames[n], a, b, linear, quadratic, constant, scores)
        for m in range(a, b):
            p = w * scores[m - a]
            if p > 1e-7:
                occupancy[m] += p
                for d in range(len(y)):
                    first[m, d] += p * y[d]
                    second[m, d] += p * y[d] * y[d]
    return total


@numba.njit(cache=True, nogil=True, fastmath=True)
def _pulls(frames, state, start, linear, quadratic, constant, precision, target):  # type: ignore[no-untyped-def]  # pragma: no cover
    scores = np.empty(np.max(np.diff(start)), np.float32)
    for n in range(len(frames)):
        a, b = start[state[n]], start[state[n] + 1]
        _explain(frames[n], a, b, linear, quadratic, constant, scores)
        for d in range(frames.shape[1]):
            p = t = np.float32(0.0)
            for m in range(a, b):
                p -= np.float32(2.0) * scores[m - a] * quadratic[m, d]
                t += scores[m - a] * linear[m, d]
            precision[n, d] = p
            target[n, d] = t
