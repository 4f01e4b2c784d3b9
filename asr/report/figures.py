"""The finished cells of a bench, seeds put together: what tables, curves and answers are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asr.record import RunRecord
from asr.score import (
    Interval,
    PairedBootstrap,
    Result,
    Scores,
    compare_bootstrap,
    interval,
    mapsswe,
    read_decoded,
    score_texts,
)


@dataclass(frozen=True)
class Run:
    """One finished cell: its folder, its record and what it recognised."""

    folder: Path
    record: RunRecord
    result: Result

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run folder; AsrError where it is unfinished or damaged."""
        record = RunRecord.load(folder)
        decoded = read_decoded(folder, record.row["split"])
        return cls(folder, record, score_texts(decoded.references, decoded.texts, speakers=decoded.speakers))

    @property
    def row(self) -> dict[str, Any]:
        """The line of results.csv."""
        return self.record.row


@dataclass(frozen=True)
class Point:
    """A recipe at an hour budget: the runs of all seeds, ordered by seed."""

    recipe: str
    hours: float
    runs: tuple[Run, ...]

    @property
    def scores(self) -> Scores:
        """Errors and words of all seeds together."""
        return sum(
            (Scores(*(r.row[k] for k in ("sub", "del", "ins", "words"))) for r in self.runs), Scores.zero()
        )

    @property
    def wer(self) -> float:
        """Word error rate in percent, seeds pooled."""
        return self.scores.rate or 0.0

    @cached_property
    def interval(self) -> Interval:
        """95% interval over utterances; an utterance carries its errors of all seeds."""
        if len(self.runs) == 1:
            return Interval(self.runs[0].row["wer_low"], self.runs[0].row["wer_high"])
        return interval(list(self.by_utterance.values()))

    @cached_property
    def by_utterance(self) -> dict[str, Scores]:
        """Counts of each utterance, seeds pooled."""
        counts: dict[str, Scores] = {}
        for run in self.runs:
            for u in run.result.utterances:
                counts[u.id] = counts.get(u.id, Scores.zero()) + u.scores
        return counts

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(r.row["seed"] for r in self.runs)


@dataclass(frozen=True)
class Contest:
    """Two recipes at the same budget, the seeds they share.

    Attributes
    ----------
    a, b
        The points compared.
    paired
        Paired bootstrap of WER a minus WER b, over utterances.
    segment_p
        p-value of MAPSSWE.
    """

    a: Point
    b: Point
    paired: PairedBootstrap
    segment_p: float

    @property
    def winner(self) -> Point | None:
        """The better one where both tests say so at p < 0.05, else None: the data cannot tell."""
        if max(self.paired.p, self.segment_p) >= 0.05:
            return None
        return self.b if self.paired.difference > 0 else self.a


def contest(a: Point, b: Point) -> Contest | None:
    """Test two points against each other; None where they share no seed or no test set."""
    shared = [s for s in a.seeds if s in b.seeds]
    one = Point(a.recipe, a.hours, tuple(r for r in a.runs if r.row["seed"] in shared))
    two = Point(b.recipe, b.hours, tuple(r for r in b.runs if r.row["seed"] in shared))
    ids = [i for i, s in one.by_utterance.items() if i in two.by_utterance]
    if not shared or not sum(one.by_utterance[i].reference for i in ids):
        return None
    pairs = [
        [u.pairs for r in point.runs for u in sorted(r.result.utterances, key=lambda u: u.id) if u.id in ids_]
        for point, ids_ in ((one, set(ids)), (two, set(ids)))
    ]
    paired = compare_bootstrap([one.by_utterance[i] for i in ids], [two.by_utterance[i] for i in ids])
    return Contest(a, b, paired, mapsswe(*pairs).p)


def points(runs: Sequence[Run]) -> list[Point]:
    """Runs grouped by recipe, in order of first appearance, and hours, ascending."""
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.row["recipe"], float(run.row["hours"])), []).append(run)
    recipes = list(dict.fromkeys(recipe for recipe, _ in groups))
    return [
        Point(recipe, hours, tuple(sorted(group, key=lambda r: r.row["seed"])))
        for (recipe, hours), group in sorted(groups.items(), key=lambda g: (recipes.index(g[0][0]), g[0][1]))
    ]
