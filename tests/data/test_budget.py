"""Budgets: nested, balanced, close to the hours asked for, the same for every order of the cuts."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lhotse import AudioSource, CutSet, Recording, SupervisionSegment
from lhotse.cut import MonoCut

from asr.data.budget import Budget, some_text
from asr.errors import UsageError


def cuts_of(durations: list[tuple[int, float]]) -> CutSet:
    """One cut of each (speaker, seconds)."""
    made = []
    for i, (speaker, seconds) in enumerate(durations):
        samples = round(seconds * 16000)
        source = AudioSource(type="file", channels=[0], source=f"{i}.wav")
        recording = Recording(f"u{i}", [source], 16000, samples, samples / 16000)
        segment = SupervisionSegment(
            f"u{i}", f"u{i}", 0, samples / 16000, text=f"W{i}", speaker=f"s{speaker}"
        )
        made.append(MonoCut(f"u{i}", 0, samples / 16000, 0, recording=recording, supervisions=[segment]))
    return CutSet.from_cuts(made)


corpora = st.lists(st.tuples(st.integers(0, 5), st.floats(0.5, 20)), min_size=1, max_size=60).map(cuts_of)
shares = st.floats(0.01, 1.0)


def total(cuts: CutSet) -> float:
    return sum(cut.duration for cut in cuts)


@settings(max_examples=60, deadline=None)
@given(corpora, shares, shares, st.integers(0, 3))
def test_fewer_hours_are_a_prefix_of_more(cuts: CutSet, a: float, b: float, seed: int) -> None:
    less, more = (
        [c.id for c in Budget(share * total(cuts) / 3600, seed).select(cuts)] for share in sorted((a, b))
    )
    assert more[: len(less)] == less and len(set(more)) == len(more)


@settings(max_examples=60, deadline=None)
@given(corpora, shares, st.integers(0, 3))
def test_total_is_within_one_utterance_of_the_hours(cuts: CutSet, share: float, seed: int) -> None:
    wanted = share * total(cuts)
    got = total(Budget(wanted / 3600, seed).select(cuts))
    assert abs(got - wanted) <= max(cut.duration for cut in cuts)


@settings(max_examples=60, deadline=None)
@given(corpora, shares, st.integers(0, 3))
def test_speakers_take_turns(cuts: CutSet, share: float, seed: int) -> None:
    have = Counter(cut.supervisions[0].speaker for cut in cuts)
    got = Counter(
        cut.supervisions[0].speaker for cut in Budget(share * total(cuts) / 3600, seed).select(cuts)
    )
    most = max(got.values())
    # a speaker is behind the others by more than one utterance only if there are no more of that speaker
    assert all(got[speaker] >= min(most - 1, have[speaker]) for speaker in have)


@settings(max_examples=40, deadline=None)
@given(corpora, shares, st.randoms(use_true_random=False))
def test_order_of_the_input_does_not_matter(cuts: CutSet, share: float, shuffle: random.Random) -> None:
    budget = Budget(share * total(cuts) / 3600, 7)
    mixed = list(cuts)
    shuffle.shuffle(mixed)
    one, other = budget.select(cuts), budget.select(CutSet.from_cuts(mixed))
    assert [c.id for c in one] == [c.id for c in other]
    assert Budget.digest(one) == Budget.digest(other)


def test_seeds_differ_and_one_seed_is_what_it_was() -> None:
    cuts = cuts_of([(i % 4, 2.0) for i in range(40)])
    first, second = ([c.id for c in Budget(0.01, seed).select(cuts)] for seed in (0, 1))
    assert first != second and len(first) == len(second) == 18
    assert first[:4] == ["u12", "u26", "u27", "u37"]


def test_no_hours_means_all() -> None:
    cuts = cuts_of([(0, 1.0), (1, 2.0), (1, 3.0)])
    assert sorted(c.id for c in Budget(None).select(cuts)) == ["u0", "u1", "u2"]


def test_more_hours_than_there_are() -> None:
    cuts = cuts_of([(0, 36.0)] * 10)  # 0.1 h
    assert len(Budget(0.1009).select(cuts)) == 10
    with pytest.raises(UsageError, match=r"2 hours are more than the 0\.1 hours"):
        Budget(2).select(cuts)
    for hours in (0, -1, float("nan")):
        with pytest.raises(UsageError, match="no budget"):
            Budget(hours).select(cuts)


def test_digest_sees_ids_texts_and_durations() -> None:
    cuts = cuts_of([(0, 1.0), (1, 2.0)])
    digest = Budget.digest(cuts)
    assert digest == Budget.digest(cuts_of([(3, 1.0), (4, 2.0)]))  # who speaks is no part of it
    assert digest != Budget.digest(cuts_of([(0, 1.0), (1, 2.1)]))
    assert digest != Budget.digest(cuts_of([(0, 1.0)]))
    changed = list(cuts)
    changed[0].supervisions[0].text = "OTHER"
    assert digest != Budget.digest(CutSet.from_cuts(changed))


sentences = st.lists(st.lists(st.sampled_from("A B C D".split()), min_size=1, max_size=9), min_size=1)


@settings(max_examples=60, deadline=None)
@given(sentences, shares, shares)
def test_less_text_is_a_prefix_of_more_and_close_to_its_words(
    drawn: list[list[str]], a: float, b: float
) -> None:
    text = [" ".join(s) for s in drawn]
    words = [max(1, round(share * sum(map(len, drawn)))) for share in sorted((a, b))]
    less, more = (some_text(text, n) for n in words)
    assert more[: len(less)] == less and not Counter(more) - Counter(text)
    longest = max(map(len, drawn))
    for n, got in zip(words, (less, more), strict=True):
        assert abs(sum(len(s.split()) for s in got) - n) <= longest


def test_more_words_than_there_are() -> None:
    with pytest.raises(UsageError, match="6 words of text are more than the 3 words there are"):
        some_text(["A B", "C"], 6)
