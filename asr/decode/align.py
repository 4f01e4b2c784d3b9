"""Forced alignment: the best path of an utterance through the graph of its own words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr.decode.linear import Linear, best_path, frames_needed
from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.errors import SearchError
from asr.text.lexicon import Lexicon, Pronunciation
from asr.text.units import WORD_END

_EXACT = 50_000_000  # frames x states up to which nothing is pruned: about a gigabyte of back pointers
_BEAMS = (200.0, 800.0, 3200.0)


@dataclass(frozen=True)
class Segment:
    """A stretch of frames with a name: start and length in seconds."""

    text: str
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class Alignment:
    """When each word, token and state was spoken.

    Attributes
    ----------
    words
        Words in order; pauses and CTC blanks around them belong to none.
    tokens
        Phonemes or characters, pauses included; CTC blanks belong to none.
    states
        Runs of equal columns, CTC blanks included, named by their unit.
    columns
        (frames,) int32 the column of each frame.
    slots
        (frames,) int32 the place of each frame's token among `tokens`; -1 in CTC blanks.
    pronunciations
        How each word was said.
    of_word
        (frames,) int32 the word of each frame; -1 in pauses and CTC blanks.
    score
        Natural log score of the path, transitions, pauses and pronunciation probabilities included.
    confidences
        Of each word, as of one that is recognised there; empty where nobody asked.
    """

    words: tuple[Segment, ...]
    tokens: tuple[Segment, ...]
    states: tuple[Segment, ...]
    columns: np.ndarray
    slots: np.ndarray
    pronunciations: tuple[Pronunciation, ...]
    of_word: np.ndarray
    score: float
    confidences: tuple[float, ...] = ()


@dataclass(frozen=True)
class Segmentation:
    """What every frame of a path through a `Linear` graph belongs to.

    Attributes
    ----------
    columns, slots, words
        (frames,) int32: the column, the index of the token, the index of the word (-1: blank or pause).
    tokens
        The tokens, in time order.
    pronunciations
        Those of each word; the mark at the end of a spelled one is a part of it.
    """

    columns: np.ndarray
    slots: np.ndarray
    words: np.ndarray
    tokens: tuple[str, ...]
    pronunciations: tuple[Pronunciation, ...]


def changes(columns: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """(frames,) bool: where a run of one column within one token begins."""
    return (np.diff(columns, prepend=-1) != 0) | (np.diff(slots, prepend=-2) != 0)


def segmentation(linear: Linear, path: np.ndarray, blank: int | None) -> Segmentation:
    """Read off a path (frames,) of arc numbers what each frame belongs to."""
    columns = linear.arcs.ilabel[path] - 1
    labels = linear.arcs.olabel[path]
    token = np.cumsum(labels != 0) - 1
    passed = [linear.slots[k - 1] for k in labels[labels != 0]]
    # the mark at the end of a spelled word is no part of the word's sound
    word = np.array([-1 if s.token == WORD_END else s.word for s in passed], dtype=np.int32)
    silent = (token < 0) | (columns == (-1 if blank is None else blank))
    slots = np.where(silent, -1, token).astype(np.int32)
    words = np.where(silent, -1, word[token]).astype(np.int32) if len(passed) else slots
    pronunciations = tuple(
        tuple(s.token for s in some) for w, some in itertools.groupby(passed, lambda s: s.word) if w >= 0
    )
    return Segmentation(columns, slots, words, tuple(s.token for s in passed), pronunciations)


def spans(index: np.ndarray) -> dict[int, tuple[int, int]]:
    """First frame and end of each number in (frames,) `index` but -1; gaps inside belong to the number."""
    frames = np.flatnonzero(index >= 0)
    values, first = np.unique(index[frames], return_index=True)
    last = len(frames) - 1 - np.unique(index[frames][::-1], return_index=True)[1]
    return {int(v): (int(frames[a]), int(frames[b]) + 1) for v, a, b in zip(values, first, last, strict=True)}


def align(
    emissions: Emissions,
    topology: Topology,
    lexicon: Lexicon,
    words: Sequence[str],
    utterance: str | None = None,
) -> Alignment:
    """Find when each word, token and state of a known sentence was spoken.

    The path is exact up to about a minute of speech; longer utterances are searched with a beam that is
    widened until the end is reached.

    Parameters
    ----------
    emissions
        Scores of the utterance; used as they are, without scale or prior.
    topology, lexicon
        What the model was trained with.
    words
        The normalised words, all in the lexicon.
    utterance
        Its id, for the error message.

    Raises
    ------
    SearchError
        If the utterance is shorter than its labels need, or its scores forbid the sentence.
    LexiconError
        If a word is not in the lexicon.
    """
    linear = Linear.build(topology, lexicon, words)
    frames, shift = len(emissions.scores), emissions.frame_shift_s
    if np.isnan(emissions.scores).any():
        raise SearchError("emissions hold NaN", utterance=utterance, fix="train the model again")
    exact = frames * len(linear.arcs.final) <= _EXACT
    for beam in (np.inf,) if exact else _BEAMS:
        path = best_path(linear.arcs, emissions.scores, beam)
        if path.complete:
            break
    else:
        need = frames_needed(linear.arcs)
        if frames < need:
            raise SearchError(
                f"{frames * shift:.2f} s are too short for its text, which needs {need * shift:.2f} s",
                utterance=utterance,
                fix="check its transcript",
            )
        raise SearchError("cannot be aligned to its words", utterance=utterance, fix="check its transcript")

    parts = segmentation(linear, path.arcs, topology.blank)

    def cut(index: np.ndarray, names: Sequence[str]) -> tuple[Segment, ...]:
        found = spans(index)
        return tuple(Segment(names[k], a * shift, (b - a) * shift) for k, (a, b) in sorted(found.items()))

    begins = changes(parts.columns, parts.slots)
    runs = np.cumsum(begins) - 1
    names = emissions.units.decode(parts.columns[begins])
    return Alignment(
        words=cut(parts.words, words),
        tokens=cut(parts.slots, parts.tokens),
        states=cut(runs, names),
        columns=parts.columns,
        slots=parts.slots,
        pronunciations=parts.pronunciations,
        of_word=parts.words,
        score=path.score,
    )
