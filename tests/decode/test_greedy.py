import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.greedy import greedy, words_of
from tests.decode.brute import column_paths
from tests.decode.cases import ctc, emissions, one_hot


@pytest.mark.parametrize(
    ("columns", "units"),
    [
        ([], []),
        ([0, 0], []),
        ([1, 1, 0, 1, 2, 2], ["a", "a", "b"]),
        ([3, 0, 0, 3, 3, 1], ["c", "c", "a"]),
    ],
)
def test_repeats_merge_and_blanks_part(columns, units):
    assert (
        greedy(one_hot(ctc(), columns) if columns else emissions(np.random.default_rng(0), ctc(), 0)) == units
    )


@given(st.lists(st.sampled_from(range(4)), min_size=1, max_size=6))
def test_the_best_columns_spell_what_greedy_says(columns):
    units = greedy(one_hot(ctc(), columns))
    assert tuple(columns) in {c for c, _, _ in column_paths(ctc(), units, len(columns))}


def test_characters_to_words():
    assert words_of("THE|CAT|") == "THE CAT"
    assert words_of("||THE||CAT") == "THE CAT"
    assert words_of([]) == ""
