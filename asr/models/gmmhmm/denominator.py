"""What the states that were said compete with: all sequences of the triphones that training heard."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch

from asr.models.gmmhmm.states import Parameters
from asr.models.gmmhmm.transcribed import Transcribed
from asr.models.networks.log_z import log_z

PRUNED = 1e-6  # beside the best state of a frame: of a hundred times as many, hardly any ever win


class StateDenominator:
    """log Z of an utterance: the sum over all paths through triphones that follow each other as in training.

    That is a 4-gram of phonemes at their places, pauses included, without smoothing: what was never heard
    does not compete. What the true states gain against log Z is their mutual information with the audio.

    Parameters
    ----------
    said
        The aligned utterances; their copies at other speeds are not counted.
    parameters
        Gives the columns of triphones, and the probabilities to stay in them.
    scale
        Factor on the log likelihoods: neighbouring frames are far from independent.

    Reference
    ---------
    Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on lattice-free MMI", section 2;
    Bahl et al. 1986, "Maximum mutual information estimation of hidden Markov model parameters".
    """

    def __init__(self, said: Transcribed, parameters: Parameters, scale: float) -> None:
        entries = said.store.entries
        heard = [said.triphones(i) for i in said.numbers if entries[i].copy_of is None]
        self.graph, self.scale = _graph(heard, parameters), scale

    def __call__(self, log_likelihoods: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(batch,) log Z over `scale`, of (batch, longest, states) log likelihoods of `frames` (batch,)."""

        def total(scores: np.ndarray, posterior: np.ndarray) -> float:
            best = scores.max(axis=1, keepdims=True)
            likelihoods = np.exp(self.scale * (scores - best), dtype=np.float64)
            return float(_sum_of_paths(likelihoods, *self.graph, posterior) / self.scale + best.sum())

        return log_z(log_likelihoods, frames, total)


class _Graph(NamedTuple):
    """Triphones as chains of states, and the arcs from the end of each to the beginning of others.

    Attributes
    ----------
    first
        States of triphone n are first[n] .. first[n + 1] - 1.
    triphone, column, stay
        (states,) the triphone that each is in, its column, and the probability to stay.
    arcs, target, weight
        Arcs from triphone n are arcs[n] .. arcs[n + 1] - 1, to triphones, with probabilities.
    start, final
        (triphones,) probabilities that an utterance begins with it, and ends after it.
    """

    first: np.ndarray
    triphone: np.ndarray
    column: np.ndarray
    stay: np.ndarray
    arcs: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    start: np.ndarray
    final: np.ndarray


def _graph(heard: list[np.ndarray], parameters: Parameters) -> _Graph:
    states = parameters.states
    kinds, number = np.unique(np.concatenate(heard), return_inverse=True)
    counts = np.bincount(number)
    ends = np.cumsum([len(row) for row in heard])
    begins = np.append(0, ends[:-1])
    within = np.delete(np.arange(len(number)), ends - 1)
    pairs, seen = np.unique(np.stack([number[within], number[within + 1]]), axis=1, return_counts=True)
    _, token, _, _ = states.parts(kinds)
    lengths = np.array([states.length(k) for k in token])
    first = np.append(0, np.cumsum(lengths))
    position = np.arange(first[-1]) - np.repeat(first[:-1], lengths)
    column = states.columns[np.repeat(kinds, lengths) + position]
    return _Graph(
        first=first.astype(np.int32),
        triphone=np.repeat(np.arange(len(kinds), dtype=np.int32), lengths),
        column=column.astype(np.int32),
        stay=parameters.stay[column].astype(np.float64),
        arcs=np.searchsorted(pairs[0], np.arange(len(kinds) + 1)).astype(np.int32),
        target=pairs[1].astype(np.int32),
        weight=seen / counts[pairs[0]],
        start=np.bincount(number[begins], minlength=len(kinds)) / len(heard),
        final=np.bincount(number[ends - 1], minlength=len(kinds)) / counts,
    )


