import numpy as np
import pytest

from asr.decode import tune as tune_module
from asr.decode.graph import Graph
from asr.decode.search import SearchSettings, search
from asr.decode.tune import GRID, neighbours, tune
from asr.score import score_texts
from tests.decode.cases import LEXICON, ctc, emissions, hmm, language_model


def dev(rng, topology, count=12):
    """Noisy utterances, and as references what the search says with scales the tuning has to find again."""
    return [emissions(rng, topology, int(rng.integers(6, 14)), spread=2.0) for _ in range(count)]


def wer(graph, some, references, settings, prior=None):
    found = {str(i): search(e, graph, settings, prior).text for i, e in enumerate(some)}
    return score_texts({str(i): r for i, r in enumerate(references)}, found).scores.rate


def test_neighbours_of_a_scale():
    assert neighbours(0.1) == (0.071, 0.1, 0.141)
    assert neighbours(GRID["acoustic_scale"][0]) == GRID["acoustic_scale"][:2]
    assert neighbours(GRID["acoustic_scale"][-1]) == GRID["acoustic_scale"][-2:]
    assert neighbours(0.11) == (0.071, 0.11, 0.141)


@pytest.mark.parametrize("kind", ["ctc", "hmm"])
def test_tuning_beats_the_scales_it_starts_from(kind, tmp_path):
    rng = np.random.default_rng(5)
    topology = ctc() if kind == "ctc" else hmm(rng)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    graph = Graph.build(topology, LEXICON, tmp_path / "lm.arpa")
    some = dev(rng, topology)
    secret = SearchSettings(acoustic_scale=1.6, word_penalty=1.5)
    references = [search(e, graph, secret).text for e in some]
    start = SearchSettings(acoustic_scale=0.4)
    chosen, tried = tune(some, references, graph, start)
    assert wer(graph, some, references, chosen) < wer(graph, some, references, start)
    assert (chosen.beam, chosen.max_active, chosen.prior_scale) == (start.beam, start.max_active, 0.0)
    assert chosen.acoustic_scale in GRID["acoustic_scale"] and chosen.word_penalty in GRID["word_penalty"]
    # the table holds the chosen row, confirmed on all utterances, and its figures are true
    rows = [r for r in tried if r["utterances"] == len(some) and r["max_active"] == start.max_active]
    row = min(rows, key=lambda r: r["errors"])
    assert (row["acoustic_scale"], row["word_penalty"]) == (chosen.acoustic_scale, chosen.word_penalty)
    assert row["wer"] == pytest.approx(wer(graph, some, references, chosen), abs=1e-3)
    assert tune(some, references, graph, start) == (chosen, tried)


def test_nearby_begins_at_the_given_scales(tmp_path):
    """From the best point of a whole grid it finds nothing better, and looks at few others."""
    rng = np.random.default_rng(5)
    topology = hmm(rng)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    graph = Graph.build(topology, LEXICON, tmp_path / "lm.arpa")
    some = dev(rng, topology)
    references = [search(e, graph, SearchSettings(acoustic_scale=1.6)).text for e in some]
    chosen, tried = tune(some, references, graph, SearchSettings())
    again, more = tune(some, references, graph, chosen, nearby=True)
    assert more[0]["acoustic_scale"] == chosen.acoustic_scale
    assert more[0]["word_penalty"] == chosen.word_penalty
    assert len(more) < len(tried) and wer(graph, some, references, again) <= wer(
        graph, some, references, chosen
    )


def test_priors_are_tuned_for_posteriors_only(tmp_path):
    rng = np.random.default_rng(0)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    for topology, expected in ((ctc(), {0.0, 0.3, 0.6}), (hmm(rng), {0.0})):
        graph = Graph.build(topology, LEXICON, tmp_path / "lm.arpa")
        prior = np.log(np.full(len(topology.stay), 1 / len(topology.stay)))
        _, tried = tune(dev(rng, topology, 4), ["C", "A1 AB", "BA", "AA"], graph, SearchSettings(), prior)
        assert {r["prior_scale"] for r in tried} >= expected
        assert ({r["prior_scale"] for r in tried} == {0.0}) == (expected == {0.0})


def test_the_number_of_searches_is_bounded(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    graph = Graph.build(ctc(), LEXICON, tmp_path / "lm.arpa")
    monkeypatch.setattr(tune_module, "MOST_TRIED", 5)
    monkeypatch.setattr(tune_module, "COARSE_UTTERANCES", 3)
    some = dev(rng, ctc(), 6)
    _, tried = tune(some, ["C AB"] * 6, graph, SearchSettings())
    assert [r["utterances"] for r in tried] == [3] * 5 + [6] * 3


def test_without_dev_nothing_changes(tmp_path):
    rng = np.random.default_rng(0)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    graph = Graph.build(ctc(), LEXICON, tmp_path / "lm.arpa")
    assert tune([], [], graph, SearchSettings()) == (SearchSettings(), [])
