"""Learning curves: error rate against hours, how sure it is, and where two recipes change places."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import chi2

from asr.errors import DataError
from asr.score.bootstrap import grouped, resample, widened
from asr.score.law import PowerLaw, fit_power_law

DRAWS = 10_000
GRID = 241  # places between the smallest and the largest budget where two curves are compared
LEVEL = 0.05
EXACT = 0.05  # of a law through its rates, in squared standard deviations: what the grids of exponents leave


@dataclass(frozen=True)
class Cells:
    """What one recipe was measured to do.

    Attributes
    ----------
    hours
        (budgets,) ascending.
    errors
        For each budget (utterances, seeds) errors; budgets may have different numbers of seeds.
    trainings
        For each budget a name of each seed's training, where recipes may share them: two searches of one
        network have the luck of its training in common. Empty where none are shared.
    """

    hours: np.ndarray
    errors: tuple[np.ndarray, ...]
    trainings: tuple[tuple[str, ...], ...] = ()

    def shared(self, other: Cells) -> list[tuple[int, int]]:
        """Budgets whose trainings are those of a budget of `other`, by their numbers in both."""
        at = {names: k for k, names in enumerate(other.trainings)}
        return [(k, at[names]) for k, names in enumerate(self.trainings) if names in at]


@dataclass(frozen=True)
class Curve:
    """A recipe's error rate against hours with its uncertainty.

    Attributes
    ----------
    hours
        (budgets,) ascending. With one there is no law.
    rates
        (budgets,) in percent, seeds pooled.
    draws
        (draws, budgets): what the rates might have been with other test utterances and other seeds.
    seeds
        Fewest seeds of a budget.
    nested
        Whether the draws hold the spread between its own trainings: it has two seeds at some budget.
    """

    hours: np.ndarray
    rates: np.ndarray
    draws: np.ndarray
    seeds: int
    nested: bool

    @cached_property
    def weights(self) -> np.ndarray:
        """One over the variance of each rate."""
        # a rate that no draw moves (no error at all) is as sure as the surest of the others
        variance = self.draws.var(axis=0)
        return 1.0 / np.maximum(
            variance, variance.min(where=variance > 1e-9, initial=max(variance.max(), 1.0))
        )

    @cached_property
    def law(self) -> PowerLaw:
        """The power law through the rates."""
        return fit_power_law(self.hours, self.rates, self.weights)

    @cached_property
    def laws(self) -> PowerLaw:
        """The power law through each draw."""
        return fit_power_law(self.hours, self.draws, self.weights)

    @cached_property
    def fit_p(self) -> float:
        """How often chance alone leaves the law as far from the rates: below 0.05 it is the wrong shape."""
        at = self.law.at(self.hours)
        off = ((self.rates - at) ** 2) @ self.weights
        noisy = at + self.draws - self.rates
        chance = (noisy - fit_power_law(self.hours, noisy, self.weights).at(self.hours)) ** 2 @ self.weights
        return float((chance + EXACT >= off).mean())

    def interval(self, budget: int) -> tuple[float, float]:
        """95% interval of the rate at a budget, by its number."""
        # the spread between seeds, which is added to few errors, knows no zero
        low, high = np.quantile(self.draws[:, budget], [LEVEL / 2, 1 - LEVEL / 2]).clip(0)
        return float(low), float(high)

    def between(self, hours: np.ndarray, lines: bool) -> tuple[np.ndarray, np.ndarray]:
        """Rates (hours,) and their draws (draws, hours): the power law, or lines over log hours."""
        if not lines:
            return self.law.at(hours), self.laws.at(hours)
        place = np.log(hours)
        corners = np.log(self.hours)
        matrix = np.stack([np.interp(place, corners, row) for row in np.eye(len(corners))])
        return self.rates @ matrix, self.draws @ matrix

    @property
    def fits(self) -> bool:
        """Whether chance explains how far the rates are from the power law."""
        return self.fit_p >= LEVEL

    @property
    def lawful(self) -> bool:
        """Whether the law may stand for the curve: it fits, and without the largest budget foretells it."""
        told = self.hidden
        return self.fits and (told is None or told.low <= self.rates[-1] <= told.high)

    @property
    def foretells(self) -> bool:
        """Whether the law may be followed beyond the largest budget, which its others foretold."""
        return self.hidden is not None and self.lawful and bool(self.rates[-1] > 0)

    def forecast(self, hours: float) -> Forecast:
        """The rate to expect at hours not measured, by the power law."""
        draws = self.laws.at(np.array([hours]))[..., 0]
        low, high = np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2])
        return Forecast(hours, float(self.law.at(np.array([hours]))[0]), float(low), float(high))

    @cached_property
    def hidden(self) -> Forecast | None:
        """The largest budget as the others foretell it, its own sampling error added.

        None with fewer than four budgets.
        """
        if len(self.hours) < 4:
            return None
        rest = Curve(self.hours[:-1], self.rates[:-1], self.draws[:, :-1], self.seeds, self.nested)
        last = self.hours[-1:]
        told = float(rest.law.at(last)[0])
        # the test set is the same, so what it adds to both goes out of the difference
        off = (rest.laws.at(last)[:, 0] - told) - (self.draws[:, -1] - self.rates[-1])
        low, high = np.quantile(off, [LEVEL / 2, 1 - LEVEL / 2])
        return Forecast(float(last[0]), told, max(0.0, told + float(low)), max(0.0, told + float(high)))


class Forecast(NamedTuple):
    """An error rate in percent foretold for `hours`, with its 95% interval."""

    hours: float
    rate: float
    low: float
    high: float


def curves(
    cells: Mapping[str, Cells],
    words: np.ndarray,
    groups: Sequence[str] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Curve]:
    """A curve for each recipe; all are drawn with the same test utterances, so their differences are paired.

    The utterances are resampled, and spread as `widened` does. The spread between seeds, as a share of the
    rate, is pooled over a recipe's budgets after what chance errors on the same utterances add to it is
    taken off; each draw has its own estimate of it (scaled inverse chi-square), since few seeds tell it
    badly. A recipe with one seed everywhere is given the spread of the others. Seeds that made the very
    same errors at a budget are one training, which no seed changes: they say nothing of the spread, and
    nothing is added there. What two recipes have in common at a seed, the same nested utterances, is not
    counted. Where a recipe shares all trainings of a budget with one before it (the first such), their luck
    is correlated as the differences between the two, seed by seed, have it.

    Parameters
    ----------
    cells
        Recipe → its cells, utterances in the same order in all.
    words
        (utterances,) reference words.
    groups
        Speaker of each utterance, to resample speakers as wholes.

    Raises
    ------
    DataError
        If no word was scored.

    Reference
    ---------
    Bisani & Ney 2004, section 2, for the utterances; Owen 2007, "The pigeonhole bootstrap", section 3, for
    why the spread of two crossed factors (utterances and seeds) must not be counted twice.
    """
    if not words.sum():
        raise DataError("nothing to draw a curve from: the reference is empty")
    columns = [(name, e.sum(axis=1) / e.shape[1]) for name, c in cells.items() for e in c.errors]
    table = grouped(np.stack([words, *(e for _, e in columns)], axis=1), groups)
    totals = np.concatenate(list(resample(table, draws, seed)))
    sampled = 100.0 * totals[:, 1:] / np.maximum(totals[:, :1], 1)
    rates = 100.0 * table[:, 1:].sum(axis=0) / table[:, 0].sum()
    sampled = widened(sampled, rates, int(np.count_nonzero(table[:, 0])))
    rng = np.random.default_rng((seed, 1))
    spreads = {
        name: _Spread.of((_shares(e) for e in c.errors if not _one(e)), words) for name, c in cells.items()
    }
    everyone = _Spread(*map(sum, zip(*spreads.values(), strict=True)))
    found: dict[str, Curve] = {}
    luck: dict[str, _Luck] = {}
    for name, c in cells.items():
        own = np.array([k == name for k, _ in columns])
        counts = np.array([e.shape[1] for e in c.errors])
        lucky = np.array([e.shape[1] < 2 or not _one(e) for e in c.errors])
        spread = spreads[name] if spreads[name].freedom else everyone
        normal = rng.standard_normal((draws, len(counts)))
        quantile = rng.random(draws)
        size = spread.drawn(quantile)
        for base in luck:
            both = c.shared(cells[base])
            tables = [(c.errors[k], cells[base].errors[j]) for k, j in both]
            apart = _Spread.of(
                (_shares(x) - _shares(y) for x, y in tables if not (_one(x) and _one(y))), words
            )
            if apart.freedom:
                here, there = map(list, zip(*both, strict=True))
                # both spreads are as large or as small as chance may have them: only their ratio is to count
                quantile, other = luck[base].quantile, luck[base].size
                size, gap = spread.drawn(quantile), apart.drawn(rng.random(draws))
                alike = (size**2 + other**2 - gap**2) / np.maximum(2 * size * other, 1e-12)
                alike = alike.clip(0.0, 1.0)[:, None]
                shared = luck[base].normal[:, there]
                normal[:, here] = alike * shared + np.sqrt(1.0 - alike**2) * normal[:, here]
                break
        luck[name] = _Luck(quantile, size, normal)
        drawn = sampled[:, own] + rates[own] * lucky * normal * size[:, None] / np.sqrt(counts)
        found[name] = Curve(c.hours, rates[own], drawn, int(counts.min()), bool(counts.max() > 1))
    return found


class _Luck(NamedTuple):
    """What the trainings of a recipe may have done, in each draw.

    Attributes
    ----------
    quantile
        (draws,) which of all spreads that the estimate allows.
    size
        (draws,) that spread, as a share of the rate.
    normal
        (draws, budgets) how many spreads off the rate is.
    """

    quantile: np.ndarray
    size: np.ndarray
    normal: np.ndarray


def _one(errors: np.ndarray) -> bool:
    """Whether all seeds (utterances, seeds) made the same errors, be it none."""
    return bool((errors == errors[:, :1]).all())


def _shares(errors: np.ndarray) -> np.ndarray:
    """(utterances, seeds) errors as shares of a seed's errors, on average."""
    return errors / (errors.sum(axis=0).mean() or 1.0)


