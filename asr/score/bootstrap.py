"""How sure an error rate is: resampling the utterances, or the speakers, of a test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asr.errors import DataError
from asr.score.counts import Scores

DRAWS = 2000


class Interval(NamedTuple):
    """Bounds of an error rate in percent; both None where there is no rate."""

    low: float | None
    high: float | None

    def __str__(self) -> str:
        return "unknown" if self.low is None else f"{self.low:.2f} to {self.high:.2f}"


def interval(
    scores: Sequence[Scores],
    groups: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the total error rate.

    Parameters
    ----------
    scores
        Counts of each utterance.
    groups
        Speaker of each utterance: speakers are then resampled as wholes, which is wider and more honest
        where a speaker has many utterances.
    confidence
        Share of the resamples inside the interval.
    draws
        Number of resamples.
    seed
        Seed of the resampling.

    Returns
    -------
    Interval
        In percent; (None, None) where the reference is empty.

    Reference
    ---------
    Bisani & Ney (2004), "Bootstrap estimates for confidence intervals in ASR performance evaluation",
    section 2.
    """
    table = _grouped([(s.errors, s.reference) for s in scores], groups)
    if not table[:, 1].sum():
        return Interval(None, None)
    rates = np.concatenate([100.0 * d[:, 0] / np.maximum(d[:, 1], 1) for d in _resample(table, draws, seed)])
    low, high = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class PairedBootstrap:
    """Rate of A minus rate of B under resampling, in percent points.

    Attributes
    ----------
    difference
        On the test set itself.
    low, high
        95% interval.
    p
        Two-sided p-value: twice the smaller share of resamples on either side of zero.
    b_better
        Share of resamples in which B makes fewer errors ("probability of improvement").
    """

    difference: float
    low: float
    high: float
    p: float
    b_better: float


def compare_bootstrap(
    a: Sequence[Scores],
    b: Sequence[Scores],
    groups: Sequence[str] | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> PairedBootstrap:
    """Paired bootstrap of two systems on the same utterances.

    Parameters
    ----------
    a, b
        Counts per utterance, in the same order and with the same references.
    groups
        Speaker of each utterance, to resample speakers as wholes.
    draws
        Number of resamples.
    seed
        Seed of the resampling.

    Raises
    ------
    DataError
        If the references differ or are empty.

    Reference
    ---------
    Bisani & Ney (2004), section 3: the same resample is scored with both systems.
    """
    if [s.reference for s in a] != [s.reference for s in b]:
        raise DataError("the two results were scored against different references")
    table = _grouped([(x.errors - y.errors, x.reference) for x, y in zip(a, b, strict=True)], groups)
    if not table[:, 1].sum():
        raise DataError("nothing to compare: the reference is empty")
    deltas = np.concatenate([100.0 * d[:, 0] / np.maximum(d[:, 1], 1) for d in _resample(table, draws, seed)])
    low, high = np.quantile(deltas, [0.025, 0.975])
    p = min(1.0, 2 * min((deltas <= 0).mean(), (deltas >= 0).mean()))
    total = table.sum(axis=0)
    return PairedBootstrap(
        float(100.0 * total[0] / total[1]), float(low), float(high), float(p), float((deltas > 0).mean())
    )


def _grouped(rows: Sequence[tuple[int, int]], groups: Sequence[str] | None) -> np.ndarray:
    """Rows (errors, reference length), summed over each group if there are groups."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    if groups is None:
        return table
    names, of = np.unique(np.asarray(groups), return_inverse=True)
    out = np.zeros((len(names), 2), dtype=np.int64)
    np.add.at(out, of, table)
    return out


def _resample(table: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Totals (draws, 2) of resamples with replacement, in blocks of bounded memory.

    How often each row is drawn is multinomial, so a block is one matrix product.
    """
    rng = np.random.default_rng(seed)
    rows = len(table)
    block = max(1, 4_000_000 // rows)
    for start in range(0, draws, block):
        times = rng.multinomial(rows, np.full(rows, 1 / rows), size=min(block, draws - start))
        yield times @ table
