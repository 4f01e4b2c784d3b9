import math
import re

import numpy as np
import pytest
import torch

from asr.decode.align import align
from asr.decode.linear import Linear, best_path, forward_score, frames_needed
from asr.emissions import Emissions
from asr.errors import LexiconError, SearchError
from asr.text.lexicon import Lexicon
from tests.decode.brute import sentence_paths
from tests.decode.cases import KINDS, LEXICON, ctc, emissions, hmm, one_hot, topology_of, units_of

CANONICAL = Lexicon({w: p[:1] for w, p in LEXICON.entries.items()})
WEIGHTED = Lexicon(LEXICON.entries, {"C": (0.7, 0.3)})


@pytest.mark.parametrize("seed", range(10))
def test_ctc_total_score_is_torchs_ctc_loss(seed):
    rng = np.random.default_rng(seed)
    topology = ctc()
    words = list(rng.choice(list(CANONICAL.entries), size=rng.integers(1, 7)))
    some = emissions(rng, topology, 40)
    labels = [topology.states[topology.tokens.index(t)][0] for w in words for t in CANONICAL.entries[w][0]]
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(some.scores)[:, None].double(),
        torch.tensor([labels]),
        torch.tensor([40]),
        torch.tensor([len(labels)]),
        blank=0,
        reduction="sum",
    )
    total = forward_score(Linear.build(topology, CANONICAL, words).arcs, some.scores)
    assert -total == pytest.approx(loss.item(), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("words", [(), ("C",), ("AB", "BA"), ("A1", "C")])
def test_total_and_best_equal_brute_force(kind, seed, words):
    rng = np.random.default_rng(seed)
    topology = topology_of(kind, rng, 1 + seed % 2, 0.4)
    linear = Linear.build(topology, WEIGHTED, words)
    for frames in range(0, 8):
        scores = emissions(rng, topology, frames).scores
        paths = list(sentence_paths(topology, WEIGHTED, words, scores))
        got = best_path(linear.arcs, scores)
        assert got.complete == bool(paths)
        if paths:
            values = np.array([p[0] for p in paths])
            assert got.score == pytest.approx(values.max(), abs=1e-4)
            assert forward_score(linear.arcs, scores) == pytest.approx(np.logaddexp.reduce(values), abs=1e-4)
            best = paths[int(values.argmax())]
            assert tuple(linear.arcs.ilabel[got.arcs] - 1) == best[1]
        else:
            assert forward_score(linear.arcs, scores) == -math.inf


@pytest.mark.parametrize("words", [(), ("C",), ("AA", "AB"), ("AB", "BA", "A1")])
def test_frames_needed_is_the_shortest_path(words):
    rng = np.random.default_rng(0)
    for topology in (ctc(), hmm(rng, states=1), hmm(rng, states=2, pause=0.0)):
        shortest = next(
            n
            for n in range(20)
            if any(sentence_paths(topology, LEXICON, words, np.zeros((n, len(topology.stay)))))
        )
        assert frames_needed(Linear.build(topology, LEXICON, words).arcs) == shortest


def test_times_of_words_tokens_and_states():
    topology = hmm(np.random.default_rng(0))  # SIL 0, a 1 2, b 3 4, c 5 6
    columns = [0, 0, 0, 3, 4, 4, 5, 6, 6, 6, 0, 1, 1, 2, 1, 2, 2]
    got = align(one_hot(topology, columns, 20.0), topology, LEXICON, ["C", "AA"])
    np.testing.assert_array_equal(got.columns, columns)

    def frames(segments):
        return [(s.text, round(s.start_s / 0.04), round(s.duration_s / 0.04)) for s in segments]

    assert frames(got.words) == [("C", 3, 7), ("AA", 11, 6)]
    assert frames(got.tokens) == [
        ("SIL", 0, 3),
        ("b", 3, 3),
        ("c", 6, 4),
        ("SIL", 10, 1),
        ("a", 11, 3),
        ("a", 14, 3),
    ]
    assert frames(got.states)[:4] == [("SIL.0", 0, 3), ("b.0", 3, 1), ("b.1", 4, 2), ("c.0", 6, 1)]
    assert sum(n for _, _, n in frames(got.states)) == len(columns)
    assert got.pronunciations == (("b", "c"), ("a", "a"))
    assert list(got.slots) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 5, 5, 5]


