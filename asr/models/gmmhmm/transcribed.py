"""Training utterances with composite HMMs and alignments, and sums over all of them on several cores."""

from __future__ import annotations

import functools
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from asr.features.mfcc import SpeakerNorm, add_deltas
from asr.files import replacing
from asr.models.gmmhmm.sentence import Sentence, Weights, best_path
from asr.models.gmmhmm.states import PHONE_STATES, Parameters, States
from asr.models.gmmhmm.statistics import Statistics, gather, scores_of
from asr.models.gmmhmm.store import FeatureStore
from asr.models.gmmhmm.transform import (
    ClassStatistics,
    RowStatistics,
    SemiTiedStatistics,
    affine,
    fmllr,
    splice,
)
from asr.models.gmmhmm.tree import ContextStatistics
from asr.progress import console
from asr.text.lexicon import Lexicon, Pronunciation

CHUNK = 15_000  # frames whose statistics are gathered together
IN_FLIGHT = 2  # chunks a core at a time, so that their statistics do not pile up
MOST_CELLS = 50_000_000  # frames x states of an utterance, 20 bytes each: 1 GB a core
S = TypeVar("S")


class Transcribed:
    """Utterances with features and composite HMMs; those that cannot be aligned are named and left out.

    Parameters
    ----------
    store
        Their cepstra.
    phones
        The inventory.
    lexicon
        Pronunciations of all words.
    path
        Where alignments are kept.

    Attributes
    ----------
    numbers
        Utterances that are used now, see `use`.
    left_out
        How many recorded utterances never are.
    speakers
        (dimensions, dimensions + 1) feature transform of each speaker that has one.
    """

    def __init__(self, store: FeatureStore, phones: tuple[str, ...], lexicon: Lexicon, path: Path) -> None:
        self.store, self.lexicon, self.path = store, lexicon, path
        self.states = States(phones)
        self.speakers: dict[str, np.ndarray] = {}
        self._usable: list[int] = []
        left_out: set[str] = set()
        for i, entry in enumerate(store.entries):
            words = entry.text.split()
            unknown = [w for w in words if w not in lexicon]
            why = "" if words else "no transcript"
            if unknown:
                why = f"word {unknown[0]!r} is not in the lexicon"
            elif words:
                fewest = [lexicon.shortest(w) for w in words]
                shortest = PHONE_STATES * sum(fewest)
                ways = PHONE_STATES * sum(len(p) for w in words for p in lexicon.entries[w])
                if not all(fewest):
                    why = f"every pronunciation of {words[fewest.index(0)]!r} has probability 0"
                elif entry.frames < shortest:
                    why = f"{entry.frames} frames are too few for its text, which needs {shortest}"
                elif entry.frames * ways > MOST_CELLS:
                    why = f"{entry.frames} frames of {len(words)} words are too many to align at once; cut it"
            if why and entry.copy_of is None:
                console.print(f"asr: left out: utterance {entry.id}: {why}", markup=False, soft_wrap=True)
                left_out.add(entry.id)
            # the slow copy of one that was too short might do, but that one was said to be left out
            elif not why and entry.copy_of not in left_out:
                self._usable.append(i)
        self.left_out = len(left_out)
        self._plain: dict[int, Sentence] = {}
        self.use(copies=True)

    def use(self, copies: bool) -> None:
        """Take the recorded utterances from now on, or with their copies at other speeds."""
        entries = self.store.entries
        self.numbers = [i for i in self._usable if copies or entries[i].copy_of is None]

    @property
    def frames(self) -> int:
        """Frames of the utterances in use."""
        return sum(self.store.entries[i].frames for i in self.numbers)

    def sentence(self, i: int, tied: bool) -> Sentence:
        """The composite HMM of utterance i; `tied`: with every phoneme in each of its contexts.

        Those without contexts are small and kept: training without contexts goes over them again and again.
        """
        if not tied and i in self._plain:
            return self._plain[i]
        words = self.store.entries[i].text.split()
        sentence = Sentence.build(self.states, self.states.skeletons[tied], self.lexicon, words)
        if not tied:
            self._plain[i] = sentence
        return sentence

    def features(self, i: int, parameters: Parameters) -> np.ndarray:
        """(frames, dimensions) float32 of utterance i, in its speaker's space."""
        speaker = self.store.entries[i].speaker
        return affine(parameters.features(self.store.cepstra(i)), self.speakers.get(speaker))

    def chunks(self, numbers: Sequence[int]) -> list[list[int]]:
        """Utterance numbers in groups of about CHUNK frames."""
        groups: list[list[int]] = []
        frames = CHUNK
        for i in numbers:
            if frames >= CHUNK:
                groups.append([])
                frames = 0
            groups[-1].append(i)
            frames += self.store.entries[i].frames
        return groups

    # over all paths, before there are alignments

    def expected(self, parameters: Parameters, pool: Executor, flat: bool = False) -> Statistics:
        """Counts over all paths of all sentences; `flat`: of equally long states over what is loud."""

        def part(numbers: list[int]) -> Statistics:
            sentences = [self.sentence(i, False) for i in numbers]
            features = [self.features(i, parameters) for i in numbers]
            loud = [self.store.loud(i) for i in numbers] if flat else None
            return gather(parameters, sentences, features, loud)

        return self._sum(part, self.numbers, pool)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (dimensions,) of cepstra with deltas."""
        norm = SpeakerNorm(3 * self.store.settings.cepstra)
        for i in self.numbers:
            norm.add(add_deltas(self.store.cepstra(i)))
        mean = norm.total / norm.frames
        return mean, norm.squares / norm.frames - mean**2

    # alignments, and counts given them

    def align(self, parameters: Parameters, pool: Executor) -> Statistics:
        """The best path of every utterance, kept as the keys of its frames; its counts but the mixtures'."""
        tied = parameters.states.leaves is not None
        if tied:
            # never asked for again: they grow with the hours
            self._plain.clear()

        def one(numbers: list[int]) -> tuple[Statistics, list[np.ndarray]]:
            counts, found = Statistics.zeros(parameters), []
            for i in numbers:
                sentence, x = self.sentence(i, tied), self.features(i, parameters)
                weights = Weights.of(sentence, parameters)
                score, nodes = best_path(sentence, weights, scores_of(parameters, weights, x))
                visits = np.bincount(nodes, minlength=len(sentence.keys))
                counts.visited(sentence, weights, visits, visits - (visits > 0))
                counts.log_likelihood += score
                counts.frames += len(x)
                found.append(sentence.spoken(self.states, nodes))
            return counts, found

        total: Statistics | None = None
        keys = np.full(sum(e.frames for e in self.store.entries), -1, np.int32)
        groups = self.chunks(self.numbers)
        for numbers, (counts, found) in zip(groups, self._map(one, groups, pool), strict=True):
            for i, mine in zip(numbers, found, strict=True):
                begin = self.store.entries[i].begin
                keys[begin : begin + len(mine)] = mine
            if total is None:
                total = counts
            else:
                total += counts
        assert total is not None
        with replacing(self.path) as temporary:
            keys.tofile(temporary)
        return total

    def keys(self, i: int) -> np.ndarray:
        """(frames,) int32 keys of the last alignment of utterance i."""
        entry = self.store.entries[i]
        return np.fromfile(self.path, np.int32, entry.frames, offset=4 * entry.begin)

    def counts(self, parameters: Parameters, pool: Executor, plain: bool = False) -> Statistics:
        """Moments of all mixtures for the alignment.

        `plain`: components explain the features in their speaker's space, and the moments are of those in
        everybody's.
        """

        def part(numbers: list[int]) -> Statistics:
            out = Statistics.zeros(parameters)
            x, state = self._aligned(numbers, parameters)
            moved = (
                np.concatenate([parameters.features(self.store.cepstra(i)) for i in numbers])
                if plain
                else None
            )
            weight = np.ones(len(x), np.float32)
            out.log_likelihood, out.mixtures = parameters.mixtures.statistics(x, state, weight, moved)
            out.frames = len(x)
            return out

        return self._sum(part, self.numbers, pool)

    def triphones(self, i: int) -> np.ndarray:
        """(tokens,) what was said in utterance i, pauses included, as the keys of their first states."""
        keys = self.keys(i)
        _, token, _, position = self.states.parts(keys)
        begins = np.diff(keys - position, prepend=-1) != 0
        # a triphone goes back to its first state only where it is said twice
        begins |= (np.diff(position, prepend=0) < 0) & (token < self.states.spoken)
        return (keys - position)[begins]

    def spoken(self) -> dict[str, Counter[Pronunciation]]:
        """How often each word was said in each way, copies not counted, by the last alignment."""
        found: defaultdict[str, Counter[Pronunciation]] = defaultdict(Counter)
        for i in self.numbers:
            if self.store.entries[i].copy_of is not None:
                continue
            _, token, _, _ = self.states.parts(self.triphones(i))
            places = [self.states.tokens[k].rpartition("_")[::2] for k in token if k < self.states.spoken]
            words, phones = iter(self.store.entries[i].text.split()), []
            for phone, place in places:
                phones.append(phone)
                if place in "ES":
                    found[next(words)][tuple(phones)] += 1
                    phones = []
        return found

    def contexts(self, parameters: Parameters, pool: Executor) -> ContextStatistics:
        """Single Gaussians of every phoneme state in every context."""

        def part(numbers: list[int]) -> ContextStatistics:
            x = np.concatenate([self.features(i, parameters) for i in numbers])
            return ContextStatistics.of(np.concatenate([self.keys(i) for i in numbers]), x)

        return self._sum(part, self.numbers, pool)

    def classes(self, parameters: Parameters, context: int, pool: Executor) -> ClassStatistics:
        """Moments by state of cepstra spliced over `context` frames each side; pauses are left out."""

        def part(numbers: list[int]) -> ClassStatistics:
            x = np.concatenate([splice(self.store.cepstra(i), context) for i in numbers])
            state = parameters.states.columns[np.concatenate([self.keys(i) for i in numbers])]
            spoken = state < parameters.states.silence[0]
            return ClassStatistics.of(x[spoken], state[spoken], len(parameters.states.units))

        return self._sum(part, self.numbers, pool)

    def sample(self, frames: int) -> list[int]:
        """Utterances of about so many frames together, from all over the set."""
        total = sum(self.store.entries[i].frames for i in self.numbers)
        return self.numbers[:: max(1, round(total / frames))]

    def rows(self, parameters: Parameters, numbers: Sequence[int], pool: Executor | None) -> RowStatistics:
        """What fMLLR is estimated from, for utterances of any speakers; pauses are left out.

        Components explain features in their speaker's space; the transform will be applied to everybody's.
        """

        def part(numbers: list[int]) -> RowStatistics:
            x, state = self._aligned(numbers, parameters)
            plain = np.concatenate([parameters.features(self.store.cepstra(i)) for i in numbers])
            spoken = state < parameters.states.silence[0]
            return RowStatistics.of(parameters.mixtures, x[spoken], state[spoken], plain[spoken])

        return self._sum(part, numbers, pool)

    def second_moments(
        self, parameters: Parameters, numbers: Sequence[int], pool: Executor
    ) -> SemiTiedStatistics:
        """What MLLT is estimated from; pauses are left out."""

        def part(numbers: list[int]) -> SemiTiedStatistics:
            x, state = self._aligned(numbers, parameters)
            spoken = state < parameters.states.silence[0]
            return SemiTiedStatistics.of(parameters.mixtures, x[spoken], state[spoken])

        return self._sum(part, numbers, pool)

    def adapt(self, parameters: Parameters, prior: np.ndarray, frames: float, pool: Executor) -> None:
        """Estimate every speaker's transform anew; see `RowStatistics.with_prior`."""
        groups: dict[str, list[int]] = {}
        for i in self.numbers:
            groups.setdefault(self.store.entries[i].speaker, []).append(i)

        def one(numbers: list[int]) -> np.ndarray:
            return fmllr(self.rows(parameters, numbers, None).with_prior(prior, frames))

        self.speakers = dict(zip(groups, list(pool.map(one, groups.values())), strict=True))

    def _aligned(self, numbers: Sequence[int], parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
        x = np.concatenate([self.features(i, parameters) for i in numbers])
        return x, parameters.states.columns[np.concatenate([self.keys(i) for i in numbers])]

    def _map(
        self, part: Callable[[list[int]], S], groups: Sequence[list[int]], pool: Executor | None
    ) -> Iterator[S]:
        """`part` of each group in order, few at a time; without a pool one after another."""
        if pool is None:
            yield from map(part, groups)
            return
        some = IN_FLIGHT * torch.get_num_threads()
        for n in range(0, len(groups), some):
            yield from pool.map(part, groups[n : n + some])

    def _sum(self, part: Callable[[list[int]], S], numbers: Sequence[int], pool: Executor | None) -> S:
        """Add up `part` over all chunks, in a fixed order however many workers there are."""
        return functools.reduce(operator.iadd, self._map(part, self.chunks(numbers), pool))
