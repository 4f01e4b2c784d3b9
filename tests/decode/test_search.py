import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from asr.decode.graph import TRANSITION_SCALE, Graph
from asr.decode.hypothesis import Hypothesis
from asr.decode.search import BestPath, SearchSettings, _timed, beam_search, scaled, search
from asr.emissions import Emissions
from asr.errors import SearchError
from asr.text.lexicon import Lexicon
from tests.decode.brute import arpa_backoff, sentence_paths
from tests.decode.cases import KINDS, LEXICON, ctc, emissions, hmm, language_model, one_hot, topology_of

WIDE = SearchSettings(beam=1000.0, max_active=1_000_000)


def every_sentence(topology, lm, scores, penalty=0.0, longest=3):
    """Best log score of each sentence of up to `longest` words, by enumeration."""
    found = {}
    for n in range(longest + 1):
        for words in itertools.product(LEXICON.entries, repeat=n):
            paths = [p[0] for p in sentence_paths(topology, LEXICON, words, scores)]
            if paths:
                found[words] = max(paths) + arpa_backoff(lm, words) + penalty * n
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_search_equals_brute_force(kind, seed, tmp_path):
    rng = np.random.default_rng(seed)
    topology = topology_of(kind, rng, 1 + seed % 2, 0.3)
    lm = language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    graph = Graph.build(topology, LEXICON, tmp_path / "lm.arpa")
    weak = {n: TRANSITION_SCALE * getattr(topology, n) for n in ("stay", "leave")}
    topology = replace(topology, **weak)
    scale, penalty = rng.uniform(0.5, 2.0), rng.uniform(-2.0, 2.0)
    settings = WIDE.model_copy(update={"acoustic_scale": scale, "word_penalty": penalty})
    for frames in (1, 3, 5):
        scores = scaled(emissions(rng, topology, frames), settings)
        wanted = every_sentence(topology, lm, scores, penalty)
        # four words and more need at least four frames: enumerated only where they could matter
        path = beam_search(scores, graph, settings)
        assert path.complete == bool(wanted)
        if not wanted:
            continue
        if len(path.words) <= 3:
            assert path.score == pytest.approx(max(wanted.values()), abs=2e-3)
            assert wanted[path.words] == pytest.approx(max(wanted.values()), abs=2e-3)
        else:
            own = max(p[0] for p in sentence_paths(topology, LEXICON, path.words, scores))
            own += arpa_backoff(lm, path.words) + penalty * len(path.words)
            assert path.score == pytest.approx(own, abs=2e-3)
            assert path.score > max(wanted.values())


def test_prior_is_taken_off_posteriors_only():
    rng = np.random.default_rng(0)
    prior = np.log(np.array([0.7, 0.1, 0.1, 0.1]))
    settings = SearchSettings(acoustic_scale=0.5, prior_scale=0.4)
    posterior = emissions(rng, ctc(), 4)
    got = scaled(posterior, settings, prior)
    want = 0.5 * (posterior.scores - 0.4 * prior)
    np.testing.assert_allclose(np.diff(got, axis=1), np.diff(want, axis=1), atol=1e-5)
    likelihood = Emissions(posterior.scores, posterior.units, 0.04, "likelihood")
    np.testing.assert_array_equal(scaled(likelihood, settings, prior), scaled(likelihood, settings))
    with pytest.raises(SearchError, match="no prior"):
        scaled(posterior, settings)


def graph_of(topology, tmp_path, seed=0):
    rng = np.random.default_rng(seed)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    return Graph.build(topology, LEXICON, tmp_path / "lm.arpa")


def test_word_times_are_exact_ctc(tmp_path):
    topology = ctc()  # columns: blank 0, a 1, b 2, c 3
    graph = graph_of(topology, tmp_path)
    # AB BA AA: b must be split by a blank where the words meet, a likewise
    columns = [0, 1, 1, 2, 0, 2, 2, 1, 0, 0, 1, 0, 1, 1, 0]
    got = search(one_hot(topology, columns), graph, WIDE)
    assert [(w.text, round(w.start_s / 0.04), round(w.duration_s / 0.04)) for w in got.words] in (
        [("AB", 1, 3), ("BA", 5, 3), ("AA", 10, 4)],
        # the same sounds: which of them is said, the language model decides; the times must fit the words
        [("AB", 1, 3), ("BA", 5, 3), ("A1", 10, 1), ("A1", 12, 2)],
        [("AB", 1, 3), ("BA", 5, 3), ("A1", 10, 1), ("A2", 12, 2)],
        [("AB", 1, 3), ("BA", 5, 3), ("A2", 10, 1), ("A1", 12, 2)],
        [("AB", 1, 3), ("BA", 5, 3), ("A2", 10, 1), ("A2", 12, 2)],
    )
    assert got.complete
    assert all(0.99 < w.confidence <= 1.0 for w in got.words)


