"""Training utterances with their composite HMMs, and sums over all of them on several cores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

import numpy as np

from asr.features.mfcc import SpeakerNorm, add_deltas
from asr.models.gmmhmm.sentence import Sentence
from asr.models.gmmhmm.states import Parameters, States
from asr.models.gmmhmm.statistics import Statistics, gather, gather_scatter
from asr.models.gmmhmm.store import FeatureStore
from asr.models.gmmhmm.transform import Scatter
from asr.progress import console
from asr.text.lexicon import Lexicon

CHUNK = 15_000  # frames whose statistics are gathered together
IN_FLIGHT = 4  # chunks at a time, so that their statistics do not pile up
S = TypeVar("S", Statistics, Scatter)


class Transcribed:
    """Utterances with features and composite HMMs; those that cannot be aligned are named and left out."""

    def __init__(self, store: FeatureStore, states: States, lexicon: Lexicon) -> None:
        self.store = store
        self.sentences: dict[int, Sentence] = {}
        for i, entry in enumerate(store.entries):
            words = entry.text.split()
            unknown = [w for w in words if w not in lexicon]
            why = ""
            if unknown:
                why = f"word {unknown[0]!r} is not in the lexicon"
            else:
                sentence = Sentence.build(states, lexicon, words)
                if not words:
                    why = "no transcript"
                elif entry.frames < sentence.shortest:
                    why = f"{entry.frames} frames are too few for its text, which needs {sentence.shortest}"
            if why:
                console.print(f"asr: left out: utterance {entry.id}: {why}", markup=False, soft_wrap=True)
            else:
                self.sentences[i] = sentence
        self.left_out = len(store) - len(self.sentences)

    def chunks(self) -> list[list[int]]:
        """Utterance numbers in groups of about CHUNK frames."""
        groups: list[list[int]] = []
        frames = CHUNK
        for i in self.sentences:
            if frames >= CHUNK:
                groups.append([])
                frames = 0
            groups[-1].append(i)
            frames += self.store.entries[i].frames
        return groups

    def statistics(self, parameters: Parameters, how: str, pool: Executor) -> Statistics:
        """One pass over all utterances."""
        return self._sum(
            Statistics.zeros(parameters),
            lambda sentences, cepstra: gather(parameters, sentences, cepstra, how),
            pool,
        )

    def scatter(self, parameters: Parameters, how: str, context: int, pool: Executor) -> Scatter:
        """Full second moments by state of cepstra spliced over `context` frames each side."""
        size = (2 * context + 1) * self.store.settings.cepstra
        return self._sum(
            Scatter.zeros(parameters.mixtures.states, size),
            lambda sentences, cepstra: gather_scatter(parameters, sentences, cepstra, how, context),
            pool,
        )

    def moments(self, parameters: Parameters | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (dimensions,) of all features; without parameters: cepstra with deltas."""
        features = add_deltas if parameters is None else parameters.features
        norm: SpeakerNorm | None = None
        for i in self.sentences:
            x = features(self.store.cepstra(i))
            norm = norm or SpeakerNorm(x.shape[1])
            norm.add(x)
        assert norm is not None
        mean = norm.total / norm.frames
        return mean, norm.squares / norm.frames - mean**2

    def _sum(
        self, total: S, part: Callable[[Sequence[Sentence], Sequence[np.ndarray]], S], pool: Executor
    ) -> S:
        """Add up `part` over all chunks, in a fixed order however many workers there are."""

        def chunk(numbers: list[int]) -> S:
            return part([self.sentences[i] for i in numbers], [self.store.cepstra(i) for i in numbers])

        groups = iter(self.chunks())
        while batch := list(itertools.islice(groups, IN_FLIGHT)):
            for some in pool.map(chunk, batch):
                total += some
        return total
