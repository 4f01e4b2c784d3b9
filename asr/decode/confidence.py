"""How likely a recognised word is right: the search's confidences, calibrated on dev."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

EDGE = 1e-4  # of confidences, that their logits stay finite
PRIOR = 1.0  # weight of (slope - 1)² + offset², in words: a dev without errors must not make a step of it


@dataclass(frozen=True)
class Calibration:
    """A line through log odds: 1 / (1 + exp(-(slope · logit(confidence) + offset)))."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, confidence: float) -> float:
        """The probability that a word with this confidence is right."""
        return float(expit(self.slope * _logit(confidence) + self.offset))

    @classmethod
    def fitted(cls, confidences: Sequence[float], right: Sequence[bool]) -> Calibration:
        """The line that makes the words of dev most likely; no line without words.

        Reference
        ---------
        Platt 1999, "Probabilistic outputs for support vector machines", section 2.
        """
        if not len(confidences):
            return cls()
        x, sign = _logit(np.asarray(confidences)), np.where(right, 1.0, -1.0)

        def loss(line: np.ndarray) -> float:
            slope, offset = line
            surprise = np.logaddexp(0.0, -sign * (slope * x + offset)).mean()
            return float(surprise + PRIOR / len(x) * ((slope - 1) ** 2 + offset**2))

        # never falling: what the search doubts more is not more likely right
        slope, offset = minimize(loss, [1.0, 0.0], bounds=[(0.0, None), (None, None)]).x
        return cls(float(slope), float(offset))


def normalised_cross_entropy(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """How much confidences tell of which words are right: 1 all, 0 no more than the share of these.

    None without a wrong word or without a right one: there is nothing to tell.

    Reference
    ---------
    Siu, Gish and Richardson 1997, "Improved estimation, evaluation and applications of confidence measures
    for speech recognition", as NIST's sclite prints it.
    """
    p, good = np.clip(np.asarray(confidences, float), EDGE, 1 - EDGE), np.asarray(right, bool)
    share = good.mean() if good.size else 0.0
    if not 0 < share < 1:
        return None
    most = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    found = -np.log(np.where(good, p, 1 - p)).mean()
    return float((most - found) / most)


def _logit(confidence):  # type: ignore[no-untyped-def]
    return logit(np.clip(confidence, EDGE, 1 - EDGE))
