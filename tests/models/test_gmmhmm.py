"""GMM-HMMs against hmmlearn and brute force, and what training promises."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
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
from asr.decode.graph import Graph
from asr.decode.linear import Linear
from asr.decode.linear import best_path as shared_best_path
from asr.decode.search import SearchSettings, search
from asr.emissions import Emissions
from asr.errors import DataError, ModelError
from asr.features.mfcc import MfccSettings
from asr.models.gmmhmm import transcribed
from asr.models.gmmhmm.mixtures import Mixtures
from asr.models.gmmhmm.model import GmmHmm
from asr.models.gmmhmm.resume import Resume
from asr.models.gmmhmm.sentence import Sentence, Weights, best_path, posteriors
from asr.models.gmmhmm.settings import STEPS, GmmHmmSettings
from asr.models.gmmhmm.states import Parameters, States
from asr.models.gmmhmm.store import FeatureStore, native_rate
from asr.models.gmmhmm.training import SUMMED, Ladder, transformed
from asr.models.gmmhmm.transcribed import Transcribed
from asr.models.gmmhmm.transform import (
    ClassStatistics,
    RowStatistics,
    SemiTiedStatistics,
    affine,
    fmllr,
    lda,
    mllt,
    splice,
)
from asr.models.gmmhmm.tree import ContextStatistics, grow, roots
from asr.text.lexicon import Lexicon

RATE = 16000
LEXICON = Lexicon({"LOW": [("L",)], "MID": [("M",), ("M", "H")], "HIGH": [("H",)]})
TONES = {"LOW": 300.0, "MID": 1000.0, "HIGH": 3000.0}
SMALL = GmmHmmSettings(gaussians=40, leaves=12, fewest_frames=10, passes=8, frames_per_gaussian=10)


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
    return Parameters(states, random_mixtures(n, size, seed), rng.uniform(0.2, 0.8, n), np.array([0.3, 0.2]))


def tied_states(seed: int = 0, leaves: int = 3) -> States:
    """Three states for each phoneme and position, by a random rule on its place and neighbours."""
    phones = LEXICON.phones()
    n = len(phones)
    rng = np.random.default_rng(seed)
    table = np.zeros((n, 4, 3, n + 1, n + 1), np.int32)
    for k in range(3 * n):
        rule = rng.permutation(np.arange(4 * (n + 1) ** 2) % leaves).reshape(4, n + 1, n + 1)
        table[k // 3, :, k % 3] = leaves * k + rule
    return States(phones, table)


def all_states() -> list[States]:
    return [States(LEXICON.phones()), tied_states()]


def built(states: States, lexicon: Lexicon, words: list[str]) -> Sentence:
    return Sentence.build(states, states.skeletons[states.leaves is not None], lexicon, words)


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


def cut_of(folder: Path, name: str, wave: np.ndarray, text: str, speaker: str | None = "s") -> MonoCut:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.wav", wave.astype(np.float32), RATE)
    recording = Recording.from_file(folder / f"{name}.wav", recording_id=name)
    said = SupervisionSegment(name, name, 0.0, recording.duration, text=text, speaker=speaker)
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
    total, found = mixtures.statistics(x.astype("f4"), state, weight.astype("f4"))
    likelihood = 0.0
    occupancy, moments = np.zeros(mixtures.components), np.zeros((2, mixtures.components, 4))
    for frame, s, w in zip(x, state, weight, strict=True):
        mine = slice(mixtures.start[s], mixtures.start[s + 1])
        densities = mixtures.log_densities(frame[None])[0, mine]
        likelihood += w * scipy.special.logsumexp(densities)
        p = scipy.special.softmax(densities) * w
        occupancy[mine] += p
        moments[0, mine] += np.outer(p, frame)
        moments[1, mine] += np.outer(p, frame**2)
    assert total == pytest.approx(likelihood, rel=1e-5)
    np.testing.assert_allclose(found.occupancy, occupancy, atol=1e-4)
    np.testing.assert_allclose(found.first, moments[0], atol=1e-4)
    np.testing.assert_allclose(found.second, moments[1], atol=1e-3)


# the sentence ------------------------------------------------------------------------------------------


def paths_of(sentence: Sentence, weights: Weights, frames: int):
    """Every path through a sentence with its log weight, by brute force."""
    nodes = len(sentence.keys)
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


@pytest.mark.parametrize("states", all_states(), ids=["plain", "tied"])
@pytest.mark.parametrize("words", [["LOW"], ["MID"], ["HIGH", "LOW"]])
def test_sentence_equals_brute_force(words, states):
    parameters = random_parameters(states)
    sentence = built(states, LEXICON, words)
    weights = Weights.of(sentence, parameters)
    frames = 8
    x = np.random.default_rng(3).normal(0, 2, (frames, 2))
    scores = parameters.mixtures.log_likelihoods(x)[:, weights.columns]
    at = np.arange(frames)
    every = [(p, v + scores[at, list(p)].sum()) for p, v in paths_of(sentence, weights, frames)]
    total = scipy.special.logsumexp([v for _, v in every])
    occupancy, stays = np.zeros(scores.shape), np.zeros(len(sentence.keys))
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


@pytest.mark.parametrize("states", all_states(), ids=["plain", "tied"])
def test_sentence_equals_the_search_graph(states):
    """Training and decoding see the same model: one sentence, same best score in both, the same states."""
    parameters = random_parameters(states)
    x = np.random.default_rng(4).normal(0, 2, (60, 2))
    scores = parameters.mixtures.log_likelihoods(x)
    words = ["LOW", "HIGH", "MID"]
    sentence = built(states, LEXICON, words)
    weights = Weights.of(sentence, parameters)
    ours, nodes = best_path(sentence, weights, scores[:, weights.columns])
    linear = Linear.build(parameters.topology, LEXICON, words)
    theirs = shared_best_path(linear.arcs, scores.astype("f4"))
    assert ours == pytest.approx(theirs.score, abs=1e-2)
    assert list(linear.arcs.ilabel[theirs.arcs] - 1) == list(weights.columns[nodes])
    # keys of a path, with the neighbours it has, lead to the same states
    assert list(states.columns[sentence.spoken(states, nodes)]) == list(weights.columns[nodes])


def test_ways_to_say_words_equal_those_of_the_shared_alignment(tones, tmp_path):
    """Read off the states of training, and off the path through the sentence's own graph."""
    parameters = random_parameters(tied_states(), 3 * SMALL.features.cepstra)
    with ThreadPoolExecutor(1) as pool:
        store = FeatureStore.create(tones[0], tmp_path, SMALL.features, (RATE, RATE), pool, (1.0, 1.1))
        said = Transcribed(store, LEXICON.phones(), LEXICON, tmp_path / "alignment.i32")
        said.align(parameters, pool)
    counts: Counter[tuple] = Counter()
    for entry in store.entries:
        if entry.copy_of is None:
            x = said.features(store.entries.index(entry), parameters)
            scores = Emissions(
                parameters.mixtures.log_likelihoods(x), parameters.states.units, 0.01, "likelihood"
            )
            words = entry.text.split()
            ways = align(scores, parameters.topology, LEXICON, words).pronunciations
            assert len(ways) == len(words)
            counts.update(zip(words, ways, strict=True))
    found = said.spoken()
    assert {(w, p): n for w, some in found.items() for p, n in some.items()} == counts
    assert len(found["MID"]) == 2 and found["LOW"].total() > 5


