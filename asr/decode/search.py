"""Beam search over a graph: emissions in, words with times and confidences out."""

from __future__ import annotations

import kaldi_decoder
import kaldifst
import numpy as np
import pydantic
import scipy.special

from asr.config import Settings
from asr.decode.align import segmentation, spans
from asr.decode.graph import Graph
from asr.decode.hypothesis import Hypothesis, Word
from asr.decode.linear import Linear, best_path
from asr.emissions import Emissions
from asr.errors import SearchError

_FLOOR = -1e4  # log score that stands for "impossible": infinities would make sums NaN


class SearchSettings(Settings):
    """How the search weighs and prunes; the first three are tuned on dev, by the same rule for every recipe.

    A path scores ``acoustic_scale * sum(emission - prior_scale * prior) + graph + word_penalty * words``. The scale of
    the language model is 1: only its ratio to `acoustic_scale` matters.
    """

    acoustic_scale: float = pydantic.Field(1.0, gt=0)
    """Factor on emissions. Below 1 trusts the language model more; frames are not independent, so below 1 is usual."""
    word_penalty: float = 0.0
    """Added to the natural log score for every word; negative gives fewer words."""
    prior_scale: float = pydantic.Field(0.0, ge=0)
    """How much of the units' log prior is taken off posteriors. Likelihoods have none to take off."""
    beam: float = pydantic.Field(14.0, gt=0)
    """Natural log: partial paths worse than the best by more than this are given up."""
    max_active: int = pydantic.Field(4000, gt=1)
    """At most so many partial paths are kept at a frame."""


def search(
    emissions: Emissions, graph: Graph, settings: SearchSettings, log_prior: np.ndarray | None = None
) -> Hypothesis:
    """The best sentence of `graph` for an utterance.

    Word times come from the frame path: the states it went through are matched to the pronunciations of its words,
    so they do not depend on where determinisation put the word labels. The confidence of a word is the geometric
    mean over its states (runs of frames in one column, CTC blanks left out) of that column's probability among all
    columns, given the scaled emissions summed over the run: 1 where the acoustic model had no doubt.

    Parameters
    ----------
    emissions
        Scores of one utterance; no frames give no words.
    graph
        What can be said; its topology must belong to the same model.
    settings
        Weights and pruning.
    log_prior
        (units,) natural log prior of the columns, needed when `settings.prior_scale` is not 0 and emissions are
        posteriors.

    Returns
    -------
    Hypothesis
        `complete` is False where no final state was reached; its words are then those of the best partial path.

    Raises
    ------
    SearchError
        If emissions hold NaN, or the graph belongs to another model.
    """
    if len(emissions.scores) == 0:
        return Hypothesis(())
    scores = scaled(emissions, settings, log_prior)
    if len(graph.topology.stay) != scores.shape[1]:
        raise SearchError(
            f"the graph knows {len(graph.topology.stay)} columns, the emissions have {scores.shape[1]}",
            fix="build the graph with the topology of the same model",
        )
    options = kaldi_decoder.FasterDecoderOptions(
        beam=settings.beam, max_active=settings.max_active, min_active=min(20, settings.max_active - 1)
    )
    decoder = kaldi_decoder.FasterDecoder(graph.fst(settings.word_penalty), options)
    decoder.decode(kaldi_decoder.DecodableCtc(scores))
    complete = decoder.reached_final()
    found, lattice = decoder.get_best_path()
    if not found:
        raise SearchError("the search lost every path", fix="raise search.beam and search.max_active")
    _, labels, outputs, _ = kaldifst.get_linear_symbol_sequence(lattice)
    columns = np.array(labels, dtype=np.int64) - 1
    words = [graph.words[i] for i in outputs]
    return Hypothesis(_timed(columns, words, scores, emissions.frame_shift_s, graph), complete)


def scaled(emissions: Emissions, settings: SearchSettings, log_prior: np.ndarray | None = None) -> np.ndarray:
    """(frames, units) float32 emissions as the search adds them up, the best of each frame near 0.

    Raises
    ------
    SearchError
        If they hold NaN, or a prior is wanted and missing.
    """
    scores = emissions.scores
    if settings.prior_scale and emissions.kind == "posterior":
        if log_prior is None:
            raise SearchError("prior_scale is set, the model has no prior", fix="set search.prior_scale to 0")
        scores = scores - np.float32(settings.prior_scale) * log_prior.astype(np.float32)
    # the same number off every column of a frame changes no decision and keeps long sums small
    top = scores.max(axis=1, keepdims=True)
    if not np.isfinite(top).all():
        raise SearchError(
            "emissions hold NaN or frames without any possible unit", fix="train the model again"
        )
    return np.maximum(np.float32(settings.acoustic_scale) * (scores - top), np.float32(_FLOOR))


def _timed(
    columns: np.ndarray, words: list[str], scores: np.ndarray, shift: float, graph: Graph
) -> tuple[Word, ...]:
    if not words:
        return ()
    linear = Linear.build(graph.topology, graph.lexicon, words)
    allowed = np.full(scores.shape, -np.inf, dtype=np.float32)
    allowed[np.arange(len(columns)), columns] = 0.0
    path = best_path(linear.arcs, allowed)
    parts = segmentation(linear, path.arcs, graph.topology.blank)
    frames = len(parts.words)
    change = (np.diff(parts.columns, prepend=-1) != 0) | (np.diff(parts.slots, prepend=-1) != 0)
    runs = np.flatnonzero(change)
    sums = np.add.reduceat(scores[:frames].astype(np.float64), runs, axis=0)
    at = np.arange(len(runs))
    log_posterior = sums[at, parts.columns[runs]] - scipy.special.logsumexp(sums, axis=1)
    timed = []
    for i, (start, end) in sorted(spans(parts.words).items()):
        confidence = float(np.exp(log_posterior[parts.words[runs] == i].mean()))
        timed.append(Word(words[i], start * shift, (end - start) * shift, min(confidence, 1.0)))
    return tuple(timed)
