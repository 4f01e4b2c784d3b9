"""How long cells of a bench will take, and how much disk, judged by those that are finished."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asr.bench import CellState
from asr.cell import ExperimentSettings
from asr.config import parse
from asr.data.corpus import Corpus
from asr.errors import AsrError
from asr.models.ctc.settings import CtcSettings
from asr.record import RunRecord

STEEPEST = 2.0  # cost grows about as the hours do: two close budgets may say anything


class Cost(NamedTuple):
    """Minutes of work and megabytes of the finished system."""

    minutes: float
    megabytes: float


class PowerLaw(NamedTuple):
    """minutes = scale · work^exponent; the exponent in 0..STEEPEST, 1 where only one budget is known."""

    scale: float
    exponent: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> PowerLaw:
        """Least squares over the logarithms of (work, minutes)."""
        x, y = np.log([(work, max(minutes, 1e-3)) for work, minutes in points]).T
        exponent = float(np.clip(np.polyfit(x, y, 1)[0], 0.0, STEEPEST)) if np.ptp(x) > 0 else 1.0
        return cls(math.exp(float(y.mean()) - exponent * float(x.mean())), exponent)

    def at(self, work: float) -> float:
        """The minutes to expect."""
        return self.scale * work**self.exponent


def estimates(states: Sequence[CellState]) -> list[Cost | None]:
    """What each unfinished cell will cost; None for finished ones and where no cell of its recipe is.

    Power laws through the finished cells of a recipe, one for training and one for the rest. That of training
    is over the hours of audio that a network hears, all its passes, which change with budget and settings.
    Else cells with other settings are taken for the same, and a variant that has no finished cell for its
    recipe: the estimate is a rough one.
    """
    training: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    rest: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    megabytes: defaultdict[str, list[float]] = defaultdict(list)
    # a cell that only its split tells from a finished one tells as much as that does
    names = {s.trained_in: s.recipe for s in states}
    names |= {s.folder: s.recipe for s in states if s.row is not None}
    # those that another bench left in the same folder were made on the same corpus and machine
    beside = (f.parent for parent in {s.folder.parent for s in states} for f in parent.glob("*/record.json"))
    for folder in sorted({*names, *beside}):
        with contextlib.suppress(AsrError):  # unfinished, or damaged, which the bench itself will say
            record = RunRecord.load(folder)
            recipe = names.get(folder, record.row["recipe"])
            hours, seconds = float(record.row["hours"]), dict(record.seconds)
            work = _work(parse(ExperimentSettings, record.config), hours)
            training[recipe].append((work, seconds.pop("train", 0.0) / 60))
            rest[recipe].append((hours, sum(seconds.values()) / 60))
            megabytes[recipe].append(float(record.row["disk_mb"] or 0.0))
    laws = {r: (PowerLaw.through(training[r]), PowerLaw.through(rest[r])) for r in training}
    out: list[Cost | None] = []
    for state in states:
        wanted = _hours(state)
        recipe = state.recipe if state.recipe in laws else state.cell.recipe
        if (state.row is not None and state.state != "waiting") or not wanted or recipe not in laws:
            out.append(None)
            continue
        fit, after = laws[recipe]
        minutes = after.at(wanted)
        if state.trained_in == state.folder and state.row is None:
            minutes += fit.at(_work(state.cell.settings(), wanted))
        out.append(Cost(minutes, float(np.mean(megabytes[recipe]))))
    return out


def _work(settings: ExperimentSettings, hours: float) -> float:
    """Hours of audio that a training on so many goes through."""
    # Lightning is slow to import, and only an estimate needs it here
    from asr.models.ctc.training import heard_hours

    return heard_hours(hours, settings.model) if isinstance(settings.model, CtcSettings) else hours


def _hours(state: CellState) -> float | None:
    """Hours of a cell's training; None for all hours of a corpus that is not prepared yet."""
    if state.cell.hours is not None:
        return state.cell.hours
    try:
        return Corpus.open(state.cell.corpus).splits["train"]["hours"]
    except (AsrError, KeyError):
        return None