def test_flat_start_spreads_states_over_the_loud_frames():
    states = States(("AH", "B", "T"))
    sentence = built(states, Lexicon({"BUT": [("B", "AH", "T")]}), ["BUT"])
    loud = np.array([1, 0, *[1] * 9, 0, 0, *[1] * 9, 1], bool)
    path = sentence.flat_path(loud)
    _, token, _, position = states.parts(sentence.keys[path])
    # quiet frames, and one at each end
    pauses = np.isin(np.arange(len(path)), [0, 1, 11, 12, 22])
    assert (token[pauses] >= states.spoken).all()
    spoken = [(states.tokens[t], int(i)) for t, i in zip(token[~pauses], position[~pauses], strict=True)]
    assert spoken == [(p, i) for p in ("B_B", "AH_I", "T_E") for i in range(3) for _ in range(2)]
    # no frame but the ends: a pause alone
    assert len(set(sentence.flat_path(np.zeros(5, bool)))) == 1


def test_quiet_frames_are_30_db_below_the_loudest(tmp_path):
    rng = np.random.default_rng(3)
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(RATE // 2) / RATE) + 0.01 * rng.standard_normal(RATE // 2)
    wave = np.concatenate([tone, tone * 1e-3, tone * 0.2])
    cuts = CutSet.from_cuts([cut_of(tmp_path, "a", wave, "x")])
    with ThreadPoolExecutor(1) as pool:
        store = FeatureStore.create(cuts, tmp_path / "store", MfccSettings(), (RATE, RATE), pool)
    wanted = np.repeat([True, False, True], 50)
    edges = np.abs(np.subtract.outer(np.arange(150), [50, 100])).min(1) < 3
    assert (store.loud(0) == wanted)[~edges].all()


def test_copies_at_other_speeds_are_other_utterances_of_other_speakers(tmp_path):
    cuts = tone_cuts(tmp_path, 3)
    with ThreadPoolExecutor(2) as pool:
        store = FeatureStore.create(
            cuts, tmp_path / "store", MfccSettings(), (RATE, RATE), pool, (1.0, 0.8, 1.25)
        )
    plain, slow, fast = (store.entries[k : k + 3] for k in (0, 3, 6))
    assert [e.id for e in slow] == [f"{e.id} at 0.8" for e in plain]
    assert not {e.speaker for e in plain} & {e.speaker for e in fast}
    for a, b, c in zip(plain, slow, fast, strict=True):
        assert a.text == b.text == c.text
        assert b.frames == pytest.approx(a.frames / 0.8, abs=1)
        assert c.frames == pytest.approx(a.frames / 1.25, abs=1)
    train = transcribed.Transcribed(store, LEXICON.phones(), LEXICON, tmp_path / "alignment")
    assert train.numbers == list(range(9))
    train.use(copies=False)
    assert train.numbers == [0, 1, 2]
    assert train.frames == sum(e.frames for e in plain)


def test_too_few_frames_have_no_path():
    states = States(LEXICON.phones())
    parameters = random_parameters(states)
    sentence = built(states, LEXICON, ["LOW", "HIGH"])
    assert sentence.shortest == 6
    weights = Weights.of(sentence, parameters)
    for frames, possible in ((5, False), (6, True)):
        scores = np.zeros((frames, len(sentence.keys)))
        assert np.isfinite(best_path(sentence, weights, scores)[0]) == possible
        assert np.isfinite(posteriors(sentence, weights, scores)[0]) == possible


@settings(max_examples=30, deadline=None)
@given(
    some.lists(some.sampled_from(list(TONES)), min_size=1, max_size=6),
    some.integers(0, 9),
    some.integers(0, 60),
)
def test_posteriors_sum_to_one(words, seed, more):
    states = all_states()[seed % 2]
    parameters = random_parameters(states, seed=seed)
    sentence = built(states, LEXICON, words)
    x = 5 * np.random.default_rng(seed).normal(0, 2, (sentence.shortest + more, 2))
    weights = Weights.of(sentence, parameters)
    scores = parameters.mixtures.log_likelihoods(x)[:, weights.columns]
    total, posterior, stays = posteriors(sentence, weights, scores)
    assert np.isfinite(total)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-3)
    assert (stays <= posterior.sum(axis=0) + 1e-3).all()
    assert best_path(sentence, Weights.of(sentence, parameters), scores)[0] <= total + 1e-6