def test_ctc_blanks_belong_to_no_word():
    topology = ctc()
    columns = [0, 1, 0, 1, 0, 0, 2, 0]
    got = align(one_hot(topology, columns), topology, LEXICON, ["A1", "AB"])
    assert [(w.text, round(w.start_s / 0.04), round(w.duration_s / 0.04)) for w in got.words] == [
        ("A1", 1, 1),
        ("AB", 3, 4),
    ]
    assert got.pronunciations == (("a",), ("a", "b"))
    assert list(got.slots) == [-1, 0, -1, 1, -1, -1, 2, -1]
    assert [s.text for s in got.states] == ["<blk>", "a", "<blk>", "a", "<blk>", "b", "<blk>"]


def test_the_mark_after_a_spelled_word_is_no_part_of_it():
    topology = ctc(("A", "B", "|"))
    spelling = Lexicon.spelling(["AB"])
    got = align(one_hot(topology, [0, 1, 2, 0, 0, 3, 0]), topology, spelling, ["AB"])
    assert [(w.text, round(w.start_s / 0.04), round(w.duration_s / 0.04)) for w in got.words] == [
        ("AB", 1, 2)
    ]
    assert [t.text for t in got.tokens] == ["A", "B", "|"]


def test_too_short_says_so():
    topology = ctc()
    said = "utterance u7: 0.12 s are too short for its text, which needs 0.20 s"
    with pytest.raises(SearchError, match=re.escape(said)):
        align(one_hot(topology, [1, 2, 0]), topology, LEXICON, ["AA", "BA"], utterance="u7")


def test_words_without_pronunciation_are_named():
    for words, what in (
        (["ZEBRA", "AA"], "word 'ZEBRA' is not in"),
        (["YAK", "AA", "ZEBRA", "YAK"], "words 'YAK', 'ZEBRA' are not in"),
    ):
        with pytest.raises(LexiconError, match=what):
            align(one_hot(ctc(), [1, 2, 0]), ctc(), LEXICON, words)


def test_emissions_that_forbid_the_sentence_are_told_from_short_ones():
    topology = ctc()
    scores = np.full((9, 4), -np.inf, dtype=np.float32)
    scores[:, 0] = 0
    with pytest.raises(SearchError, match="cannot be aligned"):
        align(Emissions(scores, units_of(topology), 0.04, "posterior"), topology, LEXICON, ["C"])


def test_long_utterances_are_pruned_and_still_exact(monkeypatch):
    rng = np.random.default_rng(3)
    topology = hmm(rng)
    words = ["C", "AB", "AA", "BA"] * 5
    some = emissions(rng, topology, 200)
    exact = align(some, topology, LEXICON, words)
    monkeypatch.setattr("asr.decode.align._EXACT", 0)
    pruned = align(some, topology, LEXICON, words)
    assert pruned.score == pytest.approx(exact.score)


def test_a_beam_too_narrow_is_widened(monkeypatch):
    topology = hmm(np.random.default_rng(3))
    words = ["AA", "AB", "BA"]
    # just frames enough, and the first ones sound like a pause: the way to the end looks bad for long
    some = one_hot(topology, [0] * 6 + [1, 2, 3, 4, 1, 2], 5.0)
    exact = align(some, topology, LEXICON, words)
    monkeypatch.setattr("asr.decode.align._EXACT", 0)
    monkeypatch.setattr("asr.decode.align._BEAMS", (2.0,))
    with pytest.raises(SearchError, match="cannot be aligned"):
        align(some, topology, LEXICON, words)
    monkeypatch.setattr("asr.decode.align._BEAMS", (2.0, 200.0))
    assert align(some, topology, LEXICON, words).score == pytest.approx(exact.score)
