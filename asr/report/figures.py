"""The finished cells of a bench, seeds put together: what tables, curves and answers are made from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from asr.record import RunRecord
from asr.score import (
    Cells,
    Comparison,
    Curve,
    Interval,
    PairedBootstrap,
    Result,
    Scores,
    compare_bootstrap,
    compare_curves,
    curves,
    holm,
    interval,
    mapsswe,
    read_decoded,
    score_texts,
)
from asr.stages import STAGES, Losses, stages_path

SPEAKERS = 20  # with fewer, resampling speakers tells little: utterances are resampled instead


def hours_text(hours: float) -> str:
    """Hours for people: three digits, and whole hours where there are more."""
    # 999.5 has four digits once it is rounded, and .3g would write 1e+03
    return f"{hours:.3g}" if hours < 999.5 else f"{hours:.0f}"


def words_text(words: int | None) -> str:
    """Words of text for people; None is the corpus' own language model."""
    return "own model" if words is None else f"{words:,} words".replace(",", "\u202f")


def unreadable_text(row: Mapping[str, Any]) -> str | None:
    """How much of its split a run could not read, from its line of results.csv; None where it read all."""
    if not row.get("unreadable"):
        return None
    lost = f"{row['unreadable']} of {row['utterances']} {row['split']} utterances"
    return f"{lost} unreadable and counted as deleted"


@dataclass(frozen=True)
class Run:
    """One finished cell: its folder, its record and what it recognised."""

    folder: Path
    record: RunRecord
    result: Result
    losses: Losses | None

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run folder; AsrError where it is unfinished or damaged."""
        record = RunRecord.load(folder)
        decoded = read_decoded(folder, record.row["split"])
        result = score_texts(decoded.references, decoded.texts, speakers=decoded.speakers)
        path = stages_path(folder, record.row["split"])
        return cls(folder, record, result, Losses.load(path) if path.exists() else None)

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
    def lost(self) -> dict[str, float] | None:
        """Points of WER by stage, seeds pooled; None unless all runs know."""
        known = [r.losses for r in self.runs if r.losses is not None]
        if len(known) < len(self.runs):
            return None
        words = sum(k.words for k in known)
        return {stage: 100 * sum(k.stages[stage] for k in known) / max(1, words) for stage in STAGES}

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
    p
        The larger p-value of the two tests; in `Findings` corrected for the number of contests (Holm).
    """

    a: Point
    b: Point
    paired: PairedBootstrap
    segment_p: float
    p: float

    @property
    def winner(self) -> Point | None:
        """The better one where p < 0.05, else None: the data cannot tell."""
        if self.p >= 0.05:
            return None
        return self.b if self.paired.difference > 0 else self.a


def contest(a: Point, b: Point) -> Contest | None:
    """Test two points against each other; None where they share no seed or no test set."""
    shared = [s for s in a.seeds if s in b.seeds]
    one = Point(a.recipe, a.hours, tuple(r for r in a.runs if r.row["seed"] in shared))
    two = Point(b.recipe, b.hours, tuple(r for r in b.runs if r.row["seed"] in shared))
    ids = {i for i, s in one.by_utterance.items() if i in two.by_utterance}
    if not shared or not sum(one.by_utterance[i].reference for i in ids):
        return None
    sides = [
        [u for r in point.runs for u in sorted(r.result.utterances, key=lambda u: u.id) if u.id in ids]
        for point in (one, two)
    ]
    counts_a, counts_b = ([point.by_utterance[i] for i in sorted(ids)] for point in (one, two))
    paired = compare_bootstrap(counts_a, counts_b)
    pairs_a, pairs_b = ([u.pairs for u in side] for side in sides)
    segment_p = mapsswe(pairs_a, pairs_b, [u.id for u in sides[0]]).p
    return Contest(a, b, paired, segment_p, max(paired.p, segment_p))


@dataclass(frozen=True)
class Findings:
    """Everything a bench says, worked out once.

    Attributes
    ----------
    points
        From `points`.
    contests
        Every pair of recipes at every budget, p-values corrected.
    curves
        Recipe → its curve, where it has two budgets or more.
    comparisons
        Pairs of those recipes over the range they share.
    speakers
        Whether the curves' intervals resample speakers rather than utterances.
    by_text
        Words of text (None: the corpus' own model) → its points, fewest first. All the others are of the
        last of them.
    """

    points: list[Point]
    contests: list[Contest]
    curves: dict[str, Curve]
    comparisons: dict[tuple[str, str], Comparison]
    speakers: bool
    by_text: dict[int | None, list[Point]]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Findings:
        """Work them out."""
        texts = sorted({r.row["text_words"] for r in runs}, key=lambda w: math.inf if w is None else w)
        by_text = {w: points([r for r in runs if r.row["text_words"] == w]) for w in texts}
        found = by_text[texts[-1]] if texts else []
        pairs = itertools.combinations(found, 2)
        contests = [c for a, b in pairs if a.hours == b.hours and (c := contest(a, b)) is not None]
        corrected = holm([c.p for c in contests])
        contests = [replace(c, p=p) for c, p in zip(contests, corrected, strict=True)]
        drawn, speakers = _curves(found)
        comparisons = {
            (a, b): compared
            for a, b in itertools.combinations(drawn, 2)
            if (compared := compare_curves((a, drawn[a]), (b, drawn[b]))) is not None
        }
        return cls(found, contests, drawn, comparisons, speakers, by_text)

    @property
    def runs(self) -> list[Run]:
        """All runs, text by text."""
        return [r for found in self.by_text.values() for p in found for r in p.runs]

    @property
    def recipes(self) -> list[str]:
        """In order of first appearance."""
        return list(dict.fromkeys(p.recipe for p in self.points))

    @property
    def budgets(self) -> list[float]:
        """Hours, ascending."""
        return sorted({p.hours for p in self.points})

    def line(self, recipe: str) -> list[Point]:
        """The points of a recipe, hours ascending."""
        return [p for p in self.points if p.recipe == recipe]


def _curves(found: Sequence[Point]) -> tuple[dict[str, Curve], bool]:
    """Curve of each recipe with two budgets or more, on the utterances that all runs share; if by speaker."""
    lines = {p.recipe: [q for q in found if q.recipe == p.recipe] for p in found}
    lines = {recipe: line for recipe, line in lines.items() if len(line) > 1}
    tables = {
        id(run): {u.id: u for u in run.result.utterances}
        for line in lines.values() for point in line for run in point.runs
    }  # fmt: skip
    if not tables:
        return {}, False
    shared = sorted(set.intersection(*(set(t) for t in tables.values())))
    some = next(iter(tables.values()))
    words = np.array([some[i].scores.reference for i in shared], dtype=np.int64)
    if not words.sum():
        return {}, False
    cells = {
        recipe: Cells(
            np.array([p.hours for p in line]),
            tuple(np.array([[tables[id(r)][i].scores.errors for r in p.runs] for i in shared]) for p in line),
        )
        for recipe, line in lines.items()
    }
    groups = [some[i].speaker for i in shared]
    named = [g for g in groups if g is not None]
    by_speaker = len(named) == len(groups) and len(set(named)) >= SPEAKERS
    return curves(cells, words, named if by_speaker else None), by_speaker


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
