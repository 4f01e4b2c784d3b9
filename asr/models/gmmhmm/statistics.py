"""Expected counts of sentences under a model: what one pass of training adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asr.models.gmmhmm.mixtures import MixtureStatistics
from asr.models.gmmhmm.sentence import Sentence, Weights, best_path, posteriors
from asr.models.gmmhmm.states import Parameters
from asr.models.gmmhmm.transform import Scatter, splice

FEWEST_FRAMES = 5.0  # a Gaussian explained by fewer keeps its parameters
STAY_RANGE = (0.01, 0.99)
LARGEST_PAUSES = 0.98  # some chance of no pause always remains


@dataclass
class Statistics:
    """Expected counts of a part of the training set; they add."""

    mixtures: MixtureStatistics
    occupancy: np.ndarray  # (states,) frames
    stays: np.ndarray  # (states,) self-loops taken
    pauses: np.ndarray  # (2,) silences and short pauses
    slots: int = 0  # places where a pause may be
    frames: int = 0
    log_likelihood: float = 0.0

    @classmethod
    def zeros(cls, parameters: Parameters) -> Statistics:
        """Nothing seen yet."""
        n = parameters.mixtures.states
        return cls(MixtureStatistics.zeros(parameters.mixtures), np.zeros(n), np.zeros(n), np.zeros(2))

    def __iadd__(self, other: Statistics) -> Statistics:
        self.mixtures += other.mixtures
        self.occupancy += other.occupancy
        self.stays += other.stays
        self.pauses += other.pauses
        self.slots += other.slots
        self.frames += other.frames
        self.log_likelihood += other.log_likelihood
        return self

    def estimate(self, parameters: Parameters, floor: np.ndarray) -> Parameters:
        """The parameters that make these counts most likely."""
        stay = np.where(self.occupancy > 0, self.stays / np.maximum(self.occupancy, 1e-9), parameters.stay)
        pauses = np.maximum(self.pauses / max(self.slots, 1), 1e-4)
        pauses *= min(1.0, LARGEST_PAUSES / pauses.sum())
        mixtures = parameters.mixtures.updated(self.mixtures, floor, FEWEST_FRAMES)
        return replace(parameters, mixtures=mixtures, stay=np.clip(stay, *STAY_RANGE), pauses=pauses)


@dataclass(frozen=True)
class Occupied:
    """Which frames belong to which states: (pairs,) frame numbers, ascending states and posteriors."""

    row: np.ndarray
    state: np.ndarray
    weight: np.ndarray


def occupied(
    parameters: Parameters, sentences: Sequence[Sentence], features: Sequence[np.ndarray], how: str
) -> tuple[Statistics, Occupied]:
    """Align utterances with their sentences; the statistics are those of everything but the mixtures.

    Parameters
    ----------
    parameters
        The model.
    sentences
        The composite HMM of each utterance.
    features
        (frames, dimensions) float32 of each utterance.
    how
        ``baum-welch``, ``viterbi``, or ``flat`` for equally long states.
    """
    out = Statistics.zeros(parameters)
    columns = parameters.mixtures.states
    rows, states, weights = [], [], []
    for sentence, x in zip(sentences, features, strict=True):
        if how == "flat":
            score, nodes = 0.0, sentence.flat_path(len(x))
        else:
            used, compact = np.unique(sentence.columns, return_inverse=True)
            scores = parameters.mixtures.log_likelihoods(x, used)[:, compact]
            log_weights = Weights.of(sentence, parameters)
        if how == "baum-welch":
            score, posterior, stays = posteriors(sentence, log_weights, scores)
            t, nodes = np.nonzero(posterior)
            weight, visits = posterior[t, nodes], posterior.sum(axis=0)
        else:
            if how == "viterbi":
                score, nodes = best_path(sentence, log_weights, scores)
            t, weight = np.arange(len(x)), np.ones(len(x))
            visits = np.bincount(nodes, minlength=len(sentence.columns))
            stays = visits - (visits > 0)
        rows.append(out.frames + t)
        states.append(sentence.columns[nodes])
        weights.append(weight)
        out.occupancy += np.bincount(sentence.columns, visits, columns)
        out.stays += np.bincount(sentence.columns, stays, columns)
        out.pauses += np.bincount(sentence.pause, visits - stays, 3)[1:]
        out.slots += sentence.words + 1
        out.log_likelihood += score
        out.frames += len(x)
    state = np.concatenate(states)
    order = np.argsort(state, kind="stable")
    weight = np.concatenate(weights)[order].astype(np.float32)
    return out, Occupied(np.concatenate(rows)[order], state[order], weight)


def gather(
    parameters: Parameters, sentences: Sequence[Sentence], cepstra: Sequence[np.ndarray], how: str
) -> Statistics:
    """Statistics of some utterances, given as normalised cepstra; see `occupied`."""
    features = [parameters.features(c) for c in cepstra]
    out, pairs = occupied(parameters, sentences, features, how)
    frames = np.concatenate(features)[pairs.row]
    out.mixtures = parameters.mixtures.statistics(frames, pairs.state, pairs.weight)
    return out


def gather_scatter(
    parameters: Parameters,
    sentences: Sequence[Sentence],
    cepstra: Sequence[np.ndarray],
    how: str,
    context: int,
) -> Scatter:
    """Full second moments of the same utterances' spliced cepstra, by state."""
    _, pairs = occupied(parameters, sentences, [parameters.features(c) for c in cepstra], how)
    frames = np.concatenate([splice(c, context) for c in cepstra])[pairs.row]
    return Scatter.of(frames, pairs.state, pairs.weight, parameters.mixtures.states)
