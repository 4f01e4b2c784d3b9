"""The network in place of the mixtures: what it is taught, and what the search gets to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asr.config import parse
from asr.data.audio import load_cut
from asr.errors import ConfigError, ModelError
from asr.models.gmmhmm import hybrid
from asr.models.gmmhmm.denominator import StateDenominator
from asr.models.gmmhmm.hybrid import NOWHERE, Aligned, StateTraining
from asr.models.gmmhmm.model import GmmHmm
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.models.networks.batches import Take
from asr.models.networks.network import MINIMUM_FRAMES, SUBSAMPLING, Network
from asr.models.networks.posteriors import posteriors
from tests.models.test_gmmhmm import LEXICON, RATE, tone_cuts


class Killed(Exception):
    """What ends a training."""


SMALL = {"frontend": "logmel", "channels": 16, "width": 32, "blocks": 1, "lstm_layers": 1, "device": "cpu"}
SETTINGS = GmmHmmSettings(
    gaussians=30, passes=6, frames_per_gaussian=10, speeds=(1.0, 1.1), acoustic="network",
    network={**SMALL, "epochs": 30, "batch_s": 4.0},
)  # fmt: skip


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    return tone_cuts(tmp_path_factory.mktemp("tones"), 15)


@pytest.fixture(scope="module")
def taught(cuts, tmp_path_factory):
    """A trained model, and the data set its network saw."""
    seen = []

    class Watched(Aligned):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            seen.append(self)

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(hybrid, "Aligned", Watched)
        m.setattr(Path, "unlink", lambda self, missing_ok=False: None)  # the audio is looked at below
        model = GmmHmm(SETTINGS, LEXICON)
        model.fit(cuts, cuts, tmp_path_factory.mktemp("work"))
    return model, seen[0]


def test_every_frame_has_its_state_at_every_speed(taught):
    _, aligned = taught
    names = [e.id for e in aligned.said.store.entries]
    batch = aligned[[Take(3, 1.0), Take(7, 1.1)]]
    for row, name in enumerate((aligned.names[3], f"{aligned.names[7]} at 1.1")):
        i = names.index(name)
        frames = aligned.said.store.entries[i].frames
        states = aligned.parameters.states.columns[aligned.said.keys(i)]
        assert batch.states[row, :frames].tolist() == states.tolist()
        assert (batch.states[row, frames:] == NOWHERE).all() and (states >= 0).all()
        features = aligned.said.features(i, aligned.parameters)
        np.testing.assert_array_equal(batch.features[row, :frames].numpy(), features)
        assert abs(int(batch.samples[row]) / RATE - frames / 100) < 0.02


def test_a_copy_that_could_not_be_aligned_is_not_taken(taught):
    _, aligned = taught
    plain = aligned[[Take(2, 1.0)]]
    name = f"{aligned.names[2]} at 1.1"
    number = aligned.entries.pop(name)
    try:
        batch = aligned[[Take(2, 1.1)]]
    finally:
        aligned.entries[name] = number
    for a, b in zip(batch, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_mutual_information_counts_in_the_second_cycle(taught):
    """The states' log likelihoods against log Z, per frame, beside the cross-entropy."""
    model, aligned = taught
    batch = aligned[[Take(0, 1.0), Take(4, 1.1)]]
    denominator = StateDenominator(aligned.said, aligned.parameters, 0.1)
    losses = []
    for first in (10, 0):
        cycles, settings = (first, 10), SETTINGS.network.model_copy(update={"mmi": 0.5})
        module = StateTraining(model.network, settings, cycles, 0, "key", model.state_prior, denominator)
        module.log = lambda *_, **__: None
        losses.append(float(module.training_step(batch, 0).detach()))
    with torch.no_grad():
        log_probs, _ = model.network(batch.waveforms, batch.samples, batch.features)
        scores = (log_probs - torch.from_numpy(model.state_prior)).double()
        frames = (batch.states != NOWHERE).sum(1)
        total = denominator(scores, frames).sum()
        for row, states in zip(scores, batch.states, strict=True):
            total -= sum(row[t, s] for t, s in enumerate(states.tolist()) if s != NOWHERE)
    assert losses[1] - losses[0] == pytest.approx(0.5 * float(total / frames.sum()), rel=1e-4)


def test_loss_is_the_cross_entropy_of_the_frames_inside(taught):
    model, aligned = taught
    batch = aligned[[Take(0, 1.0), Take(1, 1.1), Take(2, 1.0)]]
    module = StateTraining(model.network, SETTINGS.network, (10,), 0, "key", model.state_prior)
    module.log = lambda *_, **__: None
    found = float(module.training_step(batch, 0))
    log_probs, _ = model.network(batch.waveforms, batch.samples, batch.features)
    total = count = 0.0
    for row, states in zip(log_probs, batch.states, strict=True):
        for t, state in enumerate(states.tolist()):
            if state != NOWHERE:
                total, count = total - float(row[t, state]), count + 1
    assert found == pytest.approx(total / count, rel=1e-4)
    states = torch.nn.functional.pad(batch.states, (0, 3), value=NOWHERE)[:, :-3]
    more = batch._replace(states=states)
    assert float(module.training_step(more, 0)) == pytest.approx(found, rel=1e-5)


