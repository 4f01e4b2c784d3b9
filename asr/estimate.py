"""How long cells of a bench will take, and how much disk, judged by those that are finished."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asr.bench import CellState
from asr.data.corpus import Corpus
from asr.errors import AsrError
from asr.record import RunRecord


class Cost(NamedTuple):
    """Minutes of work and megabytes of the finished system."""

    minutes: float
    megabytes: float


@dataclass(frozen=True)
class CostModel:
    """Cost of a recipe against hours: a power law through its finished cells.

    Attributes
    ----------
    scale, exponent
        minutes = scale · hours^exponent; the exponent is 1 where only one budget is known.
    megabytes
        Mean size of the systems.
    """

    scale: float
    exponent: float
    megabytes: float

    @classmethod
    def of(cls, finished: Sequence[tuple[float, Cost]]) -> CostModel:
        """Least squares over the logarithms of (hours, cost)."""
        x = np.log([hours for hours, _ in finished])
        y = np.log([max(cost.minutes, 1e-3) for _, cost in finished])
        exponent = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 0 else 1.0
        scale = math.exp(float(y.mean()) - exponent * float(x.mean()))
        return cls(scale, exponent, float(np.mean([cost.megabytes for _, cost in finished])))

    def at(self, hours: float) -> Cost:
        """The cost to expect."""
        return Cost(self.scale * hours**self.exponent, self.megabytes)


def estimates(states: Sequence[CellState]) -> list[Cost | None]:
    """What each unfinished cell will cost; None for finished ones and where no cell of its recipe is.

    Cells of one recipe with other settings are taken for the same: the estimate is a rough one.
    """
    known: dict[str, list[tuple[float, Cost]]] = {}
    for state in states:
        if state.row is not None:
            record = RunRecord.load(state.folder)
            cost = Cost(sum(record.seconds.values()) / 60, float(state.row.get("disk_mb") or 0.0))
            known.setdefault(state.cell.recipe, []).append((float(state.row["hours"]), cost))
    models = {recipe: CostModel.of(finished) for recipe, finished in known.items()}
    out: list[Cost | None] = []
    for state in states:
        hours = _hours(state)
        model = models.get(state.cell.recipe)
        out.append(model.at(hours) if model and hours and state.row is None else None)
    return out


def _hours(state: CellState) -> float | None:
    """Hours of a cell's training; None for all hours of a corpus that is not prepared yet."""
    if state.cell.hours is not None:
        return state.cell.hours
    try:
        return Corpus.open(state.cell.corpus).splits["train"]["hours"]
    except (AsrError, KeyError):
        return None
