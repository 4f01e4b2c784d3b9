"""GMM-HMMs against hmmlearn and brute force, and what training promises."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import hmmlearn.stats
import numpy as np
import pytest
import scipy.special
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from asr.decode.align import align
from asr.decode.linear import Linear
from asr.decode.linear import best_path as shared_best_path
from asr.errors import DataError
from asr.models.gmmhmm import training, transcribed
from asr.models.gmmhmm.mixtures import Mixtures
from asr.models.gmmhmm.model import GmmHmm
from asr.models.gmmhmm.resume import Resume
from asr.models.gmmhmm.sentence import Sentence, Weights, best_path, posteriors
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.models.gmmhmm.states import Parameters, States
from asr.models.gmmhmm.transform import Scatter, lda, mllt, splice
from asr.text.lexicon import Lexicon

RATE = 16000
LEXICON = Lexicon({"LOW": [("L",)], "MID": [("M",), ("M", "H")], "HIGH": [("H",)]})
TONES = {"LOW": 300.0, "MID": 1000.0, "HIGH": 3000.0}
SMALL = GmmHmmSettings(gaussians=40, first_passes=4, passes=3, last_passes=3, frames_per_gaussian=10)


def random_mixtures(states: int, size: int, seed: int = 0) -> Mixtures:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, states)
    weights = np.concatenate([rng.dirichlet(np.ones(n)) for n in counts])
    shape = (counts.sum(), size)
    start = np.concatenate([[0], np.cumsum(counts)])
    return Mixtures(weights, rng.normal(0, 2, shape), rng.uniform(0.1, 3, shape), start)


def random_parameters(states: States, size: int = 2, seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)
    n = len(states.units)
    return Parameters(random_mixtures(n, size, seed), rng.uniform(0.2, 0.8, n), np.array([0.3, 0.2]))


def tone_cuts(folder: Path, count: int, spans: dict[str, list] | None = None) -> CutSet:
    """Tone words, some with silences between them; `spans` gets the true (start, end) of each in seconds."""
    rng = np.random.default_rng(count)
    cuts = []
    for i in range(count):
        words = [str(w) for w in rng.permutation(list(TONES))]
        at = 3200 * int(rng.integers(0, 2))
        pieces, true = [np.zeros(at)], []
        for word in words:
            n = int(RATE * (0.2 + 0.2 * rng.random()))
            gap = 3200 * int(rng.integers(0, 2))
            pieces += [0.3 * np.cos(2 * np.pi * TONES[word] * np.arange(n) / RATE), np.zeros(gap)]
            true.append((at / RATE, (at + n) / RATE))
            at += n + gap
        wave = np.concatenate(pieces)
        cuts.append(cut_of(folder, f"u{i}", wave + 0.002 * rng.standard_normal(len(wave)), " ".join(words)))
        if spans is not None:
            spans[f"u{i}"] = true
    return CutSet.from_cuts(cuts)


def cut_of(folder: Path, name: str, wave: np.ndarray, text: str) -> MonoCut:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.wav", wave.astype(np.float32), RATE)
    recording = Recording.from_file(folder / f"{name}.wav", recording_id=name)
    said = SupervisionSegment(name, name, 0.0, recording.duration, text=text, speaker="s")
    return MonoCut(name, 0.0, recording.duration, 0, [said], recording=recording)


def rows_of(workdir: Path) -> list[dict[str, str]]:
    with open(workdir / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    spans: dict[str, list] = {}
    return tone_cuts(tmp_path_factory.mktemp("tones"), 15, spans), spans


@pytest.fixture(scope="module")
def fitted(tones, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("work")
    model = GmmHmm(SMALL, LEXICON)
    model.fit(tones[0], tones[0], workdir)
    return model, workdir


# densities ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("f8", 1e-9), ("f4", 2e-3)])
def test_densities_equal_hmmlearns(dtype, tolerance):
    mixtures = random_mixtures(6, 13)
    x = np.random.default_rng(1).normal(0, 2, (700, 13))
    reference = hmmlearn.stats.log_multivariate_normal_density(x, mixtures.means, mixtures.variances, "diag")
    reference += np.log(mixtures.weights)
    np.testing.assert_allclose(mixtures.log_densities(x.astype(dtype)), reference, atol=tolerance)
    by_state = [
        scipy.special.logsumexp(reference[:, a:b], axis=1) for a, b in itertools.pairwise(mixtures.start)
    ]
    np.testing.assert_allclose(
        mixtures.log_likelihoods(x.astype(dtype)), np.array(by_state).T, atol=tolerance
    )
    chosen = np.array([1, 4, 5])
    np.testing.assert_allclose(
        mixtures.log_likelihoods(x.astype(dtype), chosen), np.array(by_state)[chosen].T, atol=tolerance
    )


def test_statistics_equal_a_loop():
    mixtures = random_mixtures(3, 4)
    rng = np.random.default_rng(2)
    x, state, weight = rng.normal(0, 2, (50, 4)), np.sort(rng.integers(0, 3, 50)), rng.uniform(0, 1, 50)
    found = mixtures.statistics(x, state, weight)
    occupancy, moments = np.zeros(mixtures.components), np.zeros((2, mixtures.components, 4))
    for frame, s, w in zip(x, state, weight, strict=True):
        mine = slice(mixtures.start[s], mixtures.start[s + 1])
        p = scipy.special.softmax(mixtures.log_densities(frame[None])[0, mine]) * w
        occupancy[mine] += p
        moments[0, mine] += np.outer(p, frame)
        moments[1, mine] += np.outer(p, frame**2)
    np.testing.assert_allclose(found.occupancy, occupancy)
    np.testing.assert_allclose(found.first, moments[0])
    np.testing.assert_allclose(found.second, moments[1])


# the sentence ------------------------------------------------------------------------------------------


def paths_of(sentence: Sentence, weights: Weights, frames: int):
    """Every path through a sentence with its log weight, by brute force."""
    nodes = len(sentence.columns)
    step = {(n, n): weights.stay[n] for n in range(nodes)}
    for n in range(nodes + 1):
        for a in range(sentence.first[n], sentence.first[n + 1]):
            step[int(sentence.source[a]), n] = weights.arcs[a]
    partial = [((n,), w) for (m, n), w in step.items() if m == -1]
    for _ in range(frames - 1):
        partial = [
            ((*p, n), v + w) for p, v in partial for (m, n), w in step.items() if m == p[-1] and n < nodes
        ]
    return [(p, v + step[p[-1], nodes]) for p, v in partial if (p[-1], nodes) in step]


@pytest.mark.parametrize("words", [["LOW"], ["MID"], ["HIGH", "LOW"]])
def test_sentence_equals_brute_force(words):
    states = States(LEXICON.phones())
    parameters = random_parameters(states)
    sentence = Sentence.build(states, LEXICON, words)
    weights = Weights.of(sentence, parameters)
    frames = 8
    x = np.random.default_rng(3).normal(0, 2, (frames, 2))
    scores = parameters.mixtures.log_likelihoods(x)[:, sentence.columns]
    at = np.arange(frames)
    every = [(p, v + scores[at, list(p)].sum()) for p, v in paths_of(sentence, weights, frames)]
    total = scipy.special.logsumexp([v for _, v in every])
    occupancy, stays = np.zeros(scores.shape), np.zeros(len(sentence.columns))
    for p, v in every:
        occupancy[at, list(p)] += np.exp(v - total)
        for a, b in itertools.pairwise(p):
            stays[a] += np.exp(v - total) * (a == b)
    found, posterior, found_stays = posteriors(sentence, weights, scores)
    assert found == pytest.approx(total, abs=1e-6)
    np.testing.assert_allclose(posterior, occupancy, atol=1e-4)
    np.testing.assert_allclose(found_stays, stays, atol=1e-4)
    score, path = best_path(sentence, weights, scores)
    best = max(every, key=lambda pv: pv[1])
    assert score == pytest.approx(best[1], abs=1e-6)
    assert tuple(path) == best[0]


def test_sentence_equals_the_search_graph():
    """Training and decoding see the same model: one sentence, same best score in both."""
    states = States(LEXICON.phones())
    lexicon = Lexicon({w: p[:1] for w, p in LEXICON.entries.items()})
    parameters = random_parameters(states)
    x = np.random.default_rng(4).normal(0, 2, (60, 2))
    scores = parameters.mixtures.log_likelihoods(x)
    words = ["LOW", "HIGH", "MID"]
    sentence = Sentence.build(states, lexicon, words)
    ours, _ = best_path(sentence, Weights.of(sentence, parameters), scores[:, sentence.columns])
    linear = Linear.build(parameters.topology(states), lexicon, words)
    assert ours == pytest.approx(shared_best_path(linear.arcs, scores.astype("f4")).score, abs=1e-2)


def test_too_few_frames_have_no_path():
    states = States(LEXICON.phones())
    parameters = random_parameters(states)
    sentence = Sentence.build(states, LEXICON, ["LOW", "HIGH"])
    assert sentence.shortest == 6
    weights = Weights.of(sentence, parameters)
    for frames, possible in ((5, False), (6, True)):
        scores = np.zeros((frames, len(sentence.columns)))
        assert np.isfinite(best_path(sentence, weights, scores)[0]) == possible
        assert np.isfinite(posteriors(sentence, weights, scores)[0]) == possible


@settings(max_examples=30, deadline=None)
@given(
    some.lists(some.sampled_from(list(TONES)), min_size=1, max_size=6),
    some.integers(0, 9),
    some.integers(0, 60),
)
def test_posteriors_sum_to_one(words, seed, more):
    states = States(LEXICON.phones())
    parameters = random_parameters(states, seed=seed)
    sentence = Sentence.build(states, LEXICON, words)
    x = 5 * np.random.default_rng(seed).normal(0, 2, (sentence.shortest + more, 2))
    scores = parameters.mixtures.log_likelihoods(x)[:, sentence.columns]
    total, posterior, stays = posteriors(sentence, Weights.of(sentence, parameters), scores)
    assert np.isfinite(total)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-3)
    assert (stays <= posterior.sum(axis=0) + 1e-3).all()
    assert best_path(sentence, Weights.of(sentence, parameters), scores)[0] <= total + 1e-6


def test_forward_score_equals_hmmlearns(fitted):
    """A chain of one phoneme: our sum over all paths is hmmlearn's score."""
    model, _ = fitted
    x = np.random.default_rng(5).normal(0, 1, (30, model.parameters.mixtures.means.shape[1]))
    for phone, columns in model.states.columns.items():
        n = len(columns)
        hmm = model.phoneme_model(phone)
        np.testing.assert_allclose(hmm.transmat_.sum(axis=1), 1)
        np.testing.assert_allclose(hmm.weights_.sum(axis=1), 1)
        stay = hmm.transmat_.diagonal()
        # node n's arcs: from the one before; the end is reached from every node for nothing, as in hmmlearn
        chain = Sentence(
            columns=np.array(columns, np.int32),
            first=np.array([*range(n + 1), 2 * n], np.int32),
            source=np.array([*range(-1, n - 1), *range(n)], np.int32),
            fixed=np.zeros(2 * n, np.float32),
            kind=np.zeros(2 * n, np.int8),
            pause=np.zeros(n, np.int8),
            canonical=np.arange(n, dtype=np.int32),
            words=1,
            shortest=n,
        )
        weights = Weights(np.log(stay), np.concatenate([[0], np.log(1 - stay[:-1]), np.zeros(n)]))
        scores = model.parameters.mixtures.log_likelihoods(x)[:, list(columns)]
        assert posteriors(chain, weights, scores)[0] == pytest.approx(hmm.score(x), abs=1e-6)


