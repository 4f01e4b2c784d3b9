"""Beginning with the layers of another run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from asr.errors import AsrError, ModelError
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.networks.network import Network
from asr.models.networks.settings import NetworkSettings
from asr.models.networks.training import Training
from asr.models.networks.transfer import digest, take_over
from tests.models.test_gmmhmm import LEXICON, tone_cuts

SMALL = {"channels": 16, "width": 32, "blocks": 2, "lstm_layers": 1, "epochs": 2, "batch_s": 4.0}


@pytest.fixture(scope="module")
def phonemes(tmp_path_factory) -> tuple[Ctc, Path]:
    """An untrained network of phonemes, saved."""
    folder = tmp_path_factory.mktemp("run")
    model = Ctc(CtcSettings(targets="phonemes", **SMALL), LEXICON, seed=7)
    model.save(folder / "system")
    (folder / "system" / "system.json").touch()
    return model, folder


def test_all_but_the_output_goes_to_other_units(phonemes):
    source, run = phonemes
    model = Ctc(CtcSettings(targets="characters", **SMALL), LEXICON, seed=1)
    fresh = {n: v.clone() for n, v in model.network.state_dict().items()}
    taken = take_over(model.network, [model.units], run)
    assert set(fresh) - set(taken) == {"output.weight", "output.bias"}
    for name, value in model.network.state_dict().items():
        wanted = fresh[name] if name.startswith("output.") else source.network.state_dict()[name]
        torch.testing.assert_close(value, wanted, rtol=0, atol=0)


def test_the_output_too_where_the_units_are_the_same(phonemes):
    source, run = phonemes
    model = Ctc(CtcSettings(targets="phonemes", **SMALL), LEXICON, seed=1)
    assert len(take_over(model.network, [model.units], run / "system")) == len(source.network.state_dict())


def test_a_bigger_network_takes_what_fits_and_another_width_nothing(phonemes):
    _, run = phonemes
    more = Ctc(CtcSettings(targets="phonemes", **{**SMALL, "blocks": 3}), LEXICON)
    taken = take_over(more.network, [more.units], run)
    assert not [n for n in taken if n.startswith("blocks.2.")] and "blocks.1.conv.weight" in taken
    wide = Ctc(CtcSettings(targets="phonemes", **{**SMALL, "width": 48}), LEXICON)
    with pytest.raises(ModelError, match="no layer of its encoder has the shape"):
        take_over(wide.network, [wide.units], run)


def test_a_run_of_mixtures_holds_no_network(phonemes, tmp_path):
    source, run = phonemes
    shutil.copytree(run / "system", tmp_path / "system")
    save_file({"means": torch.zeros(3)}, tmp_path / "system" / "model.safetensors")
    with pytest.raises(
        ModelError, match="holds no network; name a run of phoneme_ctc, raw_ctc or mfcc_hybrid"
    ):
        take_over(source.network, [source.units], tmp_path)


def test_what_settings_name_is_looked_for_before_any_audio_is_read(phonemes, tmp_path):
    other_width = {"init_from": str(phonemes[1]), "width": 48}
    for settings, says in (
        ({"init_from": str(tmp_path)}, "no weights to begin from"),
        (other_width, "no layer of its encoder has the shape of this one's"),
        ({"noise_share": 1.0, "noise_from": str(tmp_path)}, "holds no audio"),
    ):
        with pytest.raises(AsrError, match=says):
            Ctc(CtcSettings(**SMALL | settings), LEXICON).fit(None, None, tmp_path)


def test_no_run_is_one_line(tmp_path):
    model = Ctc(CtcSettings(**SMALL), LEXICON)
    for broken in (lambda: take_over(model.network, [model.units], tmp_path), lambda: digest(tmp_path)):
        with pytest.raises(ModelError, match="no weights to begin from"):
            broken()
    with pytest.raises(ModelError, match="nix: no such run to begin from"):
        digest(tmp_path / "nix")


def test_layers_before_the_last_stay_what_they_were(phonemes, tmp_path, capsys):
    source, run = phonemes
    cuts = tone_cuts(tmp_path / "wav", 6)
    settings = CtcSettings(targets="characters", init_from=str(run), train_last=2, **SMALL)
    model = Ctc(settings, LEXICON, seed=1)
    before = Ctc(settings, LEXICON, seed=1).network.state_dict()
    model.fit(cuts, cuts, tmp_path / "work")
    assert f"layers of {run}; made anew: output\n" in capsys.readouterr().err
    moved = set()
    for name, value in model.network.state_dict().items():
        begun = before[name] if name.startswith("output.") else source.network.state_dict()[name]
        if not torch.equal(value, begun):
            moved.add(name.split(".")[0])
    # statistics of the normalisation are no weights, and stay as well
    assert moved == {"lstms", "output"}


def test_what_was_taken_over_moves_slower():
    settings = NetworkSettings(
        channels=16, width=32, blocks=1, lstm_layers=0, init_rate=0.25, filter_rate=0.1
    )
    network = Network.seeded(0, settings, 5)
    old = [n for n, _ in network.named_parameters() if not n.startswith("output.")]
    module = Training(network, settings, (100,), 0, "key", old)
    optimizer = module.configure_optimizers()["optimizer"]
    rate = {p: g["initial_lr"] for g in optimizer.param_groups for p in g["params"]}
    wanted = {
        n: 0.25 * (0.1 if n.startswith("frontend.") else 1.0) if n in old else 1.0
        for n, _ in network.named_parameters()
    }
    for name, parameter in network.named_parameters():
        assert rate[parameter] == pytest.approx(settings.learning_rate * wanted[name])


def test_resuming_from_other_weights_starts_again(phonemes, tmp_path, capsys):
    cuts = tone_cuts(tmp_path / "wav", 3)
    other = Ctc(CtcSettings(targets="phonemes", **SMALL), LEXICON, seed=8)
    settings = CtcSettings(init_from=str(tmp_path / "source"), **SMALL)
    for source in (phonemes[0], other):
        source.save(tmp_path / "source")
        Ctc(settings, LEXICON).fit(cuts, cuts, tmp_path / "work")
    assert "not of this data and these settings, training starts again" in capsys.readouterr().err


@pytest.mark.parametrize(("last", "frozen"), [(1, 5), (5, 1), (6, 0), (7, 0), (50, 0)])
def test_no_more_than_all_layers_are_trained(last, frozen):
    settings = CtcSettings(init_from="anywhere", train_last=last, **{**SMALL, "blocks": 2, "lstm_layers": 1})
    module = Training(Network.seeded(0, settings, 5), settings, [10], 0, "")
    assert (len(module.network.layers), len(module.frozen)) == (6, frozen)


def test_each_output_layer_takes_the_one_of_its_units(phonemes):
    source, run = phonemes
    other = Ctc(CtcSettings(targets="characters", **SMALL), LEXICON, seed=1).units
    network = Network.seeded(1, source.settings, len(other), second=len(source.units))
    taken = take_over(network, [other, source.units], run)
    assert "second.weight" in taken and "output.weight" not in taken
    assert torch.equal(network.second.weight, source.network.output.weight)