def test_word_times_are_exact_hmm(tmp_path):
    topology = hmm(np.random.default_rng(0))  # columns: SIL 0, a 1 2, b 3 4, c 5 6
    graph = graph_of(topology, tmp_path)
    columns = [0, 0, 3, 3, 4, 5, 6, 6, 0, 0, 0, 5, 6, 5, 6, 6]
    got = search(one_hot(topology, columns, 30.0), graph, WIDE)
    spans = [(w.text, round(w.start_s / 0.04), round(w.duration_s / 0.04)) for w in got.words]
    assert spans == [("C", 2, 6), ("C", 11, 2), ("C", 13, 3)]


def test_only_a_pause_gives_no_words(tmp_path):
    topology = hmm(np.random.default_rng(0))
    graph = graph_of(topology, tmp_path)
    assert search(one_hot(topology, [0] * 9), graph, WIDE) == Hypothesis((), True)


def test_no_frames_give_no_words(tmp_path):
    topology = ctc()
    empty = emissions(np.random.default_rng(0), topology, 0)
    assert search(empty, graph_of(topology, tmp_path), WIDE) == Hypothesis(())


def test_cut_off_in_a_word_gives_the_best_partial_path(tmp_path):
    topology = hmm(np.random.default_rng(0), states=3, pause=0.0)  # a 1 2 3, b 4 5 6, c 7 8 9
    lexicon = Lexicon({"ABC": [("a", "b", "c")], "BAC": [("b", "a", "c")], "BAA": [("b", "a", "a")]})
    language_model(np.random.default_rng(0), tmp_path / "lm.arpa", list(lexicon.entries))
    graph = Graph.build(topology, lexicon, tmp_path / "lm.arpa")
    got = search(one_hot(topology, [1, 2, 2, 3, 4]), graph, WIDE)
    assert not got.complete
    assert [(w.text, w.start_s, w.duration_s) for w in got.words] == [("ABC", 0.0, pytest.approx(5 * 0.04))]
    # two words still fit: neither is told
    got = search(one_hot(topology, [4, 5, 6, 1]), graph, WIDE)
    assert got == Hypothesis((), False)


def test_a_word_that_a_partial_path_told_is_kept_without_frames(tmp_path):
    topology = hmm(np.random.default_rng(0), states=3, pause=0.0)
    lexicon = Lexicon({"ABC": [("a", "b", "c")], "BAC": [("b", "a", "c")]})
    language_model(np.random.default_rng(0), tmp_path / "lm.arpa", list(lexicon.entries))
    graph = Graph.build(topology, lexicon, tmp_path / "lm.arpa")
    columns = np.arange(1, 10)
    path = BestPath(columns.astype(np.int32), ("ABC", "BAC"), 0.0, False)
    told = _timed(path, one_hot(topology, columns).scores, 0.04, graph)
    assert [(w.text, w.start_s, w.duration_s) for w in told] == [
        ("ABC", 0.0, pytest.approx(0.36)),
        ("BAC", pytest.approx(0.36), 0.0),
    ]
    assert told[1].confidence == 0.0 < told[0].confidence


def test_doubt_lowers_confidence(tmp_path):
    topology = ctc()
    graph = graph_of(topology, tmp_path)
    sure = search(one_hot(topology, [0, 3, 3, 0], 8.0), graph, WIDE)
    unsure = search(one_hot(topology, [0, 3, 3, 0], 4.0), graph, WIDE)
    assert sure.text == unsure.text == "C"
    assert 0 < unsure.words[0].confidence < sure.words[0].confidence <= 1
    # one run of two frames: its column against the other three, scores summed over the run
    assert unsure.words[0].confidence == pytest.approx(math.exp(8) / (math.exp(8) + 3), rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_unusable_emissions_are_named(value, tmp_path):
    topology = ctc()
    scores = np.zeros((3, 4), dtype=np.float32)
    scores[1] = value
    bad = Emissions(scores, emissions(np.random.default_rng(0), topology, 1).units, 0.04, "posterior")
    with pytest.raises(SearchError, match="NaN or a frame without"):
        search(bad, graph_of(topology, tmp_path), WIDE)


def test_impossible_columns_are_survived(tmp_path):
    topology = ctc()
    scores = np.full((4, 4), -np.inf, dtype=np.float32)
    scores[np.arange(4), [0, 3, 3, 0]] = 0.0
    hard = Emissions(scores, emissions(np.random.default_rng(0), topology, 1).units, 0.04, "posterior")
    assert search(hard, graph_of(topology, tmp_path), WIDE).text == "C"


def test_the_graph_of_another_model_is_refused(tmp_path):
    graph = graph_of(ctc(), tmp_path)
    other = emissions(np.random.default_rng(0), ctc(("a", "b", "c", "d")), 3)
    with pytest.raises(SearchError, match="4 columns, the emissions have 5"):
        search(other, graph, WIDE)
