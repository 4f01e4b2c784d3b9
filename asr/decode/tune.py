"""Choose acoustic scale, word penalty and prior scale on dev, by one grid and one rule for every recipe."""

from __future__ import annotations

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
    "word_penalty": tuple(k / 2 for k in range(-6, 7)),
    "prior_scale": (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9),
}
COARSE_STEPS = (2, 4, 2)
COARSE_UTTERANCES = 100
COARSE_ACTIVE = 1000
MOST_TRIED = 28
CONFIRMED = 3

Point = tuple[int, ...]  # one index into each coordinate of the grid


def tune(
    emissions: Sequence[Emissions],
    references: Sequence[str],
    graph: Graph,
    settings: SearchSettings,
    log_prior: np.ndarray | None = None,
    nearby: bool = False,
) -> tuple[SearchSettings, list[dict[str, Any]]]:
    """The settings with the fewest word errors on dev, and everything that was tried.

    A fixed random subset is searched with few active paths, over the grid's coordinates in turn: every other
    acoustic scale, then every fourth word penalty, then (posteriors with a prior only) every other prior
    scale, then grid neighbours of the best in each coordinate until none is better. The best three are
    searched again on all of dev as `settings` says and the best of those is returned; equals go to the one
    tried first.

    Parameters
    ----------
    emissions, references
        Dev utterances and their normalised texts, in the same order.
    graph
        What is searched.
    settings
        Beam and max_active to confirm with; its scales are looked at only where `nearby`.
    log_prior
        (units,) natural log prior of the columns, or None: then prior_scale stays 0.
    nearby
        Begin at the grid point next to the scales of `settings`, with its neighbours.

    Returns
    -------
    settings
        `settings` with the chosen scales.
    tried
        One row per search: scales, utterances, max_active, errors, wer (percent).
    """
    if not emissions or not any(references):
        return settings, []
    grid = dict(GRID)
    if log_prior is None or emissions[0].kind != "posterior":
        grid["prior_scale"] = (0.0,)
    axes = list(grid.values())
    everything = list(range(len(emissions)))
    some = sorted(random.Random(0).sample(everything, min(COARSE_UTTERANCES, len(everything))))
    narrow = settings.model_copy(update={"max_active": min(COARSE_ACTIVE, settings.max_active)})
    tried: list[dict[str, Any]] = []
    errors: dict[Point, int] = {}

    def scales(point: Point) -> dict[str, float]:
        return {name: values[k] for (name, values), k in zip(grid.items(), point, strict=True)}

    with bar() as progress:
        task = progress.add_task("tuning", total=MOST_TRIED + CONFIRMED)

        def evaluate(point: Point, which: Sequence[int], base: SearchSettings) -> int:
            chosen = base.model_copy(update=scales(point))
            found = {}
            for i in which:
                scores = scaled(emissions[i], chosen, log_prior)
                found[str(i)] = " ".join(beam_search(scores, graph, chosen).words) if len(scores) else ""
            count = score_texts({str(i): references[i] for i in which}, found).scores
            row = {**scales(point), "utterances": len(which), "max_active": base.max_active}
            tried.append({**row, "errors": count.errors, "wer": round(count.rate or 0.0, 3)})
            progress.advance(task)
            return count.errors

        def best_of(points: Sequence[Point]) -> Point:
            for point in points:
                if point not in errors and len(errors) < MOST_TRIED:
                    errors[point] = evaluate(point, some, narrow)
            return min(errors, key=lambda p: errors[p])

        best: Point = (len(axes[0]) // 2, len(axes[1]) // 2, 0)
        if nearby:
            best = best_of([tuple(_nearest(v, getattr(settings, name)) for name, v in grid.items())])
        for axis, step in enumerate(() if nearby else COARSE_STEPS):
            best = best_of([_moved(best, axis, k) for k in range(best[axis] % step, len(axes[axis]), step)])
        while True:
            near = [
                _moved(best, axis, best[axis] + d)
                for axis in range(3)
                for d in (-1, 1)
                if 0 <= best[axis] + d < len(axes[axis])
            ]
            better = best_of(near)
            if better == best:
                break
            best = better
        leaders = sorted(errors, key=lambda p: errors[p])[:CONFIRMED]
        confirmed = {p: evaluate(p, everything, settings) for p in leaders}
        best = min(confirmed, key=lambda p: confirmed[p])
    return settings.model_copy(update=scales(best)), tried


def neighbours(acoustic_scale: float) -> tuple[float, ...]:
    """An acoustic scale between those next to it on the grid."""
    scales = GRID["acoustic_scale"]
    k = _nearest(scales, acoustic_scale)
    return tuple(dict.fromkeys((*scales[max(0, k - 1) : k], acoustic_scale, *scales[k + 1 : k + 2])))


def _nearest(values: Sequence[float], wanted: float) -> int:
    return min(range(len(values)), key=lambda k: abs(values[k] - wanted))


def _moved(point: Point, axis: int, k: int) -> Point:
    return (*point[:axis], k, *point[axis + 1 :])
