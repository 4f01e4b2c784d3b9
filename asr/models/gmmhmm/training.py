"""Embedded training: flat start, passes over transcripts, transforms, mixture splitting; resumable."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np

from asr.errors import DataError, ModelError
from asr.models.gmmhmm.mixtures import Mixtures
from asr.models.gmmhmm.resume import Resume
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.models.gmmhmm.states import FIRST_PAUSES, FIRST_STAY, SHORT_PAUSE, SILENCE, Parameters, States
from asr.models.gmmhmm.transcribed import Transcribed
from asr.models.gmmhmm.transform import lda, mllt
from asr.progress import bar

SMALLEST_VARIANCE = 1e-6  # of features that never change
ALIGNING = 4  # Gaussians a state in the models that align for the transforms


def plan(settings: GmmHmmSettings, states: int) -> list[tuple[str, int]]:
    """Features and total number of Gaussians of each pass: one a state, then doubling to the number set."""

    def doubling(most: int, first: int, last: int) -> list[int]:
        sizes = [states]
        while sizes[-1] < most:
            sizes.append(min(2 * sizes[-1], most))
        passes = [first, *[settings.passes] * (len(sizes) - 2), last][: len(sizes)]
        return [size for size, n in zip(sizes, passes, strict=True) for _ in range(n)]

    most = settings.gaussians
    if settings.transform == "none":
        return [("deltas", n) for n in doubling(most, settings.first_passes, settings.last_passes)]
    aligning = doubling(min(most, ALIGNING * states), settings.first_passes, settings.passes)
    final = doubling(most, settings.passes, settings.last_passes)
    return [*(("deltas", n) for n in aligning), *(("lda", n) for n in final)]


def flat_start(states: States, train: Transcribed, variance_floor: float, pool: Executor) -> Parameters:
    """One Gaussian a state, from sentences cut into equally long states.

    All of silence starts as its middle state: five states at each end of a sentence of one short word would
    take half of it, and keep the word.
    """
    n = len(states.units)
    mean, variance = train.moments()
    floor = np.maximum(variance_floor * variance, SMALLEST_VARIANCE)
    variance = np.maximum(variance, floor)
    start = Parameters(Mixtures.flat(n, mean, variance), np.full(n, FIRST_STAY), np.array(FIRST_PAUSES))
    cut = train.statistics(start, "flat", pool).estimate(start, floor)
    like = np.arange(n)
    like[list(states.columns[SILENCE])] = states.columns[SHORT_PAUSE][0]
    mixtures = Mixtures(np.ones(n), cut.mixtures.means[like], cut.mixtures.variances[like], np.arange(n + 1))
    return Parameters(mixtures, start.stay, start.pauses)


def transformed(
    settings: GmmHmmSettings, train: Transcribed, parameters: Parameters, pool: Executor
) -> Parameters:
    """One Gaussian a state again, over features that LDA and MLLT make of neighbouring frames."""
    scatter = train.scatter(parameters, settings.estimation, settings.context, pool)
    matrix = mllt(scatter, lda(scatter, min(settings.dimensions, scatter.first.shape[1])))
    n = parameters.mixtures.states
    _, mean, covariance = scatter.covariances()
    total_mean, total = train.moments(replace(parameters, transform=matrix))
    mixtures = Mixtures.flat(n, total_mean, np.maximum(total, SMALLEST_VARIANCE))
    seen = scatter.frames > 0
    mixtures.means[seen] = mean @ matrix.T
    floor = np.maximum(settings.variance_floor * total, SMALLEST_VARIANCE)
    mixtures.variances[seen] = np.maximum(np.einsum("ij,sjk,ik->si", matrix, covariance, matrix), floor)
    return replace(parameters, mixtures=mixtures, transform=matrix)


def train(
    settings: GmmHmmSettings,
    states: States,
    train: Transcribed,
    dev: Transcribed,
    workdir: Path,
    pool: Executor,
) -> Parameters:
    """Estimate all parameters; goes on from ``workdir/state.safetensors`` where an earlier call left it.

    ``workdir/metrics.csv`` gets one row a pass: the log likelihood per frame is that of the parameters the
    pass began with, so it cannot fall but where features changed or Gaussians were added.

    Raises
    ------
    DataError
        If no utterance could be aligned.
    ModelError
        If the likelihood is not a number.
    """
    if not train.sentences:
        raise DataError("no training utterance could be aligned", fix="check lexicon and transcripts")
    schedule = plan(settings, len(states.units))
    resume = Resume(workdir, settings, states, train)
    parameters, occupancy, rows = resume.load()
    if parameters is None:
        parameters = flat_start(states, train, settings.variance_floor, pool)
    floor = np.maximum(settings.variance_floor * train.moments(parameters)[1], SMALLEST_VARIANCE)
    with bar() as progress:
        task = progress.add_task("training", total=len(schedule), completed=len(rows))
        steps = list(itertools.pairwise([schedule[0], *schedule, ("", 0)]))
        for number in range(len(rows), len(schedule)):
            began = time.perf_counter()
            before, (features, gaussians) = steps[number]
            if features != before[0]:
                parameters = transformed(settings, train, parameters, pool)
                floor = np.maximum(settings.variance_floor * train.moments(parameters)[1], SMALLEST_VARIANCE)
            elif gaussians > before[1]:
                grown = parameters.mixtures.split(
                    occupancy, gaussians, settings.frames_per_gaussian, settings.power
                )
                parameters = replace(parameters, mixtures=grown)
            counts = train.statistics(parameters, settings.estimation, pool)
            if not np.isfinite(counts.log_likelihood):
                raise ModelError(f"training broke down in pass {number + 1}: the likelihood is not a number")
            held_out = ""
            if dev.sentences and steps[number + 1][1] != (features, gaussians):
                seen = dev.statistics(parameters, settings.estimation, pool)
                held_out = f"{seen.log_likelihood / seen.frames:.6f}"
            row = {
                "pass": str(number + 1),
                "features": features,
                "gaussians": str(parameters.mixtures.components),
                "log_likelihood": f"{counts.log_likelihood / counts.frames:.6f}",
                "dev_log_likelihood": held_out,
                "left_out": str(train.left_out),
                "seconds": f"{time.perf_counter() - began:.2f}",
            }
            occupancy = counts.mixtures.occupancy
            parameters = counts.estimate(parameters, floor)
            rows.append(row)
            resume.save(parameters, occupancy, rows)
            progress.advance(task)
    return parameters
