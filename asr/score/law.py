"""The power law of an error rate: how it falls with the hours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from asr.errors import DataError

# exponents tried first: below them a curve is a logarithm, above them flat after its first budget
EXPONENTS = np.geomspace(0.02, 4.0, 64)


class PowerLaw(NamedTuple):
    """Error rate in percent after h hours: ``scale * h ** -exponent + floor``.

    Reference
    ---------
    Hestness et al. 2017, "Deep learning scaling is predictable, empirically", section 2.
    """

    scale: np.ndarray
    exponent: np.ndarray
    floor: np.ndarray

    def at(self, hours: np.ndarray) -> np.ndarray:
        """Rates (..., hours)."""
        scale, exponent, floor = (np.asarray(x)[..., None] for x in self)
        return scale * np.asarray(hours, dtype=float) ** -exponent + floor


def fit_power_law(hours: np.ndarray, rates: np.ndarray, weights: np.ndarray) -> PowerLaw:
    """Weighted least squares with scale and floor not below zero, for many curves at once.

    For a given exponent the rest is linear and has a closed form, so the exponent is searched on two grids.

    Parameters
    ----------
    hours
        (budgets,), two or more; with two, the floor is zero.
    rates
        (..., budgets) in percent.
    weights
        (budgets,), one over the variance of each rate.

    Raises
    ------
    DataError
        If there are fewer than two budgets.
    """
    if len(hours) < 2:
        raise DataError("a curve needs two budgets at least", fix="measure more budgets")
    rates = np.asarray(rates, dtype=float)
    flat = rates.reshape(-1, len(hours))
    hours, w = np.asarray(hours, dtype=float), weights / weights.sum()
    coarse = _best(EXPONENTS[None], hours, flat, w)
    step = EXPONENTS[1] / EXPONENTS[0]
    near = coarse.exponent[:, None] * step ** np.linspace(-1, 1, 25)
    fine = _best(near.clip(EXPONENTS[0], EXPONENTS[-1]), hours, flat, w)
    return PowerLaw(*(x.reshape(rates.shape[:-1]) for x in fine))


def _best(exponents: np.ndarray, hours: np.ndarray, rates: np.ndarray, w: np.ndarray) -> PowerLaw:
    """The best law of each row of rates (rows, budgets) over exponents (1 or rows, tried)."""
    x = hours ** -exponents[..., None]
    sx, sxx = x @ w, x**2 @ w
    sy, syy = (rates @ w)[:, None], (rates**2 @ w)[:, None]
    weighted = rates * w
    sxy = weighted @ x[0].T if len(x) == 1 else np.einsum("rek,rk->re", x, weighted)
    slope = (sxy - sy * sx) / np.maximum(sxx - sx**2, 1e-12)
    level = sy - slope * sx
    free = (slope >= 0) & (level >= 0) & (len(hours) > 2)
    # else on the edge: no floor, or no slope
    alone, sy = np.maximum(sxy / sxx, 0.0), np.maximum(sy, 0.0)
    sloped = (alone * sxy >= sy**2) | (len(hours) < 3)
    scale = np.where(free, slope, np.where(sloped, alone, 0.0))
    floor = np.where(free, level, np.where(sloped, 0.0, sy))
    loss = syy - 2 * scale * sxy - 2 * floor * sy + scale**2 * sxx + 2 * scale * floor * sx + floor**2
    row, best = np.arange(len(rates)), loss.argmin(axis=1)
    return PowerLaw(scale[row, best], np.broadcast_to(exponents, loss.shape)[row, best], floor[row, best])