def test_forward_score_equals_hmmlearns(fitted):
    """A chain of one phoneme: our sum over all paths is hmmlearn's score."""
    model, _ = fitted
    x = np.random.default_rng(5).normal(0, 1, (30, model.parameters.mixtures.means.shape[1]))
    states, topology = model.parameters.states, model.topology
    for phone, left, right in itertools.product((*states.phones, "SIL"), states.phones, states.phones):
        a, b = states.phones.index(left), states.phones.index(right)
        token = states.tokens.index("SIL" if phone == "SIL" else f"{phone}_I")
        columns = topology.states[topology.chain(a, token, b)]
        n = len(columns)
        hmm = model.phoneme_model(phone, left, right)
        np.testing.assert_allclose(hmm.transmat_.sum(axis=1), 1)
        np.testing.assert_allclose(hmm.weights_.sum(axis=1), 1)
        stay = hmm.transmat_.diagonal()
        # node n's arcs: from the one before; the end is reached from every node for nothing, as in hmmlearn
        chain = Sentence(
            keys=np.zeros(n, np.int32),
            piece=np.zeros(n, np.int32),
            first=np.array([*range(n + 1), 2 * n], np.int32),
            source=np.array([*range(-1, n - 1), *range(n)], np.int32),
            fixed=np.zeros(2 * n, np.float32),
            kind=np.zeros(2 * n, np.int8),
            pause=np.zeros(n, np.int8),
            canonical=np.arange(n, dtype=np.int32),
            words=1,
            shortest=n,
        )
        weights = Weights(
            np.array(columns), np.log(stay), np.concatenate([[0], np.log(1 - stay[:-1]), np.zeros(n)])
        )
        scores = model.parameters.mixtures.log_likelihoods(x)[:, list(columns)]
        assert posteriors(chain, weights, scores)[0] == pytest.approx(hmm.score(x), abs=1e-6)


