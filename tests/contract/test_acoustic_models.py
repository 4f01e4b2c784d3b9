"""What every acoustic model promises, whatever is inside (asr/models/base.py)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from lhotse import CutSet

from asr.decode.align import align
from asr.errors import AsrError, ModelError
from asr.models import factory
from asr.text.lexicon import Lexicon
from asr.text.units import Units

RATE = 16000


def same(a, b) -> bool:
    return all(np.array_equal(x.scores, y.scores) for x, y in zip(a, b, strict=True))


def everything(model, waveforms, rate=RATE):
    """What `emit` gives and, where the model adapts, what `adapt` makes of the likeliest columns."""
    found = model.emit(waveforms, rate)
    return found + (model.adapt(waveforms, rate, [e.scores.argmax(1) for e in found]) if model.adapts else [])


def test_emissions_are_finite_and_shaped(trained):
    found = everything(trained.model, trained.waveforms)
    assert len(found) == (1 + trained.model.adapts) * len(trained.waveforms)
    for e, wave in zip(found, trained.waveforms * (1 + trained.model.adapts), strict=True):
        assert e.units == trained.model.units
        assert e.scores.shape[1] == len(trained.model.units)
        assert np.isfinite(e.scores).all()
        assert abs(e.duration_s - len(wave) / RATE) <= 2 * e.frame_shift_s
        if e.kind == "posterior":
            np.testing.assert_allclose(np.exp(e.scores).sum(axis=1), 1, atol=1e-4)


def test_frame_shift_is_what_a_longer_waveform_shows(trained):
    wave = trained.waveforms[0]
    longer = np.concatenate([wave, np.zeros(3 * RATE, np.float32)])
    short, long = (trained.model.emit([w], RATE)[0] for w in (wave, longer))
    more = len(long.scores) - len(short.scores)
    assert more * short.frame_shift_s == pytest.approx(3, abs=short.frame_shift_s)


def test_prior_belongs_to_posteriors(trained):
    (e,) = trained.model.emit(trained.waveforms[:1], RATE)
    prior = trained.model.log_prior
    if e.kind == "likelihood":
        assert prior is None
    else:
        assert prior.shape == (len(trained.model.units),)
        assert np.exp(prior).sum() == pytest.approx(1, abs=1e-3)


def test_topology_fits_the_units(trained):
    topology, columns = trained.model.topology, len(trained.model.units)
    assert {c for states in topology.states for c in states} | ({topology.blank} - {None}) == set(
        range(columns)
    )
    assert topology.stay.shape == topology.leave.shape == (columns,)
    if topology.kind == "hmm":
        np.testing.assert_allclose(np.exp(topology.stay) + np.exp(topology.leave), 1, rtol=1e-5)
    assert sum(p for _, p in topology.pauses) < 1
    assert {t for t, _ in topology.pauses} <= set(topology.tokens)


def test_emissions_align_with_the_topology(trained):
    topology = trained.model.topology
    tokens = [t for t in dict.fromkeys(topology.symbols) if t not in dict(topology.pauses)][:2]
    lexicon = Lexicon({"A": [(tokens[0],)], "B": [(tokens[1],)]})
    (e,) = trained.model.emit(trained.waveforms[:1], RATE)
    found = align(e, topology, lexicon, ["A", "B"])
    assert [w.text for w in found.words] == ["A", "B"]


def test_ways_to_say_a_word_are_counted(trained):
    """All of MID's occurrences, the one word that can be said in two ways."""
    ways = trained.model.spoken.get("MID", {})
    occurrences = sum(c.supervisions[0].text.split().count("MID") for c in trained.cuts)
    assert occurrences > 3
    assert sum(ways.values()) == (0 if trained.kind == "ctc-characters" else occurrences)
    assert set(ways) <= {("M", "IH", "D"), ("M", "IH")}


def test_saved_and_loaded_is_equal(trained, tmp_path):
    model = trained.model
    model.save(tmp_path / "saved")
    back = type(model).load(tmp_path / "saved")
    assert same(everything(model, trained.waveforms), everything(back, trained.waveforms))
    assert back.units == model.units == Units.load(tmp_path / "saved" / "units.txt")
    assert back.parameters_count() == model.parameters_count() > 0
    assert back.sample_rate == model.sample_rate
    for name in ("stay", "leave"):
        np.testing.assert_array_equal(getattr(back.topology, name), getattr(model.topology, name))
    assert back.topology.states == model.topology.states
    assert back.topology.pauses == model.topology.pauses
    if model.log_prior is not None:
        np.testing.assert_array_equal(back.log_prior, model.log_prior)


def test_same_seed_same_numbers(trained, tmp_path):
    again = trained.again(tmp_path)
    assert same(everything(trained.model, trained.waveforms), everything(again, trained.waveforms))


def test_a_finished_training_is_not_repeated(trained, tmp_path):
    first = trained.again(tmp_path)
    second = trained.again(tmp_path)
    assert same(everything(first, trained.waveforms), everything(second, trained.waveforms))
    assert first.spoken == second.spoken


def test_emit_leaves_its_input_alone_and_repeats(trained):
    copies = [w.copy() for w in trained.waveforms]
    first = everything(trained.model, trained.waveforms)
    assert all(np.array_equal(a, b) for a, b in zip(copies, trained.waveforms, strict=True))
    assert same(first, everything(trained.model, trained.waveforms))


def test_other_sample_rates_are_resampled(trained):
    wave = trained.waveforms[0]
    here = everything(trained.model, [wave])
    there = everything(trained.model, [np.repeat(wave, 3)], 3 * RATE)
    for a, b in zip(here, there, strict=True):
        assert abs(len(a.scores) - len(b.scores)) <= 1


@pytest.mark.parametrize(
    "wave",
    [np.zeros(8000, "f4"), np.zeros(10, "f4"), np.ones(8000, "f4"), np.zeros(1, "f4"), np.zeros(0, "f4")],
    ids=["silence", "ten samples", "constant", "one sample", "no sample"],
)
def test_odd_audio_gives_finite_scores(trained, wave):
    assert all(np.isfinite(e.scores).all() for e in everything(trained.model, [wave]))


def test_no_utterance_gives_no_emissions(trained):
    assert trained.model.emit([], RATE) == []


@pytest.mark.parametrize("damage", ["missing", "truncated", "not json", "no object", "other units"])
def test_damaged_models_are_refused(trained, tmp_path, damage):
    trained.model.save(tmp_path)
    if damage == "missing":
        (tmp_path / "model.safetensors").unlink()
    elif damage == "truncated":
        data = (tmp_path / "model.safetensors").read_bytes()
        (tmp_path / "model.safetensors").write_bytes(data[: len(data) // 2])
    else:
        text = (tmp_path / "model.json").read_text()
        head = json.loads(text)
        if damage == "other units" and "phones" not in head:
            pytest.skip("the units of a network are told once")
        text = {"not json": "{", "no object": "[]"}.get(damage) or json.dumps(
            head | {"phones": head["phones"][::-1]}
        )
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelError):
        factory.load(tmp_path)


def test_nothing_to_train_on_is_an_error_of_ours(trained, tmp_path):
    empty = type(trained)(trained.kind, trained.model, CutSet.from_cuts([]), trained.waveforms)
    with pytest.raises(AsrError):
        empty.again(tmp_path)
