"""The ladder of the classical recipe: monophones, triphones, LDA and MLLT, speaker adaptation; resumable.

Reference
---------
Povey et al. 2011, "The Kaldi speech recognition toolkit"; Gales and Young 2008, "The application of
hidden Markov models in speech recognition", sections 2-5.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np

from asr.errors import DataError, ModelError
from asr.models.gmmhmm.mixtures import Mixtures
from asr.models.gmmhmm.resume import Progress, Resume
from asr.models.gmmhmm.settings import STEPS, WITH_COPIES, GmmHmmSettings
from asr.models.gmmhmm.states import (
    FIRST_PAUSES,
    FIRST_STAY,
    PHONE_STATES,
    SILENCE_STATES,
    Parameters,
    States,
)
from asr.models.gmmhmm.statistics import FEWEST_FRAMES, Statistics
from asr.models.gmmhmm.transcribed import Transcribed
from asr.models.gmmhmm.transform import lda, mllt
from asr.models.gmmhmm.tree import grow
from asr.progress import bar, console

SMALLEST_VARIANCE = 1e-6  # of features that never change
SUMMED = 6  # first passes of monophones, over all paths; the others follow the best one
MONOPHONE_ALIGNED = 3  # one of so many passes after those begins with an alignment, nearly all of its cost
MONOPHONE_GAUSSIANS = 8  # a state, where a better step follows
PLAIN_PASSES = 3  # of unadapted features after speaker-adaptive training
ENOUGH = 400_000  # frames that MLLT and the prior of adaptation are estimated from


def realigned(settings: GmmHmmSettings) -> set[int]:
    """Passes of a step that begin with an alignment; the first one takes that of the step before."""
    return {round(settings.passes * part) for part in (0.3, 0.6)}


def transformed(settings: GmmHmmSettings) -> set[int]:
    """Passes of a step that begin with new estimates of its transforms."""
    return {1, 3, 5, round(settings.passes * 0.5)}


def sizes(settings: GmmHmmSettings, frames: int) -> tuple[int, int]:
    """Tied states and Gaussians for a training set of so many frames."""
    hours = frames / 360_000
    leaves = settings.leaves or round(math.sqrt(hours) * 360_000 / settings.frames_per_leaf)
    return leaves, settings.gaussians or max(1, round(frames / settings.frames_per_gaussian))


class Ladder:
    """One training: its steps, and where it stands.

    Parameters
    ----------
    settings
        Sizes and schedule.
    train
        Utterances with transcripts.
    workdir
        Gets ``metrics.csv``, one row a pass, and what a later call goes on from.
    pool
        Runs parts of the passes.
    """

    def __init__(self, settings: GmmHmmSettings, train: Transcribed, workdir: Path, pool: Executor) -> None:
        if not train.numbers:
            raise DataError("no training utterance could be aligned", fix="check lexicon and transcripts")
        self.settings, self.train, self.pool = settings, train, pool
        self.resume = Resume(workdir, settings, train)
        self.told: set[str] = set()

    def climb(self) -> Parameters:
        """All steps, or those that an earlier call has not finished.

        Raises
        ------
        ModelError
            If the likelihood is not a number.
        """
        train, steps = self.train, STEPS[: STEPS.index(self.settings.step) + 1]
        now = self.resume.load() or Progress()
        with bar() as progress:
            passes = self.settings.passes
            task = progress.add_task("training", total=passes * len(steps), completed=len(now.rows))
            for number in range(len(now.rows), passes * len(steps)):
                began = time.perf_counter()
                step, k = steps[number // passes], number % passes
                train.use(copies=step in WITH_COPIES)
                if k == 0:
                    now = self._begin(step, now)
                counts = self._monophones(now, k) if step == "mono" else self._tied(step, now, k)
                if not np.isfinite(counts.log_likelihood):
                    raise ModelError(
                        f"training broke down in pass {number + 1}: the likelihood is not a number"
                    )
                now.rows.append(self._row(number, step, now, counts, began))
                assert now.parameters is not None
                now.occupancy = counts.mixtures.occupancy
                now.parameters = counts.estimate(now.parameters, now.floor)
                if step == "sat" and k + 1 == passes:
                    now.parameters = self._unadapted(now)
                # the state comes last: a kill before it repeats the pass, one after it must not lack the step
                if k + 1 == passes:
                    self.resume.keep(step, now.parameters)
                self.resume.save(now)
                progress.advance(task)
        assert now.parameters is not None
        return now.parameters

    def _begin(self, step: str, now: Progress) -> Progress:
        """The parameters that a step starts from."""
        settings, train = self.settings, self.train
        if step == "mono":
            start, floor = flat_start(train, settings.variance_floor, self.pool)
            return replace(now, parameters=start, floor=floor)
        assert now.parameters is not None
        before = now.parameters
        train.align(before, self.pool)
        if step == "lda":
            size = (2 * settings.context + 1) * train.store.settings.cepstra
            statistics = train.classes(before, settings.context, self.pool)
            before = replace(before, transform=lda(statistics, min(settings.dimensions, size)))
        elif step == "sat":
            before = self._adapted(before)
        return self._tie(before, now)

    def _tie(self, before: Parameters, now: Progress) -> Progress:
        """One Gaussian for each tied state of new trees."""
        statistics = self.train.contexts(before, self.pool)
        total = statistics.moments.sum(axis=0)
        size = (len(total) - 1) // 2
        mean = total[1 : 1 + size] / total[0]
        variance = np.maximum(total[1 + size :] / total[0] - mean**2, SMALLEST_VARIANCE)
        floor = np.maximum(self.settings.variance_floor * variance, SMALLEST_VARIANCE)
        phones = before.states.phones
        leaves, _ = sizes(self.settings, self.train.frames)
        states, moments = grow(phones, statistics, leaves, self.settings.fewest_frames, floor)
        _, token, _, position = states.parts(statistics.keys)
        pause = [
            statistics.moments[(token >= states.spoken) & (position == p)].sum(axis=0)
            for p in range(SILENCE_STATES)
        ]
        # the short pause is silence's middle state
        short = statistics.moments[token == states.spoken + 1].sum(axis=0)
        pause[0], pause[SILENCE_STATES // 2] = pause[0] - short, pause[SILENCE_STATES // 2] + short
        moments = np.concatenate([moments, pause])
        n = moments[:, :1]
        seen = n[:, 0] >= FEWEST_FRAMES
        means = np.where(seen[:, None], moments[:, 1 : 1 + size] / np.maximum(n, 1), mean)
        spread = np.maximum(moments[:, 1 + size :] / np.maximum(n, 1) - means**2, floor)
        variances = np.where(seen[:, None], spread, variance)
        self._tell_rare(states, statistics.keys, statistics.moments[:, 0], seen)
        mixtures = Mixtures(np.ones(len(means)), means, variances, np.arange(len(means) + 1))
        # self-loops of the states that these were made of
        stay = np.full(len(means), FIRST_STAY)
        keys = np.flatnonzero(states.columns >= 0)
        stay[states.columns[keys]] = before.stay[before.states.columns[keys]]
        # where several were one state's, that of the context heard most
        heard = statistics.keys[np.argsort(statistics.moments[:, 0], kind="stable")]
        stay[states.columns[heard]] = before.stay[before.states.columns[heard]]
        parameters = replace(before, states=states, mixtures=mixtures, stay=stay)
        return replace(now, parameters=parameters, floor=floor, occupancy=n[:, 0])

    def _tell_rare(self, states: States, keys: np.ndarray, frames: np.ndarray, seen: np.ndarray) -> None:
        """Name the phonemes that share the states of others, and the states that know the mean of all audio.

        Each such text is told once.
        """
        _, token, _, position = states.parts(keys)
        heard = np.zeros((len(states.tokens), SILENCE_STATES))
        np.add.at(heard, (token, position), frames)
        sharing: defaultdict[int, list[tuple[float, str]]] = defaultdict(list)
        for k, phone in enumerate(states.phones):
            for i in range(PHONE_STATES):
                mine = heard[states.class_of == k, i].sum()
                sharing[int(states.tied[k, 0, i, 0, 0])].append((float(mine), f"{phone}_{i}"))
        found = []
        for together in sharing.values():
            (_, host), *rare = sorted(together, reverse=True)
            found += [f"{name} (as {host})" for _, name in rare]
        found += [f"{states.units[c]} (as all audio)" for c in np.flatnonzero(~seen)]
        told = f"asr: too little of these states in the training set: {', '.join(sorted(found))}"
        if found and told not in self.told:
            self.told.add(told)
            console.print(told, markup=False, soft_wrap=True)

    def _monophones(self, now: Progress, k: int) -> Statistics:
        """One pass with a state for each phoneme and position."""
        assert now.parameters is not None
        _, most = sizes(self.settings, self.train.frames)
        if self.settings.step != "mono":
            most = min(most, MONOPHONE_GAUSSIANS * now.parameters.mixtures.states)
        if k < SUMMED:
            return self.train.expected(now.parameters, self.pool)
        if (k - SUMMED) % MONOPHONE_ALIGNED == 0:
            now.parameters = self.train.align(now.parameters, self.pool).transitions(now.parameters)
        now.parameters = self._grown(now, most, k, SUMMED)
        return self.train.counts(now.parameters, self.pool)

    def _tied(self, step: str, now: Progress, k: int) -> Statistics:
        """One pass with tied states."""
        assert now.parameters is not None
        train = self.train
        if k in realigned(self.settings):
            now.parameters = train.align(now.parameters, self.pool).transitions(now.parameters)
        if k in transformed(self.settings):
            if step == "lda":
                assert now.parameters.transform is not None
                some = train.second_moments(now.parameters, train.sample(ENOUGH), self.pool)
                matrix = mllt(now.parameters.mixtures, some)
                now.parameters = replace(
                    now.parameters,
                    transform=matrix @ now.parameters.transform,
                    mixtures=now.parameters.mixtures.moved(matrix),
                )
            elif step == "sat":
                now.parameters = self._adapted(now.parameters)
        if k:
            now.parameters = self._grown(now, sizes(self.settings, train.frames)[1], k, 1)
        return train.counts(now.parameters, self.pool)

    def _grown(self, now: Progress, most: int, k: int, first: int) -> Parameters:
        """More Gaussians, in equal steps until three quarters of the passes are done."""
        assert now.parameters is not None
        mixtures = now.parameters.mixtures
        last = round(0.75 * self.settings.passes)
        if k > last or mixtures.components >= most:
            return now.parameters
        wanted = mixtures.components + (most - mixtures.components) // (last - max(k, first) + 1)
        return replace(
            now.parameters,
            mixtures=mixtures.split(
                now.occupancy, wanted, self.settings.frames_per_gaussian, self.settings.power
            ),
        )

    def _adapted(self, parameters: Parameters) -> Parameters:
        """The same after every speaker's transform was estimated with them."""
        train = self.train
        rows = train.rows(parameters, train.sample(ENOUGH), self.pool)
        prior = rows.outer / max(rows.frames, 1.0)
        train.adapt(parameters, prior, self.settings.adaptation_frames, self.pool)
        return replace(parameters, prior=prior.astype(np.float32))

    def _unadapted(self, now: Progress) -> Parameters:
        """With densities of unadapted features, for a first search: those of the adapted ones, trained on."""
        assert now.parameters is not None
        train, parameters = self.train, now.parameters
        counts = train.counts(parameters, self.pool, plain=True)
        plain = parameters.mixtures.updated(counts.mixtures, now.floor, FEWEST_FRAMES)
        speakers, train.speakers = train.speakers, {}
        for _ in range(PLAIN_PASSES):
            counts = train.counts(replace(parameters, mixtures=plain), self.pool)
            plain = plain.updated(counts.mixtures, now.floor, FEWEST_FRAMES)
        train.speakers = speakers
        return replace(parameters, unadapted=plain)

    def _row(self, number: int, step: str, now: Progress, counts: Statistics, began: float) -> dict[str, str]:
        assert now.parameters is not None
        return {
            "pass": str(number + 1),
            "step": step,
            "states": str(now.parameters.mixtures.states),
            "gaussians": str(now.parameters.mixtures.components),
            "log_likelihood": f"{counts.log_likelihood / counts.frames:.6f}",
            "left_out": str(self.train.left_out),
            "seconds": f"{time.perf_counter() - began:.2f}",
        }


def flat_start(train: Transcribed, variance_floor: float, pool: Executor) -> tuple[Parameters, np.ndarray]:
    """One Gaussian a state, from sentences cut into equally long states; and the floor of variances.

    Quiet frames are silence: cutting up a sentence with its pauses puts words where nobody speaks, and
    embedded training may never find them.

    All of silence starts as its middle state: five states at each end of a sentence of one short word would
    take half of it, and keep the word.
    """
    states = train.states
    n = len(states.units)
    mean, variance = train.moments()
    floor = np.maximum(variance_floor * variance, SMALLEST_VARIANCE)
    mixtures = Mixtures.flat(n, mean, np.maximum(variance, floor))
    start = Parameters(states, mixtures, np.full(n, FIRST_STAY), np.array(FIRST_PAUSES))
    cut = train.expected(start, pool, flat=True).estimate(start, floor).mixtures
    like = np.arange(n)
    like[list(states.silence)] = states.silence[SILENCE_STATES // 2]
    mixtures = Mixtures(np.ones(n), cut.means[like], cut.variances[like], np.arange(n + 1))
    return replace(start, mixtures=mixtures), floor