# training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gaussians", "least"), [(40, (2, 2, 2, 2)), (1, (9, 9, 6, 6))])
@pytest.mark.parametrize("step", STEPS)
def test_likelihood_does_not_fall_between_passes(tones, tmp_path, step, gaussians, least):
    """With 40 Gaussians most passes have more than the one before; with 1 a state they never grow."""
    model = GmmHmm(SMALL.model_copy(update={"step": step, "passes": 12, "gaussians": gaussians}), LEXICON)
    model.fit(tones[0], tones[0], tmp_path)
    rows = rows_of(tmp_path)
    assert [r["step"] for r in rows] == [s for s in STEPS[: STEPS.index(step) + 1] for _ in range(12)]
    moved = transformed(model.settings)
    compared = Counter()
    for k, (before, after) in enumerate(itertools.pairwise(rows), 1):
        # new features have another density, and the paths of the first passes are summed over
        new = k % 12 in moved if after["step"] in ("lda", "sat") else after["step"] == "mono" and k == SUMMED
        if not new and all(before[name] == after[name] for name in ("step", "gaussians")):
            compared[after["step"]] += 1
            assert float(after["log_likelihood"]) >= float(before["log_likelihood"]) - 1e-4
    assert all(compared[s] >= n for s, n in zip(STEPS[: STEPS.index(step) + 1], least, strict=False))
    parameters = model.parameters
    assert all(np.isfinite(a).all() for a in parameters.tensors().values())
    assert ((parameters.stay > 0) & (parameters.stay < 1)).all()
    assert (parameters.pauses > 0).all() and parameters.pauses.sum() < 1
    assert (parameters.mixtures.variances > 0).all()


@pytest.mark.parametrize("step", ["mono", "tri"])
def test_alignments_of_a_step_become_no_less_likely(tones, tmp_path, monkeypatch, step):
    """Transitions and pauses included: what the likelihood of a pass leaves out."""
    scores: dict[str, list[float]] = {s: [] for s in STEPS}
    real = Transcribed.align

    def watched(self, parameters, pool):
        counts = real(self, parameters, pool)
        scores["mono" if parameters.states.leaves is None else "tri"].append(counts.log_likelihood)
        return counts

    monkeypatch.setattr(Transcribed, "align", watched)
    model = GmmHmm(SMALL.model_copy(update={"step": step, "passes": 12, "gaussians": 1}), LEXICON)
    model.fit(tones[0], tones[0], tmp_path)
    assert len(scores[step]) >= 3
    for before, after in itertools.pairwise(scores[step]):
        assert after >= before - 1e-3


def test_a_likelihood_that_is_no_number_ends_the_training(tones, tmp_path, monkeypatch):
    real = Mixtures.statistics
    monkeypatch.setattr(Mixtures, "statistics", lambda *given: (float("nan"), real(*given)[1]))
    with pytest.raises(ModelError, match="broke down in pass 7"):
        GmmHmm(SMALL, LEXICON).fit(tones[0], tones[0], tmp_path)


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


@pytest.mark.parametrize("at", [3, 9, 16, 24, 29])  # a step has eight passes
def test_resumed_training_equals_an_unbroken_one(tones, fitted, tmp_path, monkeypatch, at):
    real = Resume.save

    def killed(self, now):
        real(self, now)
        if len(now.rows) == at:
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
    assert [name for name, _ in model.steps(tmp_path)] == list(STEPS)
    columns = ("pass", "step", "gaussians", "log_likelihood")
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


