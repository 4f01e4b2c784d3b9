"""The CTC model on tones: it learns them, resumes exactly, and does not care what it is batched with."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from torch.utils.data import Dataset

from asr.config import parse
from asr.errors import ConfigError, DataError, ModelError, UsageError
from asr.models.ctc import alarm, training
from asr.models.ctc import settings as ctc_settings
from asr.models.ctc.alarm import Alarm
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.targets import Targets
from asr.models.ctc.training import CtcTraining, collapse, divergence, spread_loss, written
from asr.models.networks.batches import (
    AHEAD,
    ROUND_S,
    Ahead,
    Batch,
    Batches,
    Take,
    Utterances,
    frames_needed,
)
from asr.models.networks.checkpoint import SafeCheckpointIO
from asr.models.networks.fit import Final
from asr.models.networks.heard import Heard
from asr.models.networks.machine import device_of, precision_of
from asr.models.networks.network import FRAME_SHIFT_S, MINIMUM_FRAMES, Dropout, Encoded, Network
from asr.models.networks.resume import Resume
from asr.models.networks.schedule import (
    AGAIN,
    RISE,
    dropout_for,
    epochs_for,
    rate_at,
    scheduled,
    validated,
)
from asr.text.lexicon import Lexicon

RATE = 8000
LEXICON = Lexicon({"LOW": [("L", "OW")], "MID": [("M", "IH", "D")], "HIGH": [("HH", "AY")]})
TONES = {"LOW": 300.0, "MID": 900.0, "HIGH": 2500.0}
SMALL = {
    "sample_rate": RATE, "channels": 24, "width": 48, "blocks": 2, "lstm_layers": 1, "dropout": 0.0,
    "time_masks": 0, "channel_masks": 0, "speeds": (1.0,), "batch_s": 1.5, "device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Sums of floats depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tone_cuts(folder: Path, count: int, seed: int = 0, shortest: float = 0.3) -> CutSet:
    """Sentences of two or three tone words, as files below `folder`."""
    rng = np.random.default_rng(seed)
    cuts = []
    for i in range(count):
        words = list(rng.choice(list(TONES), rng.integers(2, 4)))
        pieces = [np.zeros(400)]
        for word in words:
            t = np.arange(int((shortest + 0.1 * rng.random()) * RATE)) / RATE
            pieces += [np.cos(2 * np.pi * TONES[word] * t) * np.hanning(len(t)) * 0.3, np.zeros(400)]
        wave = np.concatenate(pieces) + 0.003 * rng.standard_normal(sum(map(len, pieces)))
        cuts.append(cut_of(folder, f"tone{i}", wave, " ".join(words)))
    return CutSet.from_cuts(cuts)


def cut_of(folder: Path, name: str, wave: np.ndarray, text: str) -> MonoCut:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.wav"
    soundfile.write(path, wave.astype(np.float32), RATE)
    recording = Recording.from_file(path, recording_id=name)
    supervision = SupervisionSegment(name, name, 0.0, recording.duration, text=text, speaker="s")
    return MonoCut(name, 0.0, recording.duration, 0, [supervision], recording=recording)


def waves_of(cuts: CutSet) -> list[np.ndarray]:
    return [c.load_audio()[0] for c in cuts]


@pytest.mark.parametrize("targets", ["phonemes", "characters"])
def test_learns_eight_utterances_of_tones(tmp_path: Path, targets: str) -> None:
    cuts = tone_cuts(tmp_path / "wav", 8)
    model = Ctc(CtcSettings(targets=targets, epochs=40, learning_rate=5e-3, **SMALL), LEXICON, seed=1)
    model.fit(cuts, cuts, tmp_path / "work")
    emissions = model.emit(waves_of(cuts), RATE)
    encode = Targets(targets, LEXICON).encode  # type: ignore[arg-type]
    for cut, e in zip(cuts, emissions, strict=True):
        assert collapse(e.scores.argmax(1)) == encode(cut)
    assert not (tmp_path / "work" / "audio").exists()
    assert (tmp_path / "work" / "metrics.csv").exists()
    assert list((tmp_path / "work" / "tensorboard").glob("events*"))
    assert np.exp(model.log_prior).sum() == pytest.approx(1.0, abs=1e-4)
    # the mean posterior of the training audio itself
    mean = np.exp(np.concatenate([e.scores for e in emissions])).mean(0)
    np.testing.assert_allclose(np.exp(model.log_prior), mean, atol=1e-3)


def test_one_encoder_learns_phonemes_and_characters(tmp_path: Path) -> None:
    """Either can be searched, and which of them is has no part in the training."""
    cuts, found = tone_cuts(tmp_path / "wav", 8), {}
    for targets in ("phonemes", "characters"):
        both = CtcSettings(targets=targets, phoneme_share=0.4, epochs=40, learning_rate=5e-3, **SMALL)
        model = Ctc(both, LEXICON, seed=1)
        # the second finds the training of the first finished, and takes the other output layer
        model.fit(cuts, cuts, tmp_path / "work")
        encode = Targets(targets, LEXICON).encode  # type: ignore[arg-type]
        for cut, e in zip(cuts, model.emit(waves_of(cuts), RATE), strict=True):
            assert collapse(e.scores.argmax(1)) == encode(cut)
        model.save(tmp_path / targets)
        loaded = Ctc.load(tmp_path / targets)
        np.testing.assert_array_equal(
            loaded.emit(waves_of(cuts), RATE)[0].scores, model.emit(waves_of(cuts), RATE)[0].scores
        )
        found[targets] = (tmp_path / "work" / "training.json").read_text(), model.network.state_dict()
    (first, phonemes), (second, characters) = found.values()
    assert first == second
    assert [
        n for n in phonemes if not torch.equal(phonemes[n], characters[n].resize_(phonemes[n].shape))
    ] == [
        "output.weight",
        "output.bias",
    ]


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"targets": "phonemes"}, 0.5),
        ({"targets": "phonemes", "phoneme_share": 1.0}, 1.0),
        ({"targets": "phonemes", "phoneme_share": 0.3}, 0.3),
        ({"targets": "characters"}, 0.0),
    ],
)
def test_many_hours_of_phonemes_are_taught_characters_too(
    settings: dict[str, Any], share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctc_settings, "MANY_H", 1e-4)
    seen = []
    train = training.train

    def watched(network: Network, *arguments: Any) -> None:
        seen.append((len(network.heads), arguments[2].phoneme_share))
        train(network, *arguments)

    monkeypatch.setattr(training, "train", watched)
    cuts = tone_cuts(tmp_path / "wav", 4)
    model = Ctc(CtcSettings(**SMALL | settings | {"epochs": 1}), LEXICON)
    model.fit(cuts, cuts, tmp_path)
    assert seen == [(2 if 0 < share < 1 else 1, share)]
    assert model.settings.phoneme_share == share and model.settings.targets == settings["targets"]
    assert (
        model.emit(waves_of(cuts), RATE)[0].units.symbols
        == Targets(settings["targets"], LEXICON).units.symbols
    )


@pytest.mark.parametrize(
    ("settings", "few", "many"),
    [
        ({"targets": "phonemes"}, (0.0, 1.0), (0.2, 0.5)),
        ({"targets": "characters"}, (0.0, 0.0), (0.2, 0.0)),
        ({"targets": "phonemes", "phoneme_share": 1.0}, (0.0, 1.0), (0.2, 1.0)),
        ({"targets": "characters", "phoneme_share": 0.3}, (0.0, 0.3), (0.2, 0.3)),
        ({"targets": "phonemes", "consistency": 0.5}, (0.5, 1.0), (0.5, 0.5)),
        ({"targets": "phonemes", "consistency": 0.0}, (0.0, 1.0), (0.0, 0.5)),
    ],
)
def test_the_hours_decide_what_was_left_to_them(
    settings: dict[str, Any], few: tuple[float, float], many: tuple[float, float]
) -> None:
    """A budget of two hours comes as close to them as its utterances allow: all its seeds train alike."""
    for hours, expected in (
        (0.1, few),
        (1.9, few),
        (1.9996, many),
        (2.0, many),
        (2.0004, many),
        (30.0, many),
    ):
        decided = CtcSettings(**settings).for_hours(hours)
        assert (decided.consistency, decided.phoneme_share) == expected
        assert decided.for_hours(0.1) == decided.for_hours(30.0) == decided


def test_hours_heard_are_those_of_all_passes_and_maskings() -> None:
    settings = CtcSettings(epochs=10, crf=0.0, calm_start=0.15)
    assert training.heard_hours(1.0, settings) == pytest.approx(10.0)
    # all but the calm 1.5 passes are masked twice
    assert training.heard_hours(3.0, settings) == pytest.approx(3 * (1.5 + 2 * 8.5))
    again = settings.model_copy(update={"crf": 0.3, "crf_passes": 0.2})
    assert training.heard_hours(3.0, again) == pytest.approx(3 * (1.5 + 2 * 10.5))


@pytest.mark.parametrize(("targets", "share"), [("phonemes", 0.0), ("characters", 1.0)])
def test_what_is_searched_must_be_taught(targets: str, share: float) -> None:
    with pytest.raises(ConfigError, match=f"no {targets} are learned"):
        parse(CtcSettings, {"targets": targets, "phoneme_share": share})


def test_tasks_are_weighed_by_their_shares() -> None:
    settings = CtcSettings(phoneme_share=0.3, channels=16, width=32, blocks=1, lstm_layers=1, flat_start=0)
    network = Network.seeded(0, settings, 5, second=4)
    module = CtcTraining(network, settings, (10, 2), 0, "key")
    module.log = module.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    waveforms = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    samples, lengths = torch.tensor([16000, 14000]), torch.tensor([2, 1])
    batch = Batch(
        waveforms, samples, torch.tensor([4, 2, 3]), lengths, (torch.tensor([1, 3, 2]), torch.tensor([1, 2]))
    )
    losses = []
    with torch.no_grad():
        total = float(module.training_step(batch, 0))
        encoded, _, frames = network.encode(network.hear(waveforms, samples))
        for head, task in zip(network.heads, batch.tasks, strict=True):
            log_probs = network.read(encoded, head).transpose(0, 1)
            loss = torch.nn.functional.ctc_loss(
                log_probs, task.targets, frames, task.target_lengths, reduction="sum"
            )
            losses.append(float(loss) / 3)
    assert total == pytest.approx(0.3 * losses[0] + 0.7 * losses[1], rel=1e-5)
    assert abs(losses[0] - losses[1]) > 0.1


def test_divergence_is_half_of_both_between_the_views() -> None:
    generator = torch.Generator().manual_seed(2)
    log_probs = torch.randn(4, 6, 5, generator=generator).log_softmax(2).requires_grad_()
    frames = torch.tensor([6, 4, 6, 4])
    found = divergence(log_probs, frames)
    wanted = torch.zeros(())
    for row, length in enumerate((6, 4)):
        one, other = log_probs[row, :length], log_probs[row + 2, :length]
        for given, target in ((one, other.detach()), (other, one.detach())):
            wanted = wanted + torch.nn.functional.kl_div(given, target, reduction="sum", log_target=True) / 2
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(x, log_probs, retain_graph=True)[0] for x in (found, wanted)]
    torch.testing.assert_close(*gradients)
    assert float(divergence(log_probs.detach()[:2].repeat(2, 1, 1), frames)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("masks", [0, 2])
def test_views_and_the_middle_are_parts_of_the_loss(masks: int) -> None:
    settings = CtcSettings(
        consistency=0.2, intermediate=0.3, dropout=0.0, channels=16, width=32, blocks=1, lstm_layers=1,
        flat_start=0, calm_start=0, time_masks=masks, channel_masks=masks, precision="32-true",
    )  # fmt: skip
    network = Network.seeded(0, settings, 5).train()
    module = CtcTraining(network, settings, (10, 2), 0, "key")
    module.log = module.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    waveforms = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        waveforms, torch.tensor([16000, 14000]), torch.tensor([4, 2, 3]), torch.tensor([2, 1]), None
    )
    with torch.no_grad():
        torch.manual_seed(7)
        total = float(module.training_step(batch, 0))
        torch.manual_seed(7)
        encoded = network.encode(network.hear(waveforms, batch.samples), views=2)
        losses = []
        for hidden in (encoded.last, encoded.middle):
            log_probs = network.read(hidden, network.output)
            of_views = [
                float(module._loss(part, frames, batch))
                for part, frames in zip(log_probs.chunk(2), encoded.frames.chunk(2), strict=True)
            ]
            losses.append(sum(of_views) / 2)
        apart = float(divergence(network.read(encoded.last, network.output), encoded.frames)) / 3
    assert total == pytest.approx(0.7 * losses[0] + 0.3 * losses[1] + 0.2 * apart, rel=1e-5)
    assert (apart > 1e-3) == (masks > 0)
    assert abs(losses[0] - losses[1]) > 0.01


def test_flat_start_spreads_labels_over_the_loud_frames() -> None:
    hop, lengths, targets = 640, [9, 6], [[3, 1, 2], [2, 2]]
    rng = np.random.default_rng(5)
    # the first utterance is quiet in frames 0, 4 and 8, the second nowhere; the batch is padded beyond both
    waveforms = torch.zeros(2, 12 * hop)
    for row, (length, quiet) in enumerate(zip(lengths, [(0, 4, 8), ()], strict=True)):
        level = np.repeat([1e-3 if k in quiet else 0.5 for k in range(length)], hop)
        waveforms[row, : length * hop] = torch.from_numpy(level * rng.standard_normal(length * hop))
    batch = Batch(
        waveforms,
        torch.tensor(lengths) * hop,
        torch.tensor([k for t in targets for k in t]),
        torch.tensor([3, 2]),
    )
    log_probs = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(5)).log_softmax(2)
    wanted = [[0, 3, 3, 1, 0, 1, 2, 2, 0], [2, 2, 2, 2, 2, 2]]
    total = -sum(float(log_probs[b, t, k]) for b, row in enumerate(wanted) for t, k in enumerate(row))
    loss = spread_loss(log_probs, torch.tensor(lengths), batch, hop)
    assert float(loss) == pytest.approx(total / sum(lengths), rel=1e-5)


def test_units_and_topology() -> None:
    phonemes = Ctc(CtcSettings(targets="phonemes", **SMALL), LEXICON)
    assert phonemes.units.symbols == ("<blk>", "AY", "D", "HH", "IH", "L", "M", "OW")
    characters = Ctc(CtcSettings(targets="characters", **SMALL), LEXICON)
    assert characters.units.symbols == ("<blk>", *"DGHILMOW", "|")
    assert characters.topology.blank == 0 and characters.topology.tokens == characters.units.symbols[1:]


def test_characters_end_every_word_and_phones_of_the_corpus_win(tmp_path: Path) -> None:
    cut = cut_of(tmp_path, "a", np.ones(8000) * 0.1, "LOW HIGH")
    spelled = Targets("characters", LEXICON)
    assert spelled.units.decode(spelled.encode(cut)) == list("LOW|HIGH|")
    spoken = Targets("phonemes", LEXICON)
    assert spoken.units.decode(spoken.encode(cut)) == ["L", "OW", "HH", "AY"]
    cut.supervisions[0].custom = {"phones": ["L", "AY"]}
    assert spoken.units.decode(spoken.encode(cut)) == ["L", "AY"]
    cut.supervisions[0].text = "LOUD"
    with pytest.raises(DataError, match="utterance a: characters hold 'U'"):
        spelled.encode(cut)


def test_frames_needed_counts_blanks_between_equal_labels() -> None:
    assert frames_needed([]) == 0
    assert frames_needed([3, 1, 2]) == 3
    assert frames_needed([3, 3, 3, 1, 1]) == 8


@pytest.mark.parametrize("samples", [1, 6000, 6400, 6401, 20000, 20159, 20161])
@pytest.mark.parametrize("frontend", ["waveform", "logmel"])
def test_one_frame_every_40_ms_and_at_least_twenty(samples: int, frontend: str) -> None:
    model = Ctc(CtcSettings(frontend=frontend, **SMALL), LEXICON)
    (e,) = model.emit([np.full(samples, 0.1, dtype=np.float32)], RATE)
    assert e.scores.shape == (
        max(MINIMUM_FRAMES, math.ceil(samples / RATE / FRAME_SHIFT_S)),
        len(model.units),
    )
    assert e.frame_shift_s == FRAME_SHIFT_S and e.kind == "posterior"
    np.testing.assert_allclose(np.exp(e.scores).sum(1), 1.0, atol=1e-5)


@pytest.mark.parametrize("frontend", ["waveform", "logmel"])
def test_emissions_depend_on_the_speaker_not_on_the_batch(
    frontend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    model = Ctc(CtcSettings(frontend=frontend, **SMALL), LEXICON, seed=3)
    waves = [rng.standard_normal(n).astype(np.float32) * 0.1 for n in (2000, 9000, 31000, 12345)]
    waves[3] = np.cumsum(waves[3]) * 0.1  # of another colour
    together = model.emit(waves, RATE)
    monkeypatch.setattr("asr.models.networks.posteriors.EMIT_S", 0.1)  # a batch for each
    apart = model.emit(waves[::-1], RATE)[::-1]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    louder = model.emit([wave * (3 if k == 1 else 1) for k, wave in enumerate(waves)], RATE)
    np.testing.assert_allclose(louder[1].scores, together[1].scores, atol=2e-2)
    (alone,) = model.emit(waves[1:2], RATE)
    assert np.abs(alone.scores - together[1].scores).max() > 0.1
    never = Ctc(CtcSettings(frontend=frontend, alone=1.0, **SMALL), LEXICON, seed=3)
    np.testing.assert_allclose(never.emit(waves, RATE)[1].scores, alone.scores, atol=1e-4)


def test_emit_computes_where_the_network_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Ctc(CtcSettings(**SMALL), LEXICON)
    seen = []

    def hear(waveforms: torch.Tensor, samples: torch.Tensor) -> Heard:
        seen.append((waveforms.device, samples.device))
        lengths = torch.full((len(samples),), 100)
        return Heard(
            torch.zeros(len(samples), 24, 100), lengths, lengths // 4, torch.ones(len(samples), 24, 3)
        )

    def encode(heard: Heard, *_: object) -> Encoded:
        x = torch.zeros(len(heard.frames), 25, model.settings.width)
        return Encoded(x, x, heard.frames)

    monkeypatch.setattr(model.network, "hear", hear)
    monkeypatch.setattr(model.network, "encode", encode)
    monkeypatch.setattr(model.network, "read", lambda x, _: torch.zeros(*x.shape[:2], len(model.units)))
    for device in ("cpu", "meta"):
        model.to(device)
        (e,) = model.emit([np.zeros(RATE, dtype=np.float32)], RATE)
        assert seen.pop() == (torch.device(device), torch.device(device))
        assert e.scores.shape == (25, len(model.units))


@pytest.mark.parametrize("frontend", ["waveform", "logmel"])
def test_the_network_leaves_no_tensor_on_the_cpu(frontend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device, which mixes with no other; its tensors hold no numbers, hence the patch."""
    network = Network(CtcSettings(frontend=frontend, **SMALL), 5).eval().to("meta")
    monkeypatch.setattr(torch.Tensor, "__int__", lambda _: 30)
    waveforms, samples = torch.zeros(2, RATE, device="meta"), torch.zeros(2, dtype=torch.int64, device="meta")
    log_probs, frames = network(waveforms, samples)
    assert log_probs.shape == (2, 30, 5)
    assert log_probs.device.type == frames.device.type == "meta"