class _Spread(NamedTuple):
    """Between seeds, as squared shares of the rate.

    Attributes
    ----------
    between
        Sum of squares.
    within
        What chance errors on the same utterances add to it.
    freedom
        Degrees of freedom of both; zero where no budget has two seeds.
    """

    between: float
    within: float
    freedom: float

    @classmethod
    def of(cls, budgets: Iterable[np.ndarray], words: np.ndarray) -> _Spread:
        """Of a recipe, over its budgets' (utterances, seeds) shares; or of the difference of two recipes'."""
        between = within = freedom = 0.0
        for shares in budgets:
            seeds = shares.shape[1]
            totals = shares.sum(axis=0)
            if seeds < 2:
                continue
            residual = shares - words[:, None] * totals / words.sum()
            between += (seeds - 1) * totals.var(ddof=1)
            within += (seeds - 1) * residual.var(axis=1, ddof=1).sum()
            freedom += seeds - 1
        return cls(between, within, freedom)

    def drawn(self, quantiles: np.ndarray) -> np.ndarray:
        """(draws,) standard deviations that it may really be; zero where no budget has two seeds."""
        if not self.freedom:
            return np.zeros(len(quantiles))
        drawn = self.between / chi2.ppf(quantiles, self.freedom) - self.within / self.freedom
        return np.sqrt(np.maximum(drawn, 0.0))