@pytest.mark.parametrize("step", STEPS)
def test_words_are_found_where_the_tones_are(tones, tmp_path, step):
    cuts, spans = tones
    lexicon = Lexicon({word: ways[:1] for word, ways in LEXICON.entries.items()})
    model = GmmHmm(SMALL.model_copy(update={"step": step}), lexicon)
    model.fit(cuts, cuts, tmp_path)
    for cut in itertools.islice(cuts, 5):
        wave, words = cut.load_audio()[0], cut.supervisions[0].text.split()
        (e,) = model.emit([wave], RATE)
        found = align(e, model.topology, lexicon, words)
        (e,) = model.adapt([wave], RATE, [found.columns])
        found = align(e, model.topology, lexicon, words)
        for word, (start, end) in zip(found.words, spans[cut.id], strict=True):
            # windows and deltas hear a tone 30 ms before it begins and after it ends
            assert abs(word.start_s - start) < 0.04
            assert abs(word.start_s + word.duration_s - end) < 0.04


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
    halves = [ClassStatistics.of(x[k::2], state[k::2], 4) for k in range(2)]
    halves[0] += halves[1]
    ours = lda(halves[0], 2)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(x, state).scalings_[:, :2].T
    for a, b in zip(ours, theirs, strict=True):
        assert abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) == pytest.approx(1, abs=1e-3)


def one_gaussian_each(x: np.ndarray, state: np.ndarray) -> Mixtures:
    each = [x[state == s].astype(float) for s in range(4)]
    means, variances = np.array([e.mean(axis=0) for e in each]), np.array([e.var(axis=0) for e in each])
    return Mixtures(np.ones(4), means, variances, np.arange(5))


def log_likelihood(mixtures: Mixtures, x: np.ndarray, state: np.ndarray) -> float:
    """Per frame."""
    return mixtures.statistics(x.astype("f4"), state, np.ones(len(x), np.float32))[0] / len(x)


def test_mllt_makes_diagonal_covariances_more_likely():
    x, state = labelled(1)
    mixtures = one_gaussian_each(x, state)
    matrix = mllt(mixtures, SemiTiedStatistics.of(mixtures, x, state))
    # one covariance is shared by all classes here, so that it can be made diagonal entirely
    covariance = np.cov((x - mixtures.means[state]).T)
    full = -0.5 * (6 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + 6)
    found = log_likelihood(one_gaussian_each(x @ matrix.T, state), x @ matrix.T, state)
    found += np.linalg.slogdet(matrix)[1]
    assert found > log_likelihood(mixtures, x, state) + 0.1
    assert found == pytest.approx(full, abs=0.02)


def test_fmllr_is_a_maximum_and_undoes_a_speaker():
    rng = np.random.default_rng(2)
    x, state = labelled(2)
    mixtures = one_gaussian_each(x, state)
    speaker = (x @ (np.eye(6) + 0.2 * rng.normal(size=(6, 6))).T + rng.normal(size=6)).astype("f4")
    w = fmllr(RowStatistics.of(mixtures, speaker, state))

    def likelihood(w: np.ndarray) -> float:
        return log_likelihood(mixtures, affine(speaker, w), state) + np.linalg.slogdet(w[:, :-1])[1]

    best = likelihood(w)
    assert best > likelihood(np.eye(6, 7)) + 0.5
    for _ in range(20):
        assert likelihood(w + 0.02 * rng.normal(size=w.shape)) < best


def test_each_speaker_has_a_transform_of_its_own(tones, tmp_path):
    """Two speakers, one a tenth faster and higher: each is explained best in its own space."""
    quick = []
    for cut in tones[0]:
        wave = cut.load_audio()[0]
        wave = np.interp(np.arange(0, len(wave) - 1, 1.1), np.arange(len(wave)), wave)
        quick.append(cut_of(tmp_path, f"{cut.id} quick", wave, cut.supervisions[0].text, "quick"))
    cuts = CutSet.from_cuts([*tones[0], *quick])
    with ThreadPoolExecutor(1) as pool:
        store = FeatureStore.create(cuts, tmp_path / "features", MfccSettings(), (RATE, RATE), pool)
        said = Transcribed(store, LEXICON.phones(), LEXICON, tmp_path / "alignment")
        p = Ladder(SMALL, said, tmp_path, pool).climb()
    assert sorted(said.speakers) == ["quick", "s"]
    for name, other in itertools.permutations(said.speakers):
        mine = [i for i in said.numbers if store.entries[i].speaker == name]
        x = np.concatenate([p.features(store.cepstra(i)) for i in mine])
        state = p.states.columns[np.concatenate([said.keys(i) for i in mine])]
        own, others = (
            log_likelihood(p.mixtures, affine(x, w), state) + np.linalg.slogdet(w[:, :-1])[1]
            for w in (said.speakers[name], said.speakers[other])
        )
        assert own > others + 1


