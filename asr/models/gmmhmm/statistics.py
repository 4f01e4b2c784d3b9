"""Expected counts of sentences under a model: what one pass of training adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asr.models.gmmhmm.mixtures import MixtureStatistics
from asr.models.gmmhmm.sentence import Sentence, Weights, posteriors
from asr.models.gmmhmm.states import Parameters

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

    def transitions(self, parameters: Parameters) -> Parameters:
        """The same parameters with the self-loops and pauses that make these counts most likely."""
        if not self.slots:
            return parameters
        stay = np.where(self.occupancy > 0, self.stays / np.maximum(self.occupancy, 1e-9), parameters.stay)
        pauses = np.maximum(self.pauses / self.slots, 1e-4)
        pauses *= min(1.0, LARGEST_PAUSES / pauses.sum())
        return replace(parameters, stay=np.clip(stay, *STAY_RANGE), pauses=pauses)

    def estimate(self, parameters: Parameters, floor: np.ndarray) -> Parameters:
        """All parameters that make these counts most likely."""
        mixtures = parameters.mixtures.updated(self.mixtures, floor, FEWEST_FRAMES)
        return replace(self.transitions(parameters), mixtures=mixtures)

    def visited(self, sentence: Sentence, weights: Weights, visits: np.ndarray, stays: np.ndarray) -> None:
        """Count the (nodes,) expected frames and self-loops of one utterance."""
        columns = len(self.occupancy)
        self.occupancy += np.bincount(weights.columns, visits, columns)
        self.stays += np.bincount(weights.columns, stays, columns)
        self.pauses += np.bincount(sentence.pause, visits - stays, 3)[1:]
        self.slots += sentence.words + 1


def gather(
    parameters: Parameters,
    sentences: Sequence[Sentence],
    features: Sequence[np.ndarray],
    loud: Sequence[np.ndarray] | None = None,
) -> Statistics:
    """Expected counts over all paths of some sentences.

    Parameters
    ----------
    parameters
        The model.
    sentences
        The composite HMM of each utterance.
    features
        (frames, dimensions) float32 of each utterance.
    loud
        (frames,) of each utterance: cut the frames that may be speech into equally long states instead.
    """
    out = Statistics.zeros(parameters)
    rows, states, weights = [], [], []
    for n, (sentence, x) in enumerate(zip(sentences, features, strict=True)):
        log_weights = Weights.of(sentence, parameters)
        if loud is not None:
            t, nodes, score = np.arange(len(x)), sentence.flat_path(loud[n]), 0.0
            weight, visits = np.ones(len(x)), np.bincount(nodes, minlength=len(sentence.keys))
            stays = visits - (visits > 0)
        else:
            scores = scores_of(parameters, log_weights, x)
            score, posterior, stays = posteriors(sentence, log_weights, scores)
            t, nodes = np.nonzero(posterior)
            weight, visits = posterior[t, nodes], posterior.sum(axis=0)
        rows.append(out.frames + t)
        states.append(log_weights.columns[nodes])
        weights.append(weight)
        out.visited(sentence, log_weights, visits, stays)
        out.log_likelihood += score
        out.frames += len(x)
    pairs = np.concatenate(features)[np.concatenate(rows)]
    weight = np.concatenate(weights).astype(np.float32)
    _, out.mixtures = parameters.mixtures.statistics(pairs, np.concatenate(states), weight)
    return out


def scores_of(parameters: Parameters, weights: Weights, features: np.ndarray) -> np.ndarray:
    """(frames, nodes) log likelihoods of (frames, dimensions) float32 features in the nodes of a sentence."""
    used, compact = np.unique(weights.columns, return_inverse=True)
    return parameters.mixtures.log_likelihoods(features, used)[:, compact]
