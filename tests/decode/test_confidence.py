"""Calibrated confidences: the line of logistic regression, and what it makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from asr.decode.confidence import EDGE, Calibration, normalised_cross_entropy


def drawn(slope, offset, words=20_000):
    rng = np.random.default_rng(0)
    logits = rng.normal(1, 1.5, words)
    right = rng.random(words) < 1 / (1 + np.exp(-(slope * logits + offset)))
    return 1 / (1 + np.exp(-logits)), right, logits


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.3, -0.5), (0.9, 3.0)])
def test_the_line_is_that_of_logistic_regression(slope, offset):
    confidences, right, logits = drawn(slope, offset)
    found = Calibration.fitted(confidences, right)
    assert (found.slope, found.offset) == (
        pytest.approx(slope, abs=0.08),
        pytest.approx(offset, abs=0.15),
    )
    theirs = LogisticRegression(C=np.inf).fit(logits[:, None], right)
    assert found.slope == pytest.approx(theirs.coef_[0, 0], abs=0.02)
    probabilities = np.array([found(c) for c in confidences])
    assert probabilities.mean() == pytest.approx(right.mean(), abs=0.01)
    before, after = (normalised_cross_entropy(c, right) for c in (confidences, probabilities))
    assert after >= before - 1e-3 and after > 0


def test_words_that_are_all_right_make_no_step_of_the_line():
    found = Calibration.fitted([0.2, 0.5, 0.9], [True] * 3)
    assert 0.2 < found(0.2) < found(0.9) < 1
    assert Calibration.fitted([], []) == Calibration()
    # what is doubted more is not more likely right, whatever few words of dev say
    upside_down = Calibration.fitted([0.1, 0.2, 0.8, 0.9] * 9, [True, True, False, False] * 9)
    assert upside_down.slope == pytest.approx(0, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_it_rises_from_0_to_1(words, one, other):
    found = Calibration.fitted(*zip(*words, strict=True)) if words else Calibration()
    low, high = sorted((one, other))
    assert 0 <= found(low) <= found(high) <= 1


def test_normalised_cross_entropy():
    assert normalised_cross_entropy([0.75] * 4, [True, True, True, False]) == pytest.approx(0.0)
    assert normalised_cross_entropy([1.0, 0.0], [True, False]) == pytest.approx(1.0, abs=10 * EDGE)
    assert normalised_cross_entropy([0.0, 1.0], [True, False]) < -1
    assert normalised_cross_entropy([], []) is normalised_cross_entropy([0.5], [True]) is None