def test_who_is_unknown_is_a_speaker_alone(tmp_path):
    rng = np.random.default_rng(0)
    cuts = [cut_of(tmp_path, f"u{i}", rng.standard_normal(RATE), "LOW", None) for i in range(2)]
    with ThreadPoolExecutor(1) as pool:
        store = FeatureStore.create(
            CutSet.from_cuts(cuts), tmp_path / "features", MfccSettings(), (RATE, RATE), pool
        )
    assert [e.speaker for e in store.entries] == ["u0", "u1"]
    for i in range(2):  # normalised on its own
        np.testing.assert_allclose(store.cepstra(i).mean(axis=0), 0, atol=1e-4)


def test_a_strong_prior_keeps_a_transform_small():
    x, state = labelled(3)
    first = one_gaussian_each(x, state)
    x = (x @ mllt(first, SemiTiedStatistics.of(first, x, state)).T).astype("f4")
    mixtures = one_gaussian_each(x, state)
    everybody = RowStatistics.of(mixtures, x, state)
    moved = RowStatistics.of(mixtures, x[:50] * np.float32(1.3) + np.float32(1), state[:50])
    free, held = (fmllr(moved.with_prior(everybody.outer / everybody.frames, n)) for n in (0.0, 1e5))
    np.testing.assert_allclose(held, np.eye(6, 7), atol=0.05)
    assert np.abs(free - np.eye(6, 7)).max() > 0.5


