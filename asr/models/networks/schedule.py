"""How long a network is trained, and at what rate: what follows from the hours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asr.models.networks.batches import Batches
from asr.models.networks.settings import NetworkSettings

VALIDATIONS = 25  # at most, spread over the epochs: each costs a pass over dev
STEPS_A_PASS = 48  # a small set is cut into smaller batches, down to this many, or to SMALLEST_S seconds
SMALLEST_S = 15.0
RISE = 0.15  # share of a cycle in which the rate rises
AGAIN = 0.25  # peak of a second cycle beside that of the first


def scheduled(total_s: float, settings: NetworkSettings, again: float = 0.0) -> tuple[int, ...]:
    """Passes of each cycle over so many seconds of training audio, such that the last one is validated too.

    `again`: of a second cycle, as a share of those of the first; 0 for none.
    """
    cycles = [epochs_for(total_s / 3600, settings)]
    if again:
        cycles.append(max(1, round(again * cycles[0])))
    cycles[-1] += -sum(cycles) % validated(sum(cycles))
    return tuple(cycles)


def steps_of(passes: Sequence[int], batches: Batches, settings: NetworkSettings) -> list[int]:
    """Steps of so many passes each; the last step of a pass may have fewer batches than the others."""
    return [n * -(-len(batches) // settings.accumulate) for n in passes]


def validated(epochs: int) -> int:
    """Every how many passes dev is looked at."""
    return -(-epochs // VALIDATIONS)


def rate_at(step: int, cycles: Sequence[int]) -> float:
    """The learning rate as a part of its peak, at a step of cycles of so many steps each.

    In each it rises from a tenth of the cycle's peak, and falls to a thousandth, along cosines.

    Reference
    ---------
    Smith and Topin 2018, "Super-convergence".
    """
    first = step <= cycles[0] or len(cycles) == 1
    share = step / cycles[0] if first else (step - cycles[0]) / cycles[1]
    low, x = (0.1, share / RISE) if share < RISE else (0.001, (1.0 - share) / (1.0 - RISE))
    return (1.0 if first else AGAIN) * (low + (1.0 - low) * 0.5 * (1.0 - math.cos(math.pi * min(1.0, x))))


def epochs_for(hours: float, settings: NetworkSettings) -> int:
    """Passes over a training set of `hours`: 40, with few hours as many as make 1920 steps, at most 600.

    Beyond 2 h they fall with the square root of the hours. More passes learn few hours by heart:
    speechocean762, 0.1 h, seed 0: with 207 passes 75.7% phoneme errors on dev, with 80 70.2% (and characters
    taught as well).
    """
    if settings.epochs is not None:
        return settings.epochs
    least = STEPS_A_PASS * SMALLEST_S / 3600  # from where a pass has so many steps
    passes = 40.0 * max(1.0, least / hours) * math.sqrt(min(1.0, 2.0 / hours))
    return max(4, min(600, round(settings.effort * passes)))


def dropout_for(hours: float, settings: NetworkSettings) -> float:
    """Dropout for a training set of `hours`: 0.3 at half an hour, falling with their fifth root, at most 0.4.

    Best on dev of speechocean762 were 0.4 of 0.15, 0.3, 0.4 at 0.1 h and 0.3 of the same at 0.5 h.
    """
    if settings.dropout is not None:
        return settings.dropout
    return min(0.4, 0.3 * (0.5 / hours) ** 0.2)


def batch_for(total_s: float, settings: NetworkSettings) -> float:
    """Seconds of audio in a batch, of which a step may take several, for so many seconds of training.

    Few hours need many steps more than big ones: with 0.16 h of grid_s1, batches of 25 s instead of 72 s had
    29.3% instead of 42.7% phoneme errors on dev after the same 50 passes.
    """
    return min(settings.batch_s, max(SMALLEST_S, total_s / STEPS_A_PASS) / settings.accumulate)
