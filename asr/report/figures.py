"""The finished cells of a bench, seeds put together: what tables, curves and answers are made from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asr.errors import DataError
from asr.record import RunRecord
from asr.score import (
    FEW,
    SPEAKERS,
    Cells,
    Comparison,
    Curve,
    Interval,
    PairedBootstrap,
    Result,
    Scores,
    compare_curves,
    curves,
    holm,
    interval,
    mapsswe,
    paired,
    read_decoded,
    score_texts,
    without_errors,
)
from asr.stages import STAGES, Losses, stages_path

UNKNOWN = Interval(None, None)
FURTHER = 10.0  # the forecast is for this many times the largest budget


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
        scored = Scores(*(record.row[k] for k in ("sub", "del", "ins", "words")))
        if result.scores != scored:
            raise DataError(
                f"what it recognised has {result.scores.errors} errors in {result.scores.reference} words, "
                f"its record says {scored.errors} in {scored.reference}",
                path=folder,
                fix="remove its record.json and run the bench again",
            )
        path = stages_path(folder, record.row["split"])
        losses = Losses.load(path) if path.exists() else None
        if losses is not None and losses.errors != scored.errors:
            what = f"has {losses.errors} errors, its record {scored.errors}"
            raise DataError(what, path=path, fix="remove it and run the bench again")
        return cls(folder, record, result, losses)

    @property
    def row(self) -> dict[str, Any]:
        """The line of results.csv."""
        return self.record.row


@dataclass(frozen=True)
class Point:
    """A recipe at an hour budget.

    Attributes
    ----------
    recipe, hours
        Which.
    runs
        Of all seeds, ordered by seed.
    interval
        95% interval of the WER: other test utterances or speakers, and other seeds where that is known.
    """

    recipe: str
    hours: float
    runs: tuple[Run, ...]
    interval: Interval = UNKNOWN

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

    @property
    def lost(self) -> dict[str, float] | None:
        """Points of WER by stage, of the seeds that know, whose WER is their sum; None where none does."""
        known = [r.losses for r in self.runs if r.losses is not None]
        if not known:
            return None
        words = sum(k.words for k in known)
        return {stage: 100 * sum(k.stages[stage] for k in known) / max(1, words) for stage in STAGES}


@dataclass(frozen=True)
class Contest:
    """Two recipes at the same budget.

    Attributes
    ----------
    a, b
        The points compared.
    paired
        Bootstrap of WER a minus WER b: the same test utterances or speakers for both, seeds nested.
    segment_p
        p-value of MAPSSWE, over the seeds that both have, else as many of each.
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


def contest(a: Point, b: Point, curve_a: Curve, curve_b: Curve) -> Contest:
    """Test two points against each other, by the draws of their recipes' curves and by MAPSSWE."""
    at_a, at_b = (int(np.searchsorted(c.hours, p.hours)) for c, p in ((curve_a, a), (curve_b, b)))
    difference = float(curve_a.rates[at_a] - curve_b.rates[at_b])
    nested = paired(difference, curve_a.draws[:, at_a] - curve_b.draws[:, at_b])
    segment_p = _segment_p(a.runs, b.runs)
    return Contest(a, b, nested, segment_p, max(nested.p, segment_p))


def _segment_p(a: Sequence[Run], b: Sequence[Run]) -> float:
    """p-value of MAPSSWE over the utterances that all have."""
    shared = {r.row["seed"] for r in a} & {r.row["seed"] for r in b}
    if shared:
        a, b = ([r for r in runs if r.row["seed"] in shared] for runs in (a, b))
    many = min(len(a), len(b))
    sides = [[{u.id: u for u in r.result.utterances} for r in runs[:many]] for runs in (a, b)]
    ids = sorted(set.intersection(*(set(one) for side in sides for one in side)))
    pairs_a, pairs_b = ([one[i].pairs for one in side for i in ids] for side in sides)
    return mapsswe(pairs_a, pairs_b, ids * many).p


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
        Recipe → its curve; with one budget it has no law.
    comparisons
        Pairs of recipes over the range they share.
    speakers
        Whether intervals resample speakers rather than utterances.
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
        drawn, speakers = _curves(found)
        found = [replace(p, interval=_interval(p, drawn)) for p in found]
        by_text |= {w: found for w in texts[-1:]}
        pairs = [(a, b) for a, b in itertools.combinations(found, 2) if a.hours == b.hours and drawn]
        contests = [contest(a, b, drawn[a.recipe], drawn[b.recipe]) for a, b in pairs]
        corrected = holm([c.p for c in contests])
        contests = [replace(c, p=p) for c, p in zip(contests, corrected, strict=True)]
        couples = list(itertools.combinations(drawn, 2))
        comparisons = {
            (a, b): compared
            for a, b in couples
            if (compared := compare_curves((a, drawn[a]), (b, drawn[b]), len(couples))) is not None
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

    @property
    def nested(self) -> bool:
        """Whether the intervals know the spread between trainings, of every recipe its own."""
        return all(c.nested for c in self.curves.values())

    @property
    def resampled(self) -> str:
        """What the intervals are over, for people."""
        seeds = any(c.nested for c in self.curves.values())
        return ("speakers" if self.speakers else "utterances") + (" and seeds" if seeds else "")

    def line(self, recipe: str) -> list[Point]:
        """The points of a recipe, hours ascending."""
        return [p for p in self.points if p.recipe == recipe]


def _interval(point: Point, drawn: Mapping[str, Curve]) -> Interval:
    """Of a point, by its recipe's curve; without errors by how many utterances there are.

    Where nobody made an error, speakers do not differ; by their number a few would allow half of all words.
    A point with a few errors is not surer than one without.
    """
    curve = drawn.get(point.recipe)
    utterances = [u.scores for u in point.runs[0].result.utterances]
    if curve is None or not point.scores.errors:
        return interval(utterances)
    low, high = curve.interval(int(np.searchsorted(curve.hours, point.hours)))
    wrong = {u.id for run in point.runs for u in run.result.utterances if u.scores.errors}
    least = without_errors(sum(u.reference > 0 for u in utterances)) if len(wrong) < FEW else 0.0
    return Interval(low, max(high, least))


def _curves(found: Sequence[Point]) -> tuple[dict[str, Curve], bool]:
    """Curve of each recipe, on the utterances that all runs share; whether speakers were resampled."""
    lines = {p.recipe: [q for q in found if q.recipe == p.recipe] for p in found}
    tables = {
        id(run): {u.id: u for u in run.result.utterances}
        for line in lines.values() for point in line for run in point.runs
    }  # fmt: skip
    if not tables:
        return {}, False
    shared = sorted(set.intersection(*(set(t) for t in tables.values())))
    some = next(iter(tables.values()))
    words = np.array([some[i].scores.reference for i in shared], dtype=np.int64)
    if np.count_nonzero(words) < 2:  # they tell nothing of others
        return {}, False
    cells = {
        recipe: Cells(
            np.array([p.hours for p in line]),
            tuple(np.array([[tables[id(r)][i].scores.errors for r in p.runs] for i in shared]) for p in line),
            tuple(tuple(r.record.training or str(r.folder) for r in p.runs) for p in line),
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