@numba.njit(cache=True, nogil=True)
def _sum_of_paths(  # type: ignore[no-untyped-def]  # pragma: no cover
    y, first, triphone, column, stay, arcs, target, weight, start, final, posterior
):
    """Log Z for (frames, columns) likelihoods; posteriors of the columns are added to `posterior`.

    States below PRUNED of the best of their frame are given up. Where no path is left that may end, all may.
    """
    frames, states = len(y), len(column)
    alive = np.zeros(frames + 1, np.int64)  # states of frame t are which[alive[t]] .. which[alive[t + 1] - 1]
    which, value = np.empty(400 * frames, np.int32), np.empty(400 * frames)
    entered, touched, n = np.zeros(states), np.empty(states, np.int32), 0
    for p in range(len(start)):
        if start[p] > 0.0:
            entered[first[p]], touched[n] = start[p], first[p]
            n += 1
    log_z = 0.0
    for t in range(frames):
        best = 0.0
        for k in touched[:n]:
            best = max(best, entered[k] * y[t, column[k]])
        begin = end = alive[t]
        if begin + n > len(which):
            which = np.append(which, np.empty(len(which) + n, np.int32))
            value = np.append(value, np.empty(len(value) + n))
        total = 0.0
        for k in touched[:n]:
            likelihood = entered[k] * y[t, column[k]]
            if likelihood > PRUNED * best:
                which[end], value[end] = k, likelihood
                total += likelihood
                end += 1
            entered[k] = 0.0
        alive[t + 1], n = end, 0
        value[begin:end] /= total
        log_z += np.log(total)
        if t + 1 == frames:
            break
        for q in range(begin, end):
            k, p = which[q], triphone[which[q]]
            if entered[k] == 0.0:
                touched[n] = k
                n += 1
            entered[k] += value[q] * stay[k]
            leave = value[q] * (1.0 - stay[k])
            if k + 1 < first[p + 1]:
                if entered[k + 1] == 0.0:
                    touched[n] = k + 1
                    n += 1
                entered[k + 1] += leave
            else:
                for a in range(arcs[p], arcs[p + 1]):
                    to = first[target[a]]
                    if entered[to] == 0.0:
                        touched[n] = to
                        n += 1
                    entered[to] += leave * weight[a]
    after, ahead = np.zeros(states), entered
    total = 0.0
    for q in range(alive[frames - 1], alive[frames]):
        k, p = which[q], triphone[which[q]]
        if k + 1 == first[p + 1]:
            after[k] = (1.0 - stay[k]) * final[p]
            total += value[q] * after[k]
    if total == 0.0:
        after[which[alive[frames - 1] : alive[frames]]] = total = 1.0
    log_z += np.log(total)
    ahead[:] = 0.0
    for t in range(frames - 1, -1, -1):
        total = 0.0
        for q in range(alive[t], alive[t + 1]):
            total += value[q] * after[which[q]]
        for q in range(alive[t], alive[t + 1]):
            k = which[q]
            posterior[t, column[k]] += value[q] * after[k] / total
            ahead[k], after[k] = after[k] * y[t, column[k]], 0.0
        if t == 0:
            break
        best = 0.0
        for q in range(alive[t - 1], alive[t]):
            k, p = which[q], triphone[which[q]]
            leave = 0.0
            if k + 1 < first[p + 1]:
                leave = ahead[k + 1]
            else:
                for a in range(arcs[p], arcs[p + 1]):
                    leave += weight[a] * ahead[first[target[a]]]
            after[k] = stay[k] * ahead[k] + (1.0 - stay[k]) * leave
            best = max(best, after[k])
        for q in range(alive[t], alive[t + 1]):
            ahead[which[q]] = 0.0
        for q in range(alive[t - 1], alive[t]):
            after[which[q]] /= best
    return log_z