# training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["lda", "none"])
@pytest.mark.parametrize("estimation", ["baum-welch", "viterbi"])
def test_likelihood_does_not_fall_between_passes(tones, tmp_path, estimation, transform):
    model = GmmHmm(SMALL.model_copy(update={"estimation": estimation, "transform": transform}), LEXICON)
    model.fit(tones[0], tones[0], tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == len(training.plan(model.settings, len(model.units)))
    for before, after in itertools.pairwise(rows):
        if all(before[name] == after[name] for name in ("features", "gaussians")):
            assert float(after["log_likelihood"]) >= float(before["log_likelihood"]) - 1e-4
    parameters = model.parameters
    assert all(np.isfinite(a).all() for a in parameters.tensors().values())
    assert ((parameters.stay > 0) & (parameters.stay < 1)).all()
    assert (parameters.pauses > 0).all() and parameters.pauses.sum() < 1
    assert (parameters.mixtures.variances > 0).all()


def test_split_reaches_the_set_number():
    mixtures = random_mixtures(5, 3)
    plenty = np.full(mixtures.components, 1e5)
    grown = mixtures.split(plenty, 60, frames_each=10)
    assert grown.components == 60
    np.testing.assert_allclose(np.add.reduceat(grown.weights, grown.start[:-1]), 1)
    # the mean of a state's mixture stays where it was
    for s in range(5):
        means = [
            (m.weights[:, None] * m.means)[m.start[s] : m.start[s + 1]].sum(axis=0) for m in (mixtures, grown)
        ]
        np.testing.assert_allclose(means[0], means[1])
    scarce = np.full(mixtures.components, 10.0)
    limited = mixtures.split(scarce, 60, frames_each=15)
    frames = np.add.reduceat(scarce, mixtures.start[:-1])
    assert (np.diff(limited.start) <= np.maximum(frames / 15, np.diff(mixtures.start))).all()


def test_more_frames_get_more_gaussians():
    flat = Mixtures.flat(2, np.zeros(3), np.ones(3))
    grown = flat.split(np.array([10000.0, 100.0]), 22, frames_each=1, power=0.5)
    assert list(np.diff(grown.start)) == [20, 2]


@pytest.mark.parametrize("at", [6, 10, 15])
def test_resumed_training_equals_an_unbroken_one(tones, fitted, tmp_path, monkeypatch, at):
    real = Resume.save

    def killed(self, parameters, occupancy, rows):
        real(self, parameters, occupancy, rows)
        if len(rows) == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Resume, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        GmmHmm(SMALL, LEXICON).fit(tones[0], tones[0], tmp_path)
    monkeypatch.setattr(Resume, "save", real)
    assert len(rows_of(tmp_path)) == at
    model = GmmHmm(SMALL, LEXICON)
    model.fit(tones[0], tones[0], tmp_path)
    for name, array in fitted[0].parameters.tensors().items():
        np.testing.assert_array_equal(model.parameters.tensors()[name], array)
    columns = ("pass", "gaussians", "log_likelihood", "dev_log_likelihood")
    assert [[r[c] for c in columns] for r in rows_of(tmp_path)] == [
        [r[c] for c in columns] for r in rows_of(fitted[1])
    ]


def test_a_state_of_other_settings_is_not_taken_up(tones, tmp_path):
    small = SMALL.model_copy(update={"gaussians": 1})
    other = small.model_copy(update={"variance_floor": 0.5})
    GmmHmm(small, LEXICON).fit(tones[0], tones[0], tmp_path / "used")
    models = [GmmHmm(other, LEXICON), GmmHmm(other, LEXICON)]
    for model, name in zip(models, ("used", "fresh"), strict=True):
        model.fit(tones[0], tones[0], tmp_path / name)
    first, second = (m.parameters.tensors() for m in models)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_workers_do_not_change_the_numbers(tones, fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(transcribed, "CHUNK", 300)
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        model = GmmHmm(SMALL.model_copy(update={"gaussians": 30}), LEXICON)
        model.fit(tones[0], tones[0], tmp_path / str(threads))
        results.append(model.parameters.tensors())
    for name in results[0]:
        np.testing.assert_array_equal(results[0][name], results[1][name])


def test_words_are_found_where_the_tones_are(tones, tmp_path):
    cuts, spans = tones
    lexicon = Lexicon({word: ways[:1] for word, ways in LEXICON.entries.items()})
    model = GmmHmm(
        SMALL.model_copy(update={"first_passes": 20, "gaussians": 1, "transform": "none"}), lexicon
    )
    model.fit(cuts, cuts, tmp_path)
    for cut in itertools.islice(cuts, 5):
        (e,) = model.emit([cut.load_audio()[0]], RATE)
        found = align(e, model.topology, lexicon, cut.supervisions[0].text.split())
        for word, (start, end) in zip(found.words, spans[cut.id], strict=True):
            assert abs(word.start_s - start) < 0.05
            assert abs(word.start_s + word.duration_s - end) < 0.05


# transforms ------------------------------------------------------------------------------------------------


def labelled(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames of four classes that differ in two of six dimensions, with correlated noise in all."""
    rng = np.random.default_rng(seed)
    state = np.sort(rng.integers(0, 4, 4000))
    centres = np.zeros((4, 6))
    centres[:, :2] = [[0, 0], [4, 0], [0, 4], [4, 4]]
    noise = rng.standard_normal((4000, 6)) @ rng.normal(0, 1, (6, 6))
    return (centres[state] + noise).astype(np.float32), state


def test_lda_equals_scikit_learns():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x, state = labelled()
    ours = lda(Scatter.of(x, state, np.ones(len(x), np.float32), 4), 2)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(x, state).scalings_[:, :2].T
    for a, b in zip(ours, theirs, strict=True):
        assert abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) == pytest.approx(1, abs=1e-3)


def test_mllt_makes_diagonal_covariances_more_likely():
    x, state = labelled(1)
    scatter = Scatter.of(x, state, np.ones(len(x), np.float32), 4)

    def log_likelihood(matrix: np.ndarray) -> float:
        share, _, covariance = scatter.covariances()
        variance = np.einsum("ij,sjk,ik->si", matrix, covariance, matrix)
        return np.linalg.slogdet(matrix)[1] - 0.5 * share @ np.log(variance).sum(axis=1)

    plain = np.eye(6)
    rotated = mllt(scatter, plain)
    # one covariance is shared by all classes here, so that it can be made diagonal entirely
    share, _, covariance = scatter.covariances()
    full = -0.5 * share @ np.linalg.slogdet(covariance)[1]
    assert log_likelihood(rotated) > log_likelihood(plain) + 0.1
    assert log_likelihood(rotated) == pytest.approx(full, abs=0.02)


def test_splice_repeats_the_edges():
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(splice(x, 1), [[0, 1, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 4, 5]])


# data that could break it ------------------------------------------------------------------------------


def test_utterances_that_cannot_be_aligned_are_named_and_counted(tones, tmp_path, capsys):
    bad = [
        cut_of(tmp_path / "bad", "short", np.zeros(800), "LOW MID HIGH LOW MID HIGH"),
        cut_of(tmp_path / "bad", "unknown", np.zeros(RATE), "LOW QUUX"),
        cut_of(tmp_path / "bad", "nothing", np.zeros(RATE), ""),
    ]
    model = GmmHmm(SMALL.model_copy(update={"gaussians": 1}), LEXICON)
    model.fit(CutSet.from_cuts([*tones[0], *bad]), tones[0], tmp_path / "work")
    said = capsys.readouterr().err
    for name, why in (("short", "too few"), ("unknown", "'QUUX'"), ("nothing", "no transcript")):
        (line,) = [x for x in said.splitlines() if f"utterance {name}:" in x]
        assert why in line
    assert rows_of(tmp_path / "work")[-1]["left_out"] == "3"


@pytest.mark.parametrize("kind", ["digital silence", "one utterance", "one square wave"])
def test_degenerate_data_survive(tmp_path, kind):
    waves = {
        "digital silence": [np.zeros(RATE)] * 3,
        "one utterance": [0.1 * np.random.default_rng(0).standard_normal(RATE)],
        "one square wave": [np.sign(np.sin(np.arange(RATE) / 5)) * 0.5] * 2,
    }[kind]
    cuts = CutSet.from_cuts([cut_of(tmp_path, f"u{i}", w, "LOW MID") for i, w in enumerate(waves)])
    model = GmmHmm(SMALL, LEXICON)
    model.fit(cuts, cuts, tmp_path / "work")
    assert all(np.isfinite(a).all() for a in model.parameters.tensors().values())
    for e in model.emit(waves, RATE):
        assert np.isfinite(e.scores).all()


def test_nothing_alignable_is_an_error(tmp_path):
    cuts = CutSet.from_cuts([cut_of(tmp_path, "u", np.zeros(RATE), "QUUX")])
    with pytest.raises(DataError, match="aligned"):
        GmmHmm(SMALL, LEXICON).fit(cuts, cuts, tmp_path / "work")
