"""Choose acoustic scale, word penalty and prior scale on dev, by one grid and one rule for every recipe."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from asr.decode.graph import Graph
from asr.decode.search import SearchSettings, beam_search, scaled
from asr.emissions import Emissions
from asr.progress import bar
from asr.score import score_texts

# The grid. Acoustic scales in steps of sqrt(2): Gaussian likelihoods at 100 frames a second want the lower,
# CTC posteriors at 25 the upper ones.
GRID: dict[str, tuple[float, ...]] = {
    "acoustic_scale": tuple(round(0.05 * 2 ** (k / 2), 3) for k in range(-1, 12)),
    "word_penalty": tuple(float(k) for k in range(-3, 4)),
    "prior_scale": (0.0, 0.3, 0.6, 0.9),
}
SWEEP_STEPS = (2, 2, 1)
TUNING_UTTERANCES = 100
TUNING_ACTIVE = 500  # 1000 find the same scales on dev of speechocean762, and take two thirds longer
# Points tried where a model has no prior, and where it has one: a third scale leaves 28 short of the best.
# Halves of the dev speakers of speechocean762 tuned on, the others scored, eight CTC networks of 0.1 to 1 h,
# 100 random halves each: 69.4% word errors with 28, 68.8 with 40, 68.4 with 60, 68.5 with all near the best.
MOST_TRIED, MOST_TRIED_WITH_PRIOR = 28, 60

Point = tuple[int, ...]  # one index into each coordinate of the grid


def tune(
    emissions: Sequence[Emissions],
    references: Sequence[str],
    graph: Graph,
    settings: SearchSettings,
    log_prior: np.ndarray | None = None,
    nearby: bool = False,
) -> tuple[SearchSettings, list[dict[str, Any]]]:
    """Settings from the middle of those that make few word errors on dev, and everything that was tried.

    A fixed random subset is searched with few active paths over the grid's coordinates in turn (every other
    acoustic scale and word penalty; every prior scale, for posteriors with a prior only), then around every
    point within two deviations of the fewest errors, the best first. A deviation is the square root of the
    fewest errors, as of a count. The middle is the mean of the points, each weighed by exp(-its errors more
    than the fewest / deviation); all of dev is searched there, as `settings` says. Small devs are flat near
    their best, and the one best point is chance: with mfcc_hybrid's tuned on five of speechocean762's ten
    dev speakers, the other five had 41.3% word errors at the best point, and 40.4% in the middle (400 random
    halves; with mfcc_hmm 43.8 and 43.9).

    Parameters
    ----------
    emissions, references
        Dev utterances and their normalised texts, in the same order.
    graph
        What is searched.
    settings
        Beam and max_active of the last search; its scales are looked at only where `nearby`.
    log_prior
        (units,) natural log prior of the columns, or None: then prior_scale stays 0.
    nearby
        Begin at the grid point next to the scales of `settings`, with its neighbours.

    Returns
    -------
    settings
        `settings` with the chosen scales.
    tried
        One row per search: scales, utterances, max_active, errors, wer (percent); the last is the chosen one,
        on all of dev.
    """
    if not emissions or not any(references):
        return settings, []
    grid = dict(GRID)
    if log_prior is None or emissions[0].kind != "posterior":
        grid["prior_scale"] = (0.0,)
    axes = list(grid.values())
    everything = range(len(emissions))
    some = sorted(random.Random(0).sample(everything, min(TUNING_UTTERANCES, len(everything))))
    narrow = settings.model_copy(update={"max_active": min(TUNING_ACTIVE, settings.max_active)})
    most = MOST_TRIED if len(grid["prior_scale"]) == 1 else MOST_TRIED_WITH_PRIOR
    tried: list[dict[str, Any]] = []
    errors: dict[Point, int] = {}

    with bar() as progress:
        task = progress.add_task("tuning", total=most + 1)

        def evaluate(which: Sequence[int], chosen: SearchSettings) -> int:
            found = {}
            for i in which:
                scores = scaled(emissions[i], chosen, log_prior)
                found[str(i)] = " ".join(beam_search(scores, graph, chosen).words) if len(scores) else ""
            count = score_texts({str(i): references[i] for i in which}, found).scores
            row = {name: getattr(chosen, name) for name in grid}
            row |= {"utterances": len(which), "max_active": chosen.max_active}
            tried.append({**row, "errors": count.errors, "wer": round(count.rate or 0.0, 3)})
            progress.advance(task)
            return count.errors

        def try_all(points: Sequence[Point]) -> Point:
            for point in points:
                if point not in errors and len(errors) < most:
                    scales = {name: axis[k] for (name, axis), k in zip(grid.items(), point, strict=True)}
                    errors[point] = evaluate(some, narrow.model_copy(update=scales))
            return min(errors, key=lambda p: errors[p])

        if nearby:
            try_all([tuple(_nearest(v, getattr(settings, name)) for name, v in grid.items())])
        else:
            best: Point = (len(axes[0]) // 2, len(axes[1]) // 2, 0)
            for axis, step in enumerate(SWEEP_STEPS):
                best = try_all(
                    [_moved(best, axis, k) for k in range(best[axis] % step, len(axes[axis]), step)]
                )
        surrounded: set[Point] = set()
        while len(errors) < most:
            fewest = min(errors.values())
            open_points = [
                p for p in errors if p not in surrounded and errors[p] <= fewest + 2 * _deviation(fewest)
            ]
            if not open_points:
                break
            point = min(open_points, key=lambda p: errors[p])
            surrounded.add(point)
            try_all(
                [
                    _moved(point, axis, point[axis] + d)
                    for axis in range(3)
                    for d in (-1, 1)
                    if 0 <= point[axis] + d < len(axes[axis])
                ]
            )
        chosen = settings.model_copy(update=_middle(grid, errors))
        evaluate(everything, chosen)
    return chosen, tried


def neighbours(acoustic_scale: float) -> tuple[float, ...]:
    """An acoustic scale between those next to it on the grid."""
    scales = GRID["acoustic_scale"]
    k = _nearest(scales, acoustic_scale)
    return tuple(dict.fromkeys((*scales[max(0, k - 1) : k], acoustic_scale, *scales[k + 1 : k + 2])))


def _middle(grid: dict[str, tuple[float, ...]], errors: dict[Point, int]) -> dict[str, float]:
    """The mean of points near the best, of acoustic scales the geometric one."""
    counts = np.array(list(errors.values()))
    weights = np.exp(-(counts - counts.min()) / _deviation(counts.min()))
    values = {name: [axis[point[k]] for point in errors] for k, (name, axis) in enumerate(grid.items())}
    middle = {name: np.average(some, weights=weights) for name, some in values.items()}
    middle["acoustic_scale"] = np.exp(np.average(np.log(values["acoustic_scale"]), weights=weights))
    return {name: round(float(value), 4) for name, value in middle.items()}


def _deviation(errors: int) -> float:
    return math.sqrt(errors + 1)


def _nearest(values: Sequence[float], wanted: float) -> int:
    return min(range(len(values)), key=lambda k: abs(values[k] - wanted))


def _moved(point: Point, axis: int, k: int) -> Point:
    return (*point[:axis], k, *point[axis + 1 :])
