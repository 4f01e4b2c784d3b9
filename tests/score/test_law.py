"""Power laws: found again without noise, as good as a general optimiser's, flat where a curve rises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from asr.errors import DataError
from asr.score.law import fit_power_law

HOURS = np.array([0.1, 0.25, 0.5, 1.0, 2.27])


def law(parameters, hours):
    scale, exponent, floor = parameters
    return scale * np.asarray(hours) ** -exponent + floor


@settings(max_examples=50, deadline=None)
@given(
    st.floats(1.0, 40.0),
    st.floats(0.1, 2.0),
    st.floats(0.0, 30.0),
    st.lists(st.floats(0.1, 9), min_size=5, max_size=5),
)
def test_law_without_noise_is_found_again(scale, exponent, floor, weights):
    rates = law((scale, exponent, floor), HOURS)
    fitted = fit_power_law(HOURS, rates, np.array(weights))
    assert np.abs(fitted.at(HOURS) - rates).max() < 0.02 * rates.max()


@pytest.mark.parametrize("seed", range(20))
def test_fit_is_as_good_as_a_general_optimiser_finds(seed):
    rng = np.random.default_rng(seed)
    rates = law((rng.uniform(1, 20), rng.uniform(0.1, 1.5), rng.uniform(0, 20)), HOURS) * rng.normal(
        1, 0.05, 5
    )
    weights = rng.uniform(0.5, 2, 5) / rates**2
    fitted = fit_power_law(HOURS, rates, weights)
    ours = ((fitted.at(HOURS) - rates) ** 2) @ weights
    best = min(
        2 * least_squares(
            lambda p: (law(p, HOURS) - rates) * np.sqrt(weights),
            (10.0, start, 5.0), bounds=((0, 0.02, 0), (np.inf, 4.0, np.inf)),
        ).cost
        for start in (0.1, 0.5, 2.0)
    )  # fmt: skip
    assert ours <= best * 1.02 + 1e-9
    assert fitted.scale >= 0 and fitted.floor >= 0


def test_a_curve_that_rises_is_flat_and_two_budgets_have_no_floor():
    rising = fit_power_law(HOURS, np.array([10.0, 11, 12, 13, 14]), np.ones(5))
    assert np.ptp(rising.at(HOURS)) < 1e-9 and rising.at(HOURS)[0] == pytest.approx(12)
    below = fit_power_law(HOURS, np.array([[1.0, 0.2, -0.1, -0.3, -0.4], [-1.0, -1, -1, -1, -1]]), np.ones(5))
    assert (below.scale >= 0).all() and (below.floor >= 0).all() and (below.at(HOURS) >= 0).all()
    two = fit_power_law(HOURS[:2], np.array([40.0, 20.0]), np.ones(2))
    assert two.floor == 0 and two.at(HOURS[:2]) == pytest.approx([40, 20], rel=0.01)
    with pytest.raises(DataError, match="two budgets"):
        fit_power_law(HOURS[:1], np.array([40.0]), np.ones(1))
