"""Beam search over a graph: emissions in, words with times and confidences out."""

from __future__ import annotations

from dataclasses import dataclass

import kaldi_decoder
import kaldifst
import numba
import numpy as np
import pydantic

from asr.config import Settings
from asr.decode.align import changes, segmentation, spans
from asr.decode.graph import Graph
from asr.decode.hypothesis import Hypothesis, Word
from asr.decode.linear import Linear, best_path
from asr.emissions import Emissions
from asr.errors import SearchError

_FLOOR = -1e4  # log score that stands for "impossible": infinities would make sums NaN


class SearchSettings(Settings):
    """How the search weighs and prunes; the first three are tuned on dev, by the same rule for every recipe.

    A path scores ``acoustic_scale * sum(emission - prior_scale * prior) + graph + word_penalty * words``. The
    scale of the language model is 1: only its ratio to `acoustic_scale` matters.
    """

    acoustic_scale: float = pydantic.Field(1.0, gt=0)
    """Factor on emissions; below 1 as a rule, since neighbouring frames are not independent."""
    word_penalty: float = 0.0
    """Added to the natural log score for every word; negative gives fewer words."""
    prior_scale: float = pydantic.Field(0.0, ge=0)
    """How much of the units' log prior is taken off posteriors. Likelihoods have none to take off."""
    beam: float = pydantic.Field(13.0, gt=0)
    """Natural log: partial paths worse than the best by more than this are given up."""
    max_active: int = pydantic.Field(2000, gt=1)
    """At most so many partial paths are kept at a frame."""


def search(
    emissions: Emissions, graph: Graph, settings: SearchSettings, log_prior: np.ndarray | None = None
) -> Hypothesis:
    """The best sentence of `graph` for an utterance.

    Word times come from the frame path: the states it went through are matched to the pronunciations of its
    words, so they do not depend on where determinisation put the word labels. The confidence of a word is the
    geometric mean over its states (runs of frames in one column, CTC blanks left out) of that column's
    probability among all columns, given the scaled emissions summed over the run: 1 where the acoustic model
    had no doubt.

    Parameters
    ----------
    emissions
        Scores of one utterance; no frames give no words.
    graph
        What can be said; its topology must belong to the same model.
    settings
        Weights and pruning.
    log_prior
        (units,) natural log prior of the columns, needed when `settings.prior_scale` is not 0 and emissions
        are posteriors.

    Returns
    -------
    Hypothesis
        `complete` is False where no final state was reached; its words are those of the best partial path.

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
    path = beam_search(scores, graph, settings)
    return Hypothesis(_timed(path, scores, emissions.frame_shift_s, graph), path.complete)


@dataclass(frozen=True)
class BestPath:
    """What the beam search found: (frames,) columns, words, natural log score, and if it is to the end."""

    columns: np.ndarray
    words: tuple[str, ...]
    score: float
    complete: bool


def beam_search(scores: np.ndarray, graph: Graph, settings: SearchSettings) -> BestPath:
    """The best path of (frames, units) float32 scaled scores through `graph`, within the beam."""
    options = kaldi_decoder.FasterDecoderOptions(
        beam=settings.beam, max_active=settings.max_active, min_active=min(20, settings.max_active - 1)
    )
    # the decoder does not keep it alive, and another thread's word penalty would free it
    fst = graph.fst(settings.word_penalty)
    decoder = kaldi_decoder.FasterDecoder(fst, options)
    decoder.decode(kaldi_decoder.DecodableCtc(scores))
    found, lattice = decoder.get_best_path()
    if not found:
        raise SearchError("the search lost every path", fix="raise search.beam and search.max_active")
    _, labels, outputs, cost = kaldifst.get_linear_symbol_sequence(lattice)
    columns = np.array(labels, dtype=np.int32) - 1
    words = tuple(graph.words[i] for i in outputs)
    return BestPath(columns, words, -(cost.value1 + cost.value2), decoder.reached_final())


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
            "emissions hold NaN or a frame without a possible unit", fix="train the model again"
        )
    found = (scores - top).astype(np.float32, copy=False)
    found *= np.float32(settings.acoustic_scale)
    return np.maximum(found, np.float32(_FLOOR), out=found)


def _timed(path: BestPath, scores: np.ndarray, shift: float, graph: Graph) -> tuple[Word, ...]:
    """The words of a path with their times and confidences."""
    if not path.words:
        return ()
    linear = Linear.build(graph.topology, graph.lexicon, path.words)
    only = np.full(scores.shape, -np.inf, dtype=np.float32)
    only[np.arange(len(only)), path.columns] = 0.0
    # an incomplete path may end in tokens of a word that was never told apart: they belong to no word, and
    # where that word is what its last one was followed by, that one has no frames either
    parts = segmentation(linear, best_path(linear.arcs, only).arcs, graph.topology.blank)
    sure = confidences(scores[: len(parts.words)], parts.columns, parts.slots, parts.words)
    found, timed, last_s = spans(parts.words), [], 0.0
    for i, text in enumerate(path.words):
        if i not in found:
            timed.append(Word(text, last_s, 0.0, 0.0))
            continue
        start, end = found[i]
        last_s = end * shift
        timed.append(Word(text, start * shift, (end - start) * shift, sure[i]))
    return tuple(timed)


def confidences(
    scores: np.ndarray, columns: np.ndarray, slots: np.ndarray, of_word: np.ndarray
) -> dict[int, float]:
    """How sure the acoustic model is of each word of a path, see `search`.

    Parameters
    ----------
    scores
        (frames, units) scaled scores.
    columns, slots, of_word
        (frames,) column, token and word of each frame, -1 for none.
    """
    runs = np.flatnonzero(changes(columns, slots))
    log_posterior, words = _log_posterior(scores, runs, columns[runs]), of_word[runs]
    spoken = np.unique(words[words >= 0])
    return {int(i): min(float(np.exp(log_posterior[words == i].mean())), 1.0) for i in spoken}


@numba.njit(cache=True, nogil=True)
def _log_posterior(scores, runs, columns):  # type: ignore[no-untyped-def]  # pragma: no cover
    """(runs,) log probability of a column among all, given the scores summed over its run of frames."""
    out = np.empty(len(runs))
    for r in range(len(runs)):
        total = np.zeros(scores.shape[1])
        for t in range(runs[r], runs[r + 1] if r + 1 < len(runs) else len(scores)):
            total += scores[t]
        total -= total.max()
        out[r] = total[columns[r]] - np.log(np.exp(total).sum())
    return out