def test_network_learns_the_alignment(taught):
    model, aligned = taught
    hits = frames = 0
    for i in range(len(aligned.names)):
        batch = aligned[[Take(i, 1.0)]]
        with torch.inference_mode():
            log_probs, _ = model.network(batch.waveforms, batch.samples, batch.features)
        known = batch.states[0] != NOWHERE
        hits += int((log_probs[0, : len(known)].argmax(1) == batch.states[0])[known].sum())
        frames += int(known.sum())
    most = np.exp(model.state_prior.max())
    assert hits / frames > 0.6 > 2 * most  # always the commonest state would be `most`
    assert np.exp(model.state_prior).sum() == pytest.approx(1.0, abs=1e-5)


def test_the_search_sees_both_the_network_and_the_mixtures(taught, cuts):
    model, _ = taught
    waveforms = [load_cut(c, RATE) for c in list(cuts)[:3]]
    columns = [e.scores.argmax(1) for e in model.emit(waveforms, RATE)]
    found = model.adapt(waveforms, RATE, columns)
    network, share = model.network, SETTINGS.mixture_share
    model.network = None
    try:
        mixtures = model.adapt(waveforms, RATE, columns)
    finally:
        model.network = network
    p = model.parameters
    plain = model._features(waveforms, RATE)
    spoken = np.concatenate(columns) < p.states.silence[0]
    assert spoken.any()
    for f, m, x in zip(found, mixtures, plain, strict=True):
        assert f.scores.shape == m.scores.shape == (len(x), len(model.units)) and f.kind == "likelihood"
        own = (f.scores - np.float32(share) * m.scores) / np.float32(1 - share) + model.state_prior
        np.testing.assert_allclose(np.exp(own).sum(axis=1), 1.0, atol=2e-3)
    assert not np.allclose(found[0].scores, mixtures[0].scores)


def test_the_network_is_the_last_step_and_is_saved(taught, tmp_path):
    model, aligned = taught
    steps = dict(model.steps(aligned.said.path.parent))
    assert list(steps) == ["mono", "tri", "lda", "sat", "network"]
    assert steps["network"].network is model.network and steps["sat"].network is None
    model.save(tmp_path)
    again = GmmHmm.load(tmp_path)
    x = np.zeros((50, again.parameters.mixtures.means.shape[1]), np.float32)
    wave = [np.zeros(RATE // 2, np.float32)]
    for a, b in zip(
        posteriors(model.network, wave, RATE, [x]), posteriors(again.network, wave, RATE, [x]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert again.parameters_count() == model.parameters_count() > model.parameters.count()


def test_four_frames_a_step_of_the_encoder():
    network = Network.seeded(0, SETTINGS.network, 7, beside=5, parts=SUBSAMPLING)
    samples = torch.tensor([RATE * 2, RATE // 4])
    with torch.inference_mode():
        log_probs, frames = network(torch.randn(2, RATE * 2), samples, torch.randn(2, 200, 5))
    assert frames.tolist() == [200, SUBSAMPLING * MINIMUM_FRAMES] and log_probs.shape == (2, 200, 7)
    torch.testing.assert_close(log_probs.exp().sum(2), torch.ones(2, 200))


def test_network_asks_for_the_whole_ladder():
    with pytest.raises(ConfigError, match="network follows the step sat, not tri"):
        parse(GmmHmmSettings, {"acoustic": "network", "step": "tri"})


def test_killed_in_the_network_it_goes_on(cuts, tmp_path, monkeypatch):
    few = SETTINGS.model_copy(update={"network": SETTINGS.network.model_copy(update={"epochs": 4})})
    unbroken = GmmHmm(few, LEXICON)
    unbroken.fit(cuts, cuts, tmp_path / "a")
    step, epochs = StateTraining.training_step, []

    def dies(self, batch, index):
        if self.current_epoch == 2:
            raise Killed
        return step(self, batch, index)

    with monkeypatch.context() as m:
        m.setattr(StateTraining, "training_step", dies)
        with pytest.raises(Killed):
            GmmHmm(few, LEXICON).fit(cuts, cuts, tmp_path / "b")
    assert not (tmp_path / "b" / "network" / "training.json").exists()
    with monkeypatch.context() as m:
        m.setattr(
            StateTraining,
            "training_step",
            lambda self, b, i: (epochs.append(self.current_epoch), step(self, b, i))[1],
        )
        resumed = GmmHmm(few, LEXICON)
        resumed.fit(cuts, cuts, tmp_path / "b")
    assert sorted(set(epochs)) == [2, 3, 4]  # the last one is a cycle of its own
    for name, value in unbroken.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0, msg=name)
    assert resumed.spoken == unbroken.spoken


def test_one_setting_of_the_network_leaves_the_others():
    settings = parse(GmmHmmSettings, {"acoustic": "network", "network": {"width": 320}})
    assert settings.network == GmmHmmSettings().network.model_copy(update={"width": 320})
    assert settings.network.frontend == "logmel"


def test_only_a_network_begins_from_a_run(tmp_path: Path) -> None:
    network = {"init_from": str(tmp_path / "gone")}
    GmmHmmSettings(network=network).require()
    with pytest.raises(ModelError, match="gone: no such run to begin from"):
        GmmHmmSettings(acoustic="network", network=network).require()
