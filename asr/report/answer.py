"""What a bench found, in plain sentences: the best recipe at each budget, and whether the curves cross."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from asr.report.figures import Contest, Point, contest


def answer(points: Sequence[Point]) -> list[str]:
    """Sentences, the best recipe of each budget first.

    A recipe is called better only where MAPSSWE and the paired bootstrap both say so at p < 0.05, without
    correction for the number of comparisons. Two curves are said to cross only where each recipe is better
    than the other at some budget.
    """
    budgets = sorted({p.hours for p in points})
    found = {
        (a.recipe, b.recipe, a.hours): c
        for a, b in itertools.combinations(points, 2)
        if a.hours == b.hours and (c := contest(a, b)) is not None
    }
    lines = [_best([p for p in points if p.hours == hours], found) for hours in budgets]
    recipes = list(dict.fromkeys(p.recipe for p in points))
    for a, b in itertools.combinations(recipes, 2):
        along = [found[a, b, h] for h in budgets if (a, b, h) in found]
        if len(along) > 1:
            lines.append(_crossing(a, b, along))
    return lines


def percent(point: Point) -> str:
    """WER and its interval."""
    return f"{point.wer:.1f}% ({point.interval.low:.1f} to {point.interval.high:.1f})"


def _best(at: Sequence[Point], found: dict[tuple[str, str, float], Contest]) -> str:
    ranked = sorted(at, key=lambda p: p.wer)
    best, others = ranked[0], ranked[1:]
    start = f"{best.hours:g} h: "
    if not others:
        return start + f"{best.recipe} reaches {percent(best)} WER."
    unsure = []
    for other in others:
        test = found.get((best.recipe, other.recipe, best.hours)) or found.get(
            (other.recipe, best.recipe, best.hours)
        )
        if test is None or test.winner is None:
            unsure.append(other)
    rest = ", ".join(f"{p.recipe} {percent(p)}" for p in others)
    if not unsure:
        return f"{start}{best.recipe} is best with {percent(best)} WER; {rest}."
    names = " and ".join(p.recipe for p in unsure)
    lead = f"{start}{best.recipe} is lowest with {percent(best)} WER, then {rest}"
    return f"{lead}; the data cannot tell {best.recipe} from {names}."


def _crossing(a: str, b: str, along: Sequence[Contest]) -> str:
    sure = [(c.a.hours, c.winner.recipe) for c in along if c.winner is not None]
    for (before, first), (after, second) in itertools.pairwise(sure):
        if first != second:
            where = f"between {before:g} h and {after:g} h"
            return f"{first} and {second} cross {where}: {second} takes the lead."
    leads = [a if c.paired.difference < 0 else b for c in along if c.paired.difference != 0]
    swapped = len(set(leads)) > 1
    span = f"{along[0].a.hours:g} to {along[-1].a.hours:g} h"
    if swapped:
        return f"{a} and {b} change places within {span}, but the data cannot tell whether they cross."
    if len(sure) == len(along):
        return f"{a} and {b} do not cross from {span}: {sure[0][1]} is better at every budget."
    if not sure:
        return f"{a} and {b}: the data cannot tell which is better at any budget from {span}."
    unclear = ", ".join(f"{c.a.hours:g} h" for c in along if c.winner is None)
    lead = f"{sure[0][1]} leads, but the data cannot tell at {unclear}"
    return f"{a} and {b}: no crossing seen from {span}; {lead}."