def test_phonemes_heard_too_little_share_the_states_of_the_most_similar():
    phones = ("H", "L", "M", "Q", "Z")
    plain = States(phones)
    rng = np.random.default_rng(5)
    frames, centres = (500, 500, 500, 0, 15), (0.0, 10.0, 20.0, np.nan, 19.0)  # Q is never heard
    keys = np.concatenate(
        [np.full(n, plain.key(5, 4 * k, 5, p)) for k, n in enumerate(frames) for p in range(3)]
    )
    _, token, _, _ = plain.parts(keys)
    x = rng.normal(0, 1, (len(keys), 2)) + np.array(centres)[token // 4][:, None]
    statistics = ContextStatistics.of(keys.astype(np.int32), x.astype("f4"))
    states, moments = grow(phones, statistics, 0, 100, np.full(2, 1e-3))
    table = states.leaves
    assert table is not None
    np.testing.assert_array_equal(table[4], table[2])
    assert moments[np.unique(table[2]), 0].tolist() == [515] * 3
    assert moments[np.unique(table[3]), 0].tolist() == [0] * 3
    columns = [f"{phone}_{i}.0" for phone in "HLMQ" for i in range(3)]
    assert list(states.units)[:12] == columns and len(moments) == 12 == len(np.unique(table))


@pytest.mark.parametrize(
    ("frames", "groups"),
    [
        ((15, 500, 15), [(0, 1, 2)]),
        ((15, 500, 500), [(0, 1), (2,)]),
        ((500, 500, 15), [(0,), (1, 2)]),
        ((15, 15, 0), [(0,), (1,), (2,)]),  # nobody was heard enough to be joined
        ((20, 20, 20), [(0,), (1,), (2,)]),
    ],
)
def test_who_shares_a_state(frames, groups):
    n = np.array(frames, float)[:, None]
    moments = np.concatenate([n, n * [[0.0], [1.0], [9.0]], n * [[1.0], [2.0], [82.0]]], axis=1)
    assert roots(moments, np.array([1e-3])) == groups


def test_what_is_too_little_in_the_training_set_is_named(tones, tmp_path, capsys):
    lexicon = Lexicon({**LEXICON.entries, "RARE": [("Z",)], "NEVER": [("Q",)]})
    rng = np.random.default_rng(0)
    rare = cut_of(tmp_path, "rare", 0.3 * rng.standard_normal(RATE // 8), "RARE")
    model = GmmHmm(SMALL.model_copy(update={"step": "tri"}), lexicon)
    model.fit(CutSet.from_cuts([*tones[0], rare]), tones[0], tmp_path / "work")
    told = [line for line in capsys.readouterr().err.splitlines() if "too little of these states" in line]
    assert len(told) == 1
    assert "Z_0 (as " in told[0] and "(as Z" not in told[0] and "Q_0.0 (as all audio)" in told[0]
    assert not any(unit.startswith("Z_") for unit in model.units)
    assert all(np.isfinite(a).all() for a in model.parameters.tensors().values())


def test_a_tree_finds_the_neighbours_and_places_that_matter():
    """M sounds otherwise after L, and H at the end of a word: the tree splits them by that alone."""
    phones = ("H", "L", "M")
    plain = States(phones)
    rng = np.random.default_rng(4)
    every = [(a, t, b) for a in range(4) for t in range(plain.spoken) for b in range(4)]
    keys = np.repeat([plain.key(*place, p) for place in every for p in range(3)], 50)
    left, token, _, _ = plain.parts(keys)
    phone, place = np.divmod(token, 4)
    x = rng.normal(0, 1, (len(keys), 2))
    x[:, 0] += 5 * phone + 8 * ((phone == 2) & (left == 1)) - 9 * ((phone == 0) & (place >= 2))
    statistics = ContextStatistics.of(keys.astype(np.int32), x.astype("f4"))
    states, moments = grow(phones, statistics, 15, 100, np.full(2, 1e-3))
    table = states.leaves
    assert table is not None and len(moments) == 15 == len(np.unique(table))
    for p in range(3):
        assert len(np.unique(table[2, :, p, 1])) == 1
        assert len(np.unique(table[2, :, p, [0, 2, 3]])) == 1
        assert table[2, 0, p, 1, 0] != table[2, 0, p, 0, 0]
        assert len(np.unique(table[0, :2, p])) == len(np.unique(table[0, 2:, p])) == 1
        assert table[0, 0, p, 0, 0] != table[0, 2, p, 0, 0]
    np.testing.assert_allclose(moments[:, 0].sum(), len(keys))
    assert len(states.units) == 15 + 5


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


def test_ways_without_a_chance_and_utterances_without_end(tones, tmp_path, capsys, monkeypatch):
    """Ways of probability 0 are not said, however few frames they need."""
    never = {"LOW": [("L",), ("L", "M", "L")], "MID": [("M",)]}
    lexicon = Lexicon(never, {"LOW": (0.0, 1.0), "MID": (0.0,)})
    assert [lexicon.shortest(word) for word in ("LOW", "MID")] == [3, 0]
    cuts = [
        cut_of(tmp_path, "short", np.zeros(RATE * 6 // 100), "LOW"),
        cut_of(tmp_path, "none", np.zeros(RATE), "MID"),
        cut_of(tmp_path, "long", np.zeros(2 * RATE), "LOW LOW"),
        cut_of(tmp_path, "fine", np.zeros(RATE), "LOW"),
    ]
    with ThreadPoolExecutor(1) as pool:
        store = FeatureStore.create(
            CutSet.from_cuts(cuts), tmp_path / "s", MfccSettings(), (RATE, RATE), pool, (1.0,)
        )
    monkeypatch.setattr(transcribed, "MOST_CELLS", 200 * 24 - 1)
    train = transcribed.Transcribed(store, lexicon.phones(), lexicon, tmp_path / "alignment")
    assert [store.entries[i].id for i in train.numbers] == ["fine"]
    said = capsys.readouterr().err
    assert "utterance short: 6 frames are too few for its text, which needs 9" in said
    assert "utterance none: every pronunciation of 'MID' has probability 0" in said
    assert "utterance long: 200 frames of 2 words are too many to align at once" in said


def test_the_rate_before_lazy_resampling_is_found(tmp_path):
    cut = cut_of(tmp_path, "a", np.zeros(RATE), "LOW")
    cut.recording = cut.recording.resample(2 * RATE)
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl.gz")
    assert native_rate(CutSet.from_file(tmp_path / "cuts.jsonl.gz"), 1) == RATE
    assert native_rate(CutSet.from_cuts([]), 1) == 1


def test_copies_of_an_utterance_that_is_left_out_are_left_out_too(tmp_path):
    cuts = CutSet.from_cuts([cut_of(tmp_path, "short", np.zeros(RATE // 5), "MID " * 7)])
    with ThreadPoolExecutor(1) as pool:
        store = FeatureStore.create(cuts, tmp_path / "store", MfccSettings(), (RATE, RATE), pool, (1.0, 0.5))
    assert [e.frames for e in store.entries] == [20, 40]  # 21 are needed
    train = transcribed.Transcribed(store, LEXICON.phones(), LEXICON, tmp_path / "alignment")
    assert train.numbers == [] and train.left_out == 1


def test_monophones_of_the_fewest_passes_know_how_words_were_said(tones, tmp_path):
    model = GmmHmm(SMALL.model_copy(update={"step": "mono", "passes": SUMMED}), LEXICON)
    model.fit(tones[0], tones[0], tmp_path)
    assert sum(sum(ways.values()) for ways in model.spoken.values()) == 3 * len(list(tones[0]))


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
    assert ((model.parameters.stay > 0) & (model.parameters.stay < 1)).all()
    found = model.emit(waves, RATE)
    for e in [*found, *model.adapt(waves, RATE, [e.scores.argmax(1) for e in found])]:
        assert np.isfinite(e.scores).all()


def test_nothing_alignable_is_an_error(tmp_path):
    cuts = CutSet.from_cuts([cut_of(tmp_path, "u", np.zeros(RATE), "QUUX")])
    with pytest.raises(DataError, match="aligned"):
        GmmHmm(SMALL, LEXICON).fit(cuts, cuts, tmp_path / "work")


def test_compounds_stay_apart_where_places_are_tied_together(tmp_path):
    """GREEN HOUSE and GREENHOUSE differ in places alone; where trees do not ask for them, in nothing."""
    leaves = np.broadcast_to(np.arange(6, dtype=np.int32).reshape(2, 1, 3, 1, 1), (2, 4, 3, 3, 3))
    states = States(("G", "H"), np.ascontiguousarray(leaves))
    n = len(states.units)
    topology = states.topology(np.full(n, 0.5), np.array([0.1, 0.1]))
    lexicon = Lexicon({"GREEN": [("G",)], "HOUSE": [("H",)], "GREENHOUSE": [("G", "H")]})
    scores = np.full((6, n), -20.0, np.float32)
    scores[np.arange(6), np.arange(6)] = 0.0
    found = Emissions(scores, states.units, 0.01, "likelihood")
    arpa = (
        "\\data\\\nngram 1=5\n\n\\1-grams:\n-99\t<s>\n-0.5\t</s>\n-0.5\tGREEN\n-0.5\tHOUSE\n"
        "{}\tGREENHOUSE\n\n\\end\\\n"
    )
    for chance, text in ((-0.4, "GREENHOUSE"), (-2.0, "GREEN HOUSE")):
        (tmp_path / "lm.arpa").write_text(arpa.format(chance))
        graph = Graph.build(topology, lexicon, tmp_path / "lm.arpa")
        assert search(found, graph, SearchSettings(acoustic_scale=1.0, beam=40.0)).text == text


def test_words_of_phonemes_that_share_states_stay_apart(tmp_path):
    """ZOO and HOO sound alike where Z has the states of H: the language model tells them apart."""
    leaves = np.broadcast_to(np.arange(6, dtype=np.int32).reshape(2, 1, 3, 1, 1), (2, 4, 3, 4, 4))
    states = States(("G", "H", "Z"), np.ascontiguousarray(leaves[[0, 1, 1]]))
    n = len(states.units)
    topology = states.topology(np.full(n, 0.5), np.array([0.1, 0.1]))
    entries = {"HOO": [("H", "G")], "ZOO": [("Z", "G")], "H": [("H",)], "Z": [("Z",)], "G": [("G",)]}
    scores = np.full((6, n), -20.0, np.float32)
    scores[np.arange(6), [3, 4, 5, 0, 1, 2]] = 0.0
    found = Emissions(scores, states.units, 0.01, "likelihood")
    arpa = "\\data\\\nngram 1=7\n\n\\1-grams:\n-99\t<s>\n-0.5\t</s>\n{}\\end\\\n"
    for best in ("HOO", "ZOO"):
        lines = "".join(f"{-0.4 if word == best else -1.5}\t{word}\n" for word in entries)
        (tmp_path / "lm.arpa").write_text(arpa.format(lines + "\n"))
        graph = Graph.build(topology, Lexicon(entries), tmp_path / "lm.arpa")
        assert search(found, graph, SearchSettings(acoustic_scale=1.0, beam=40.0)).text == best