def test_the_loss_leaves_no_tensor_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, with masks, dropout and two views; CTC itself has no meta kernel."""
    settings = CtcSettings(**SMALL | {"time_masks": 1, "channel_masks": 1})
    network = Network(settings, 5).train().to("meta")
    network.drop(0.1)
    monkeypatch.setattr(torch.Tensor, "__int__", lambda _: 30)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda _: [1.0] * 4)
    waveforms, samples = torch.zeros(2, RATE, device="meta"), torch.zeros(2, dtype=torch.int64, device="meta")
    batch = Batch(waveforms, samples, samples.repeat(3), samples)
    encoded = network.encode(network.hear(waveforms, samples), views=2)
    log_probs = network.read(encoded.last, network.output)
    twice = batch.repeated(2)
    written(log_probs, encoded.frames, twice)
    loss = divergence(log_probs, encoded.frames) + spread_loss(log_probs, encoded.frames, twice, 640)
    assert log_probs.shape == (4, 30, 5) and loss.device.type == "meta"


@pytest.mark.parametrize(
    ("precision", "device", "native", "wanted"),
    [
        ("auto", "cpu", True, "bf16-mixed"), ("auto", "cpu", False, "32-true"),
        ("auto", "cuda", True, "bf16-mixed"), ("auto", "cuda", False, "32-true"),
        ("32-true", "cuda", True, "32-true"), ("bf16-mixed", "cpu", False, "bf16-mixed"),
    ],
)  # fmt: skip
def test_bfloat16_is_used_where_the_device_has_it(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, native: bool, wanted: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: native and device == "cuda")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native and device == "cpu")
    assert precision_of(CtcSettings(precision=precision), device) == wanted  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(CtcSettings()) == "cpu"
    with pytest.raises(UsageError, match="torch sees 0 GPUs for 1 processes"):
        device_of(CtcSettings(device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of(CtcSettings()) == "cuda" and device_of(CtcSettings(device="cpu")) == "cpu"
    assert device_of(CtcSettings(), 2) == "cpu"
    with pytest.raises(UsageError, match="torch sees 1 GPUs for 2 processes"):
        CtcSettings(device="cuda", processes=2).require()
    CtcSettings(device="cuda", processes=2).require(trained=True)  # elsewhere


def test_silence_and_other_rates_give_finite_emissions() -> None:
    model = Ctc(CtcSettings(**SMALL), LEXICON)
    for wave in (np.zeros(16000), np.ones(16000), np.sin(np.arange(16000)) * 1e-5):
        (e,) = model.emit([wave.astype(np.float32)], 16000)
        assert np.isfinite(e.scores).all() and len(e.scores) == 25
    assert model.emit([], RATE) == []


def test_save_and_load(tmp_path: Path) -> None:
    model = Ctc(CtcSettings(**SMALL), LEXICON, seed=5)
    model.log_prior = np.log(np.full(len(model.units), 1 / len(model.units), dtype=np.float32)) + 0.5
    model.save(tmp_path)
    again = Ctc.load(tmp_path)
    wave = np.random.default_rng(0).standard_normal(9000).astype(np.float32) * 0.1
    np.testing.assert_array_equal(again.emit([wave], RATE)[0].scores, model.emit([wave], RATE)[0].scores)
    np.testing.assert_array_equal(again.log_prior, model.log_prior)
    assert again.units == model.units and again.settings == model.settings
    assert again.parameters_count() == model.parameters_count() > 0
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="not a usable CTC model"):
        Ctc.load(tmp_path)


def test_seeds_repeat() -> None:
    wave = np.random.default_rng(0).standard_normal(9000).astype(np.float32) * 0.1
    scores = [Ctc(CtcSettings(**SMALL), LEXICON, seed=s).emit([wave], RATE)[0].scores for s in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


class Killed(Exception):
    """Stands for kill -9 where nothing is written after it."""


def killed_fit(settings: CtcSettings, cuts: CutSet, folder: Path) -> None:
    """A training in a process that ends by kill -9, in the middle of its fourth pass."""
    torch.set_num_threads(1)
    step = CtcTraining.training_step

    def dies(self, batch, index):  # type: ignore[no-untyped-def]
        if self.current_epoch == 3 and index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, index)

    CtcTraining.training_step = dies  # type: ignore[method-assign]
    alarm.SETTLING = 1
    Ctc(settings, LEXICON, seed=2).fit(cuts, cuts, folder)


@pytest.mark.parametrize(
    ("settings", "factor"), [({}, 0.2), ({"consistency": 0.0}, 0.0), ({"consistency": 0.5}, 0.5)]
)
def test_many_hours_are_masked_twice_and_with_more_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, float], factor: float
) -> None:
    monkeypatch.setattr(ctc_settings, "MANY_H", 1e-4)
    seen = []
    encode = Network.encode

    def watched(self, heard, *arguments, views=1, **named):  # type: ignore[no-untyped-def]
        seen.append((views, self.mask.settings.time_masks))
        return encode(self, heard, *arguments, views=views, **named)

    monkeypatch.setattr(Network, "encode", watched)
    cuts = tone_cuts(tmp_path / "wav", 4)
    Ctc(CtcSettings(**SMALL | settings | {"epochs": 2, "time_masks": 2}), LEXICON).fit(cuts, cuts, tmp_path)
    assert max(seen) == ((2, 5) if factor else (1, 2))


@pytest.mark.parametrize(("accumulate", "optimizer"), [(1, "adamw"), (2, "adamw"), (2, "muon")])
def test_a_resumed_fit_equals_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int, optimizer: str
) -> None:
    monkeypatch.setattr(alarm, "SETTLING", 1)  # in so short a training, too, there is a best pass to remember
    cuts = tone_cuts(tmp_path / "wav", 6)
    # everything random is on: speeds, noise, masks, dropout; and a running average is kept
    random = {
        **SMALL, "dropout": 0.1, "time_masks": 1, "channel_masks": 1, "speeds": (0.9, 1.0, 1.1),
        "accumulate": accumulate, "noise_share": 0.5, "room_share": 0.3, "consistency": 0.2,
        "calm_start": 0.2, "average": 0.8, "optimizer": optimizer,
    }  # fmt: skip
    settings = CtcSettings(epochs=6, **random)
    unbroken = Ctc(settings, LEXICON, seed=2)
    unbroken.fit(cuts, cuts, tmp_path / "a")
    done = json.loads((tmp_path / "a" / "training.json").read_text())
    batches = len(Batches(np.array([c.duration for c in cuts]), settings.batch_s, (1.0,), None))
    assert batches > 2 and done["steps"] == done["epochs"] * math.ceil(batches / accumulate)

    process = multiprocessing.get_context("spawn").Process(
        target=killed_fit, args=(settings, cuts, tmp_path / "b")
    )
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    left = SafeCheckpointIO().load_checkpoint(tmp_path / "b" / "checkpoints" / "last.ckpt")
    epochs, alarms, step = [], [], CtcTraining.training_step

    def noted(self, batch, index):  # type: ignore[no-untyped-def]
        epochs.append(self.current_epoch)
        alarms.append(self.alarm.state)
        return step(self, batch, index)

    with monkeypatch.context() as m:
        m.setattr(CtcTraining, "training_step", noted)
        resumed = Ctc(settings, LEXICON, seed=2)
        resumed.fit(cuts, cuts, tmp_path / "b")
    assert alarms[0] == left["alarm"] and 0 < alarms[0]["best"] < math.inf and alarms[0]["seen"] > 0
    assert sorted(set(epochs)) == [3, 4, 5, 6]  # the last one is a cycle of its own
    logged = [list(csv.DictReader(open(tmp_path / k / "metrics.csv", newline=""))) for k in "ab"]
    assert logged[0] == logged[1] and [row["epoch"] for row in logged[0] if row["dev_error"]] == list(
        "0123456"
    )
    for name, value in unbroken.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0, msg=name)
    np.testing.assert_array_equal(resumed.log_prior, unbroken.log_prior)


def test_a_running_average_of_the_weights_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[torch.Tensor] = []
    monkeypatch.setattr(
        CtcTraining,
        "on_train_batch_end",
        lambda self, *_: weights.append(self.network.output.weight.detach().clone()),
    )
    cuts = tone_cuts(tmp_path / "wav", 4)
    model = Ctc(CtcSettings(epochs=5, average=0.7, **SMALL), LEXICON, seed=2)
    model.fit(cuts, cuts, tmp_path / "a")
    average = weights[0]
    for weight in weights[1:]:
        average = 0.7 * average + 0.3 * weight
    assert len(weights) >= 5 and not torch.equal(weights[0], weights[-1])
    torch.testing.assert_close(model.network.output.weight.detach(), average)


def test_a_training_killed_after_its_last_pass_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm, "HOPELESS", 0.0)  # something is said of it
    cuts = tone_cuts(tmp_path / "wav", 4)
    settings = CtcSettings(epochs=3, average=0.5, **SMALL)
    unbroken = Ctc(settings, LEXICON, seed=2)
    unbroken.fit(cuts, cuts, tmp_path / "a")

    def dies(self: Final, *_: object) -> None:
        raise Killed

    with monkeypatch.context() as m:
        m.setattr(Final, "on_train_end", dies)
        with pytest.raises(Killed):
            Ctc(settings, LEXICON, seed=2).fit(cuts, cuts, tmp_path / "b")
    again = Ctc(settings, LEXICON, seed=2)
    again.fit(cuts, cuts, tmp_path / "b")
    for name, value in unbroken.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0, msg=name)
    assert (tmp_path / "a" / "training.json").read_text() == (tmp_path / "b" / "training.json").read_text()
    assert again.alarms == unbroken.alarms and again.alarms[0].startswith("diverges: in step ")


@pytest.fixture
def epochs_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epoch of every training step from here on."""

    step, epochs = CtcTraining.training_step, []

    def noted(self, batch, index):  # type: ignore[no-untyped-def]
        epochs.append(self.current_epoch)
        return step(self, batch, index)

    monkeypatch.setattr(CtcTraining, "training_step", noted)
    return epochs


