"""The denominator of the hybrid against a sum over all paths, and what its loss adds up to."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asr.models.gmmhmm import denominator as module
from asr.models.gmmhmm.denominator import StateDenominator
from asr.models.gmmhmm.states import Parameters
from tests.models.test_gmmhmm import random_parameters, tied_states

PARAMETERS = random_parameters(tied_states())
STATES = len(PARAMETERS.states.units)
SCALE = 0.7


def spelled(*tokens: str) -> np.ndarray:
    """Keys of the first states of a sequence of tokens, with the neighbours they have."""
    states = PARAMETERS.states
    number = np.array([states.tokens.index(t) for t in tokens])
    edge = len(states.phones)
    around = np.concatenate([[edge], states.class_of[number], [edge]])
    return states.key(around[:-2], number, around[2:], np.zeros(len(number), int))


HEARD = [
    spelled("L_S", "SP", "M_S"),
    spelled("L_S", "SP", "L_S"),
    spelled("M_B", "H_E"),
    spelled("M_S"),
    spelled("L_S", "SP", "M_S"),
]


def denominator_of(heard: list[np.ndarray], parameters: Parameters = PARAMETERS) -> StateDenominator:
    """From what utterances said; a copy of the first at another speed, which does not count."""
    entries = [SimpleNamespace(copy_of=None) for _ in heard] + [SimpleNamespace(copy_of="x")]
    rows = [*heard, heard[0]]
    store = SimpleNamespace(entries=entries)
    said = SimpleNamespace(store=store, numbers=range(len(rows)), triphones=rows.__getitem__)
    return StateDenominator(said, parameters, SCALE)  # type: ignore[arg-type]


def brute_force(heard: list[np.ndarray], scores: np.ndarray) -> float:
    """Sum over all sequences of triphones and all ways to stay in their states, one frame after the other."""
    states, stay = PARAMETERS.states, PARAMETERS.stay
    rows = [row.tolist() for row in heard]
    counts: dict[int, int] = {}
    for row in rows:
        for kind in row:
            counts[kind] = counts.get(kind, 0) + 1
    total = 0.0

    def follow(row: list[int], position: int, t: int, p: float) -> None:
        """Frame t is in a state of the last triphone of `row`; p is of all before its emission."""
        nonlocal total
        kind = row[-1]
        column = states.columns[kind + position]
        p *= math.exp(SCALE * scores[t, column])
        last = position + 1 == states.length(int(states.parts(np.array(kind))[1]))
        if t + 1 == len(scores):
            if last:
                ends = sum(r[-1] == kind for r in rows)
                total += p * (1 - stay[column]) * ends / counts[kind]
            return
        follow(row, position, t + 1, p * stay[column])
        if not last:
            follow(row, position + 1, t + 1, p * (1 - stay[column]))
            return
        for other in counts:
            pairs = sum((a, b) == (kind, other) for r in rows for a, b in itertools.pairwise(r))
            if pairs:
                follow([*row, other], 0, t + 1, p * (1 - stay[column]) * pairs / counts[kind])

    for kind in counts:
        begins = sum(r[0] == kind for r in rows)
        if begins:
            follow([kind], 0, 0, begins / len(rows))
    return math.log(total) / SCALE


@pytest.mark.parametrize("frames", [3, 6, 9])
def test_log_z_equals_the_sum_over_all_paths(frames):
    rng = np.random.default_rng(frames)
    scores = torch.from_numpy(rng.normal(0, 2, (2, frames + 2, STATES))).float()
    found = denominator_of(HEARD)(scores, torch.tensor([frames, frames + 2]))
    wanted = [brute_force(HEARD, s[:n].numpy()) for s, n in zip(scores, (frames, frames + 2), strict=True)]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4)


def test_gradient_is_the_posterior():
    rng = np.random.default_rng(1)
    scores = torch.from_numpy(rng.normal(0, 1, (1, 7, STATES))).float().requires_grad_()
    total = denominator_of(HEARD)
    total(scores, torch.tensor([6])).sum().backward()
    gradient = scores.grad[0].numpy()
    np.testing.assert_allclose(gradient[:6].sum(1), 1.0, rtol=1e-5)
    assert not gradient[6].any()
    step = 1e-2
    for t, k in [(0, int(gradient[0].argmax())), (3, int(gradient[3].argmax())), (5, 0)]:
        nudge = torch.zeros_like(scores)
        nudge[0, t, k] = step
        with torch.no_grad():
            more, less = (total(scores + d, torch.tensor([6])) for d in (nudge, -nudge))
        assert float(more - less) / (2 * step) == pytest.approx(gradient[t, k], abs=2e-3)


def test_an_utterance_too_short_to_end_may_end_anywhere():
    scores = torch.zeros(1, 2, STATES, requires_grad=True)
    found = denominator_of(HEARD)(scores, torch.tensor([2]))
    assert torch.isfinite(found).all()
    found.sum().backward()
    np.testing.assert_allclose(scores.grad.sum(2).numpy(), 1.0, rtol=1e-5)


def test_pruning_changes_next_to_nothing(monkeypatch):
    """The interpreter runs the same function, with everything kept."""
    rng = np.random.default_rng(2)
    scores = torch.from_numpy(rng.normal(0, 6, (1, 40, STATES))).float()
    total = denominator_of(HEARD)
    pruned = total(scores, torch.tensor([40]))
    monkeypatch.setattr(module, "PRUNED", 0.0)
    monkeypatch.setattr(module, "_sum_of_paths", module._sum_of_paths.py_func)
    assert float(total(scores, torch.tensor([40]))) == pytest.approx(float(pruned), rel=1e-4)