@dataclass(frozen=True)
class Crossing:
    """Where the second of two recipes takes the lead.

    Attributes
    ----------
    first, second
        Who is better below, and above.
    hours
        Where the curves meet.
    low, high
        95% interval: outside it, as far as who leads is sure, one of the two is better at p < 0.05.
    """

    first: str
    second: str
    hours: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two recipes over the budgets that both were measured at.

    Attributes
    ----------
    low, high
        The range in hours.
    crossings
        Ascending; empty where none is sure.
    leader
        The better one at every point of the range, if one is.
    lines
        Whether a power law cannot stand for one of them, so that the points were joined by lines instead.
    """

    low: float
    high: float
    crossings: tuple[Crossing, ...]
    leader: str | None
    lines: bool

    @property
    def verdict(self) -> Literal["cross", "none", "unknown"]:
        """What the data say: the curves cross, they do not, or it cannot be told."""
        return "cross" if self.crossings else "none" if self.leader is not None else "unknown"


def compare_curves(first: tuple[str, Curve], second: tuple[str, Curve], pairs: int = 1) -> Comparison | None:
    """Find where two curves cross; None where they share no range of hours.

    At each point of the range the difference of the curves has an interval, from the same draws of both. A
    crossing lies between a stretch where one recipe is surely better and the next where the other is. Its
    interval is every point between, where the difference may be zero. Between lines each of the two must be
    surely better at some budget: half-way between two, a line is surer than what it was drawn through.

    Parameters
    ----------
    first, second
        Names and curves.
    pairs
        Pairs of curves that are looked at: who leads at a place is only sure at p < 0.05 / pairs, between
        lines divided by the number of budgets, too (Bonferroni). The interval of a crossing that is sure is a
        95% interval.

    Reference
    ---------
    Fieller 1954, "Some problems in interval estimation", section 3: the interval as what a test leaves.
    """
    (a, one), (b, two) = first, second
    low, high = max(one.hours[0], two.hours[0]), min(one.hours[-1], two.hours[-1])
    if not low < high:
        return None
    lines = not (one.lawful and two.lawful)
    grid = np.geomspace(low, high, GRID)
    difference, draws = _apart(one, two, grid, lines)
    if lines:
        budgets = np.union1d(one.hours, two.hours)
        _, measured = _apart(one, two, budgets[(low <= budgets) & (budgets <= high)], lines)
        likely, sure = (
            np.where(np.isin(leads := _leads(draws, level), _leads(measured, level)), leads, 0)
            for level in (LEVEL, LEVEL / (pairs * len(budgets)))
        )
    else:
        likely, sure = (_leads(draws, level) for level in (LEVEL, LEVEL / pairs))
    where = np.flatnonzero(sure)
    crossings = []
    for before, after in itertools.pairwise(where):
        if sure[before] == sure[after]:
            continue
        # what is left between them where the uncorrected test cannot tell
        stretch = likely[before : after + 1]
        end = before + int(np.flatnonzero(stretch == sure[before])[-1])
        start = before + int(np.flatnonzero(stretch == sure[after])[0])
        # unless it changes its mind between them
        left, right = (end, start) if end < start else (int(before), int(after))
        lead = difference[left : right + 1] * sure[after]
        up = int(np.argmax(lead > 0))
        share = -lead[up - 1] / (lead[up] - lead[up - 1]) if up else 0.0
        meet = grid[left + max(up - 1, 0)] * (grid[1] / grid[0]) ** share
        names = (a, b) if sure[after] > 0 else (b, a)
        crossings.append(Crossing(*names, float(meet), float(grid[left]), float(grid[right])))
    always = where.size == GRID and not crossings
    leader = (b if sure[0] > 0 else a) if always else None
    return Comparison(float(low), float(high), tuple(crossings), leader, lines)


def _apart(one: Curve, two: Curve, hours: np.ndarray, lines: bool) -> tuple[np.ndarray, np.ndarray]:
    """(hours,) rate of one minus that of the other, and its (draws, hours) draws."""
    (rate_a, draws_a), (rate_b, draws_b) = one.between(hours, lines), two.between(hours, lines)
    return rate_a - rate_b, draws_a - draws_b


def _leads(draws: np.ndarray, level: float) -> np.ndarray:
    """(hours,) whose lead is sure by draws (draws, hours) of a difference: 1 the second's, -1 the first's."""
    least, most = np.quantile(draws, [level / 2, 1 - level / 2], axis=0)
    return np.where(least > 0, 1, np.where(most < 0, -1, 0))
