import math

import numpy as np
import pytest

from asr.decode import tune as tune_module
from asr.decode.graph import Graph
from asr.decode.search import BestPath, SearchSettings, search
from asr.decode.tune import GRID, neighbours, tune
from asr.emissions import Emissions
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
    # the table ends in the chosen row, searched as wide as asked for, and its figures are true
    row = tried[-1]
    assert (row["utterances"], row["max_active"]) == (len(some), start.max_active)
    assert (row["acoustic_scale"], row["word_penalty"]) == (chosen.acoustic_scale, chosen.word_penalty)
    assert row["wer"] == pytest.approx(wer(graph, some, references, chosen), abs=1e-3)
    assert tune(some, references, graph, start) == (chosen, tried)


def planted(monkeypatch, errors_at):
    """Searches that make as many errors as a function of their settings says; where tuning ends up."""
    monkeypatch.setattr(tune_module, "scaled", lambda e, settings, prior: e.scores)
    monkeypatch.setattr(
        tune_module,
        "beam_search",
        lambda scores, graph, settings: BestPath(None, ("so",) * (1 + errors_at(settings)), 0.0, True),
    )
    one = Emissions(np.zeros((1, 2), np.float32), ("A", "B"), 0.01, "likelihood")
    return tune([one], ["so"], None, SearchSettings())


def steps_from(scale, settings):
    return 2 * math.log2(settings.acoustic_scale / scale)


def test_the_middle_of_a_flat_valley(monkeypatch):
    """Where many settings are as good, none at the edge is taken, though one be better by an error."""

    def errors_at(s):
        far = max(0.0, abs(steps_from(0.2, s)) - 1.5) + max(0.0, abs(s.word_penalty) - 1.5)
        return round(100 + 60 * far) - (s.word_penalty == 1.0 and s.acoustic_scale == 0.141)

    chosen, tried = planted(monkeypatch, errors_at)
    assert abs(steps_from(0.2, chosen)) < 0.15 and abs(chosen.word_penalty) < 0.15
    best = min(tried, key=lambda row: row["errors"])
    assert (best["acoustic_scale"], best["word_penalty"], best["errors"]) == (0.141, 1.0, 99)


def test_the_bottom_of_a_steep_valley(monkeypatch):
    chosen, _ = planted(
        monkeypatch, lambda s: round(50 + 60 * (steps_from(0.2, s) ** 2 + (s.word_penalty - 2) ** 2))
    )
    assert abs(steps_from(0.2, chosen)) < 0.01 and chosen.word_penalty == pytest.approx(2, abs=0.01)


def test_nearby_begins_at_the_given_scales(tmp_path):
    """It begins at the grid point next to them, and needs no sweep to find what a whole tuning finds."""
    rng = np.random.default_rng(5)
    topology = hmm(rng)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    graph = Graph.build(topology, LEXICON, tmp_path / "lm.arpa")
    some = dev(rng, topology)
    references = [search(e, graph, SearchSettings(acoustic_scale=1.6)).text for e in some]
    chosen, tried = tune(some, references, graph, SearchSettings())
    again, more = tune(some, references, graph, chosen, nearby=True)
    assert abs(steps_from(more[0]["acoustic_scale"], chosen)) <= 0.51
    assert abs(more[0]["word_penalty"] - chosen.word_penalty) <= 0.5
    assert len(more) <= len(tried)
    assert wer(graph, some, references, again) <= 1.1 * wer(graph, some, references, chosen)


def test_priors_are_tuned_for_posteriors_only(tmp_path):
    rng = np.random.default_rng(0)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    for topology, expected in ((ctc(), {0.0, 0.3, 0.6}), (hmm(rng), {0.0})):
        graph = Graph.build(topology, LEXICON, tmp_path / "lm.arpa")
        prior = np.log(np.full(len(topology.stay), 1 / len(topology.stay)))
        _, tried = tune(dev(rng, topology, 4), ["C", "A1 AB", "BA", "AA"], graph, SearchSettings(), prior)
        assert {r["prior_scale"] for r in tried} >= expected
        assert ({r["prior_scale"] for r in tried} == {0.0}) == (expected == {0.0})


@pytest.mark.parametrize(("prior", "most"), [(False, 5), (True, 9)])
def test_the_number_of_searches_is_bounded(tmp_path, monkeypatch, prior, most):
    rng = np.random.default_rng(1)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    topology = ctc()
    graph = Graph.build(topology, LEXICON, tmp_path / "lm.arpa")
    monkeypatch.setattr(tune_module, "MOST_TRIED", 5)
    monkeypatch.setattr(tune_module, "MOST_TRIED_WITH_PRIOR", 9)
    monkeypatch.setattr(tune_module, "TUNING_UTTERANCES", 3)
    some = dev(rng, topology, 6)
    log_prior = np.log(np.full(len(topology.stay), 1 / len(topology.stay))) if prior else None
    _, tried = tune(some, ["C AB"] * 6, graph, SearchSettings(), log_prior)
    assert [(r["utterances"], r["max_active"]) for r in tried] == [(3, 500)] * most + [(6, 2000)]


def test_without_dev_nothing_changes(tmp_path):
    rng = np.random.default_rng(0)
    language_model(rng, tmp_path / "lm.arpa", list(LEXICON.entries))
    graph = Graph.build(ctc(), LEXICON, tmp_path / "lm.arpa")
    assert tune([], [], graph, SearchSettings()) == (SearchSettings(), [])
