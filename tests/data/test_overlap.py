"""Stretches of one sound, against all pairs."""

from __future__ import annotations

import random

import pytest

from asr.data.overlap import Stretch, overlapping


@pytest.mark.parametrize("seed", range(40))
def test_every_stretch_that_is_to_go_is_in_a_pair(seed: int) -> None:
    """A pair for each stretch and each split in which it has one; and none that is no pair."""
    rng = random.Random(seed)
    some = []
    for n in range(60):
        start = rng.uniform(0, 20)
        end = start + rng.choice([0.1, 1, 3, 20])
        split, sound = rng.choice(["train", "train", "dev", "test"]), rng.choice("ab")
        some.append(Stretch(str(n), split, sound, start, end, rng.choice([None, 0, 1])))

    def pair(a: Stretch, b: Stretch) -> bool:
        return a is not b and a.sound == b.sound and a.shares(b)

    found = list(overlapping(some))
    assert all(pair(a, b) and a.rank <= b.rank for a, b in found)
    expected = {(a.name, b.split) for a in some for b in some if pair(a, b) and a.rank < b.rank}
    assert {(a.name, b.split) for a, b in found if a.split != b.split} == expected
    twice = {a.name for a in some for b in some if pair(a, b) and a.split == b.split}
    assert {s.name for both in found for s in both if both[0].split == both[1].split} <= twice
    assert bool(twice) == any(a.split == b.split for a, b in found)


def test_rows_without_times_are_quick() -> None:
    some = [Stretch(str(n), "test" if n % 10 == 0 else "train", "a", 0.0, 9.0) for n in range(20_000)]
    assert len({a.name for a, b in overlapping(some) if a.split != b.split}) == 18_000