def test_a_fit_that_ran_out_of_minutes_does_not_train_again(tmp_path: Path, epochs_run: list[int]) -> None:
    cuts = tone_cuts(tmp_path / "wav", 2)
    settings = CtcSettings(epochs=40, max_minutes=1e-9, **SMALL)
    first = Ctc(settings, LEXICON, seed=2)
    first.fit(cuts, cuts, tmp_path / "work")
    assert max(epochs_run) == 0
    epochs_run.clear()
    again = Ctc(settings, LEXICON, seed=2)
    again.fit(cuts, cuts, tmp_path / "work")
    assert not epochs_run
    for name, value in first.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0, msg=name)
    np.testing.assert_array_equal(again.log_prior, first.log_prior)


def test_minutes_count_across_calls(
    tmp_path: Path, epochs_run: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from asr.models.networks import fit

    cuts = tone_cuts(tmp_path / "wav", 2)
    now = [0.0]
    monkeypatch.setattr(fit, "time", SimpleNamespace(monotonic=lambda: now[0]))
    step = CtcTraining.training_step

    def takes_a_minute(self, batch, index):  # type: ignore[no-untyped-def]
        now[0] += 60.0 if index == 0 else 0.0
        if self.current_epoch == 3 and now[0] < 1000.0:
            raise Killed
        return step(self, batch, index)

    monkeypatch.setattr(CtcTraining, "training_step", takes_a_minute)
    settings = CtcSettings(epochs=19, max_minutes=5, **SMALL)
    with pytest.raises(Killed):
        Ctc(settings, LEXICON).fit(cuts, cuts, tmp_path / "work")
    assert sorted(set(epochs_run)) == [0, 1, 2]
    epochs_run.clear()
    now[0] = 1000.0
    Ctc(settings, LEXICON).fit(cuts, cuts, tmp_path / "work")
    assert sorted(set(epochs_run)) == [3, 4]


@pytest.mark.parametrize("changed", ["data", "settings", "seed"])
def test_checkpoints_of_another_training_are_not_taken_up(
    tmp_path: Path, epochs_run: list[int], capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    cuts = tone_cuts(tmp_path / "wav", 3)
    settings = CtcSettings(epochs=2, **SMALL)
    Ctc(settings, LEXICON).fit(cuts, cuts, tmp_path / "work")
    said = capsys.readouterr().err
    # two passes, and one with the denominator
    assert said.startswith("3 passes of 2 batches of about 2 s, dropout 0.00\n")
    assert "starts again" not in said
    others = tone_cuts(tmp_path / "others", 3, seed=1) if changed == "data" else cuts
    slower = settings.model_copy(update={"learning_rate": 1e-4}) if changed == "settings" else settings
    seed = 1 if changed == "seed" else 0
    epochs_run.clear()
    model = Ctc(slower, LEXICON, seed)
    model.fit(others, others, tmp_path / "work")
    said = capsys.readouterr().err
    assert "is not of this data and these settings, training starts again\n" in said
    assert sorted(set(epochs_run)) == [0, 1, 2]
    fresh = Ctc(slower, LEXICON, seed)
    fresh.fit(others, others, tmp_path / "fresh")
    for name, value in fresh.network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_checkpoints_hold_no_pickle(tmp_path: Path) -> None:
    tree = {"a": {0: torch.ones(2), "b": [1, (2.5, None)]}, "c": True}
    io = SafeCheckpointIO()
    io.save_checkpoint(tree, tmp_path / "x.ckpt")
    back = io.load_checkpoint(tmp_path / "x.ckpt")
    assert (
        back["a"]["b"] == [1, (2.5, None)] and back["c"] is True and torch.equal(back["a"][0], torch.ones(2))
    )
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x04cposix\nsystem\n")
    with pytest.raises(ModelError, match="damaged checkpoint"):
        io.load_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(TypeError, match="object"):
        io.save_checkpoint({"a": object()}, tmp_path / "y.ckpt")


def test_whose_checkpoints_they_are_is_told_without_loading_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"state_dict": {"network.x": torch.ones(3)}, "key": "mine"}
    first = Resume(tmp_path, "mine")
    for path in (first.last, first.final):
        SafeCheckpointIO().save_checkpoint(tensors, path)
    with monkeypatch.context() as m:
        m.setattr(SafeCheckpointIO, "load_checkpoint", lambda *_: pytest.fail("loaded whole"))
        assert Resume(tmp_path, "mine").last.exists()
        assert not Resume(tmp_path, "another").folder.exists()
    SafeCheckpointIO().save_checkpoint({"state_dict": {}}, first.last)
    assert not Resume(tmp_path, "mine").last.exists(), "a checkpoint without a key is of no known training"


def test_damage_to_the_last_checkpoint_stops_no_finished_training(tmp_path: Path) -> None:
    first = Resume(tmp_path, "mine")
    SafeCheckpointIO().save_checkpoint({"state_dict": {"x": torch.ones(3)}, "key": "mine"}, first.final)
    whole = first.final.read_bytes()
    first.last.write_bytes(whole[:-4])
    with pytest.raises(ModelError, match=r"last.ckpt: damaged checkpoint"):
        Resume(tmp_path, "mine")
    first.finish(2, 10)
    assert Resume(tmp_path, "mine").finished
    first.final.write_bytes(whole[:-4])
    with pytest.raises(ModelError, match=r"final.ckpt: damaged checkpoint"):
        Resume(tmp_path, "mine")


@pytest.mark.parametrize(
    ("speeds", "says"),
    [
        ([0.9, 0.09], "speeds.1: must be greater than or equal to 0.1"),
        ([-1.0], "speeds.0: must be greater than or equal to 0.1"),
        ([float("inf")], "speeds.0: must be a finite number"),
        ([], "speeds: Tuple should have at least 1 item"),
    ],
)
def test_impossible_speeds_are_refused(speeds: list[float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(CtcSettings, {"speeds": speeds})
    with pytest.raises(ConfigError, match="noise_snr: the lower ratio comes first"):
        parse(CtcSettings, {"noise_snr": [25, 5]})


def test_ctrl_c_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning would end the program with exit code 1 and not a word."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CtcTraining, "training_step", interrupted)
    cuts = tone_cuts(tmp_path, 3)
    with pytest.raises(KeyboardInterrupt):
        Ctc(CtcSettings(epochs=2, **SMALL), LEXICON).fit(cuts, cuts, tmp_path / "fit")


def test_nothing_is_called_learned_by_heart_before_masks_and_dropout_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    monkeypatch.setattr(Alarm, "validated", lambda self, epoch, *_: judged.append(epoch))
    cuts = tone_cuts(tmp_path, 4)
    settings = CtcSettings(epochs=10, calm_start=0.45, crf=0.0, **SMALL)
    Ctc(settings, LEXICON).fit(cuts, cuts, tmp_path / "fit")
    assert judged == [5, 6, 7, 8, 9, 10]


def test_unusable_utterances_are_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = list(tone_cuts(tmp_path / "wav", 2))
    short = cut_of(tmp_path / "wav", "hurried", np.ones(1600) * 0.1, "MID LOW HIGH MID LOW HIGH")
    foreign = cut_of(tmp_path / "wav", "foreign", np.ones(8000) * 0.1, "LOUD")
    broken = cut_of(tmp_path / "wav", "broken", np.ones(8000) * 0.1, "LOW")
    (tmp_path / "wav" / "broken.wav").write_bytes(b"no audio")
    cuts = CutSet.from_cuts([*good, short, foreign, broken])
    kept = Utterances(cuts, [Targets("characters", LEXICON).encode], RATE, tmp_path / "audio", "train")
    assert kept.ids == ["tone0", "tone1"]
    said = capsys.readouterr().err
    assert "hurried: has 20 frames for labels that need 26" in said
    assert "foreign" in said and "broken.wav" in said and "3 of 5 utterances left out" in said
    with pytest.raises(DataError, match="no usable utterance in train"):
        Ctc(CtcSettings(**SMALL), LEXICON).fit(
            CutSet.from_cuts([short]), CutSet.from_cuts(good), tmp_path / "w"
        )


def test_batches_cover_every_utterance_once_at_about_equal_duration() -> None:
    seconds = np.random.default_rng(0).uniform(1, 9, 200)
    batches = Batches(seconds, 40.0, (0.9, 1.0, 1.1), seed=0)
    first = list(batches)
    assert first == list(batches) and len(first) == len(batches) == round(seconds.sum() / 40)
    assert sorted(i for b in first for i, *_ in b) == list(range(200))
    durations = [sum(seconds[i] / s for i, s, *_ in b) for b in first]
    assert 30 < min(durations) and max(durations) < 50
    padded = sum(len(b) * max(seconds[i] / s for i, s, *_ in b) for b in first)
    assert sum(durations) / padded > 0.85
    batches.set_epoch(1)
    assert list(batches) != first and len(list(batches)) == len(first)


def test_shortest_first_orders_the_first_pass_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = np.random.default_rng(0).uniform(1, 9, 200)
    shuffled, ascending = (Batches(seconds, 40.0, (0.9, 1.0, 1.1), 0, 0.2, first) for first in (False, True))
    both = [[[seconds[i] for i, *_ in takes] for takes in batches] for batches in (shuffled, ascending)]
    means = [[np.mean(lengths) for lengths in batches] for batches in both]
    assert sorted(means[0]) == sorted(means[1])
    with_position = [np.corrcoef(mean, np.arange(len(mean)))[0, 1] for mean in means]
    assert abs(with_position[0]) < 0.5 and with_position[1] > 0.95
    for batches in (shuffled, ascending):
        batches.set_epoch(1)
    assert list(shuffled) == list(ascending)

    heard, step = [], CtcTraining.training_step

    def noted(self, batch, index):  # type: ignore[no-untyped-def]
        heard.append(int(batch.samples.max()))
        return step(self, batch, index)

    monkeypatch.setattr(CtcTraining, "training_step", noted)
    lengths = [0.1, 0.2, 0.4, 0.8, 1.6]
    cuts = CutSet.from_cuts(c for s in lengths for c in tone_cuts(tmp_path / f"{s:g}", 1, shortest=s))
    for first in (True, False):
        heard.clear()
        settings = CtcSettings(epochs=2, shortest_first=first, **SMALL)
        Ctc(settings, LEXICON, seed=1).fit(cuts, cuts, tmp_path / str(first))
        a_pass = len(heard) // (2 + 1)  # the third is the second cycle's
        assert a_pass > 3 and (heard[:a_pass] == sorted(heard[:a_pass])) is first
        assert heard[a_pass : 2 * a_pass] != sorted(heard[a_pass : 2 * a_pass])


def test_batches_have_few_shapes(tmp_path: Path) -> None:
    """Lengths of 64 utterances are nearly all different, those of their batches in five passes are not."""
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(rng.integers(6_000, 30_000)) * 0.1 for _ in range(64)]
    cuts = CutSet.from_cuts(cut_of(tmp_path, f"n{i}", wave, "LOW") for i, wave in enumerate(noise))
    data = Utterances(cuts, [lambda _: [1]], RATE, tmp_path / "audio", "train")
    batches = Batches(data.seconds, 10.0, (0.9, 1.0, 1.1), 0)
    lengths = []
    for epoch in range(5):
        batches.set_epoch(epoch)
        lengths += [batch.waveforms.shape[1] for batch in Ahead(data, batches)]
    assert len({len(wave) for wave in noise}) > 60 and len(lengths) > 50
    assert len(set(lengths)) <= 7 and all(n % round(ROUND_S * RATE) == 0 for n in lengths)


def test_batches_are_made_ahead_on_another_thread() -> None:
    batches = Batches(np.random.default_rng(0).uniform(1, 9, 60), 20.0, (1.0, 1.1), seed=0)
    made: list[str] = []

    class Data(Dataset[list[Take]]):
        def __getitem__(self, takes: list[Take]) -> list[Take]:
            made.append(threading.current_thread().name)
            if len(made) > 2 * len(batches):
                raise DataError("broken")
            return takes

    ahead = Ahead(Data(), batches)
    for epoch in range(2):
        batches.set_epoch(epoch)
        assert list(ahead) == list(batches)
    assert threading.current_thread().name not in made
    with pytest.raises(DataError, match="broken"):
        next(iter(ahead))
    made.clear()
    first = iter(ahead)
    next(first)
    first.close()  # a training that ends in the middle of a pass
    assert AHEAD < len(made) <= AHEAD + 2


def test_a_speed_that_leaves_too_few_frames_is_not_applied(tmp_path: Path) -> None:
    # 26 frames of 40 ms for 25 labels and a blank between equal ones; 10% faster leaves 24
    cut = cut_of(tmp_path, "tight", np.ones(int(1.04 * RATE)) * 0.1, "MID MID MID MID MID MIID")
    utterances = Utterances(
        CutSet.from_cuts([cut]), [Targets("characters", LEXICON).encode], RATE, tmp_path / "a", "train"
    )
    assert utterances[[Take(0, 1.1)]].samples.tolist() == [int(1.04 * RATE)]
    assert utterances[[Take(0, 0.9)]].samples.tolist() == [pytest.approx(int(1.04 * RATE) / 0.9, abs=2)]


def test_fewer_hours_get_more_passes_but_less_work() -> None:
    hours = [0.01, 0.05, 0.1, 0.5, 1.0, 2.27, 10.0, 100.0]
    passes = [epochs_for(h, CtcSettings()) for h in hours]
    assert passes == sorted(passes, reverse=True)
    work = [h * p for h, p in zip(hours, passes, strict=True)]
    assert work == sorted(work)
    # a set that is cut into 48 batches a pass, or into batches of 15 s, has as many steps
    assert [h * 240 * p for h, p in zip(hours[1:3], passes[1:3], strict=True)] == pytest.approx([48 * 40] * 2)
    assert epochs_for(1.0, CtcSettings(epochs=3)) == 3


def test_few_hours_get_more_dropout(tmp_path: Path) -> None:
    settings = CtcSettings(**SMALL | {"dropout": None})
    shares = [dropout_for(h, settings) for h in (0.01, 0.1, 0.5, 16.0)]
    assert shares == pytest.approx([0.4, 0.4, 0.3, 0.15])
    assert dropout_for(1.0, CtcSettings(dropout=0.0)) == 0.0
    model = Ctc(settings.model_copy(update={"epochs": 1}), LEXICON, seed=0)
    assert {part.share for part in model.network.modules() if isinstance(part, Dropout)} == {0.0}
    model.fit(tone_cuts(tmp_path / "train", 4), tone_cuts(tmp_path / "dev", 2, seed=1), tmp_path / "work")
    assert {part.share for part in model.network.modules() if isinstance(part, Dropout)} == {0.4}


@pytest.mark.parametrize("again", [0.0, 0.13])
def test_the_last_pass_is_validated(again: float) -> None:
    for epochs in range(1, 300):
        cycles = scheduled(3600.0, CtcSettings(epochs=epochs), again)
        every = validated(sum(cycles))
        assert len(cycles) == (2 if again else 1) and sum(cycles) % every == 0
        assert sum(cycles) // every <= 25 and 0 <= sum(cycles) - epochs - round(again * epochs) <= every
        assert cycles[0] == epochs or not again


def test_rates_are_those_of_two_cycles_of_torchs() -> None:
    """Each begins where OneCycleLR does, and ends at a thousandth of its peak."""
    cycles = (200, 40)
    for steps, begin, peak in ((200, 0, 1.0), (40, 200, AGAIN)):
        weight = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        # OneCycleLR counts its rise from the step after the first one
        theirs = torch.optim.lr_scheduler.OneCycleLR(
            weight, peak, total_steps=steps + 1, pct_start=(RISE * steps + 1) / (steps + 1),
            cycle_momentum=False, div_factor=10.0, final_div_factor=100.0,
        )  # fmt: skip
        for k in range(1, steps + 1):
            weight.step()
            theirs.step()
            assert rate_at(begin + k, cycles) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9), k
    assert rate_at(0, cycles) == pytest.approx(0.1) and rate_at(30, cycles) == 1.0


def test_gradient_reaches_the_front_end() -> None:
    network = Network(CtcSettings(**SMALL), 5).train()
    log_probs, frames = network(torch.randn(2, RATE) * 0.1, torch.tensor([RATE, RATE // 2]))
    log_probs[:, : int(frames.min()), 1].sum().backward()
    gradient = network.frontend.filters.grad
    assert gradient is not None and torch.isfinite(gradient).all() and (gradient.abs().amax((1, 2)) > 0).all()


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    x = torch.ones(100, 1003, requires_grad=True)
    dropout = Dropout(0.15).train()
    torch.manual_seed(0)
    y = dropout(x)
    assert (y == 0).float().mean() == pytest.approx(0.15, abs=0.005)
    assert y.unique().tolist() == pytest.approx([0.0, 256 / 218])
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    torch.manual_seed(0)
    assert torch.equal(dropout(x), y) and not torch.equal(dropout(x), y)
    # neighbours and the bytes of one random word are independent
    zeros = (y.detach() == 0).float().flatten()
    for apart in (1, 2, 4, 7, 8):
        both = (zeros[:-apart] * zeros[apart:]).mean()
        assert both == pytest.approx(float(zeros.mean()) ** 2, abs=0.003)
    assert dropout.eval()(x) is x and Dropout(0.0).train()(x) is x
