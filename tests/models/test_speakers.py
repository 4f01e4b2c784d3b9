"""What is known of a speaker: moments are those of all of the audio, and training remembers them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from jiwer import process_words
from lhotse import CutSet
from lhotse.utils import fastcopy
from torch import distributed, multiprocessing

from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.targets import Targets
from asr.models.ctc.training import CtcTraining, collapse
from asr.models.networks.batches import Batch, Batches, Take, Utterances
from asr.models.networks.heard import Heard, moments_of, normalised
from asr.models.networks.network import Network
from asr.models.networks.speakers import KEPT, NOBODY, Speakers, by_speaker, numbered, others
from tests.models.test_ctc import LEXICON, RATE, SMALL, one_thread, tone_cuts, waves_of

__all__ = ["one_thread"]
WHO = torch.tensor([1, 0, NOBODY, 1])


def heard(*lengths: int) -> Heard:
    """Random features of some utterances, with numbers behind their ends that count for nothing."""
    features = torch.randn(len(lengths), 5, max(lengths), generator=torch.Generator().manual_seed(3)) * 3 - 7
    frames = torch.tensor(lengths)
    return Heard(features, frames, frames // 4, moments_of(features, frames))


def test_a_speakers_utterances_are_normalised_as_one() -> None:
    batch = heard(40, 9, 25)
    total = by_speaker(batch.moments, torch.zeros(3, dtype=torch.int64), 1)
    found = normalised(batch, others(total, torch.zeros(3, dtype=torch.int64), batch.moments))
    joined = torch.cat([x[:, :n] for x, n in zip(batch.features, batch.lengths, strict=True)], 1)
    variance, mean = torch.var_mean(joined, 1, correction=0)
    for x, y, n in zip(batch.features, found, batch.lengths, strict=True):
        wanted = (x[:, :n] - mean[:, None]) / (variance[:, None] + 1e-2).sqrt()
        torch.testing.assert_close(y[:, :n], wanted, rtol=1e-4, atol=1e-5)
        assert not y[:, n:].any()


def test_an_unknown_speaker_is_normalised_alone() -> None:
    batch = heard(40, 9, 25, 30)
    company = others(by_speaker(batch.moments, WHO, 2), WHO, batch.moments)
    assert not company[2].any()
    for others_of in (company, None):
        y = normalised(batch, others_of)[2, :, :25]
        variance, mean = torch.var_mean(y, 1, correction=0)
        torch.testing.assert_close(mean, torch.zeros(5), rtol=0, atol=1e-5)
        torch.testing.assert_close(variance, torch.ones(5), rtol=0.01, atol=0)
    torch.testing.assert_close(company[0], batch.moments[3])
    torch.testing.assert_close(company[1], torch.zeros(5, 3), rtol=0, atol=1e-3)


def test_speakers_of_one_utterance_have_no_number() -> None:
    assert numbered(["a", None, "b", "c", "a", None, "c"]).tolist() == [0, NOBODY, NOBODY, 1, 0, NOBODY, 1]
    assert not len(numbered([]))


def test_a_training_remembers_its_speakers() -> None:
    speakers, rng = Speakers(2, 5), np.random.default_rng(1)
    wanted = torch.zeros(2, 5, 3)
    for _ in range(5):
        who = torch.from_numpy(rng.integers(NOBODY, 2, 6))
        moments = torch.from_numpy(rng.standard_normal((6, 5, 3)).astype(np.float32))
        before = wanted.clone()
        found = speakers.company(moments, who)
        assert found is not None
        for k, speaker in enumerate(who.tolist()):
            torch.testing.assert_close(found[k], before[speaker] if speaker != NOBODY else torch.zeros(5, 3))
        for speaker in range(2):
            mine = who == speaker
            wanted[speaker] = KEPT ** int(mine.sum()) * wanted[speaker] + moments[mine].sum(0)
    torch.testing.assert_close(speakers.moments, wanted)
    assert speakers.company(moments, None) is None and Speakers(0, 5).company(moments, who) is None


def remembered(number: int, address: str, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=address, rank=number, world_size=2)
    speakers, batch = Speakers(2, 5), heard(40, 9, 25, 30)
    for _ in range(2):
        company = speakers.company(batch.moments[number::2], WHO[number::2])
        # a batch of one utterance leaves the second process without a part
        speakers.company(batch.moments[:1], WHO[:1], number == 0)
    torch.save((speakers.moments, company), f"{folder}/{number}.pt")
    distributed.destroy_process_group()


def test_processes_remember_what_all_have_heard(tmp_path: Path) -> None:
    multiprocessing.spawn(remembered, (f"file://{tmp_path}/meet", str(tmp_path)), nprocs=2)
    speakers, batch = Speakers(2, 5), heard(40, 9, 25, 30)
    for _ in range(2):
        company = speakers.company(batch.moments, WHO)
        speakers.company(batch.moments[:1], WHO[:1])
    assert company is not None
    for number in range(2):
        memory, own = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        torch.testing.assert_close(memory, speakers.moments)
        torch.testing.assert_close(own, company[number::2])


def test_a_share_of_a_pass_is_alone(tmp_path: Path) -> None:
    batches = Batches(np.random.default_rng(0).uniform(1, 9, 2000), 40.0, (1.0,), 0, 0.3)
    alone = [take.alone for takes in batches for take in takes]
    assert 0.26 < np.mean(alone) < 0.34
    assert not any(t.alone for takes in Batches(np.ones(50), 5.0, (1.0,), None, 0.3) for t in takes)
    utterances = Utterances(
        tone_cuts(tmp_path / "wav", 3), [lambda _: [1]], RATE, tmp_path / "audio", "train"
    )
    batch = utterances[[Take(0, 1.0), Take(1, 1.0, None, True)]]
    assert batch.speakers is not None and batch.speakers.tolist() == [0, NOBODY]
    assert batch.repeated(2).speakers.tolist() == [0, NOBODY] * 2  # type: ignore[union-attr]
    assert [batch.part(k, 3).speakers.tolist() for k in range(3)] == [[0], [NOBODY], [0]]  # type: ignore[union-attr]


def test_a_training_step_knows_what_was_heard_before() -> None:
    settings = CtcSettings(**SMALL, flat_start=0.0, crf=0.0, precision="32-true")
    network = Network.seeded(0, settings, 5)
    generator = torch.Generator().manual_seed(0)
    batches = [
        Batch(
            torch.randn(2, RATE, generator=generator).cumsum(1) ** k,
            torch.tensor([RATE, RATE - 900]),
            torch.tensor([4, 2, 3]),
            torch.tensor([2, 1]),
            speakers=torch.tensor([0, NOBODY]),
        )
        for k in (2, 1)
    ]
    module = CtcTraining(network, settings, (10,), 0, "key", speakers=1)
    module.log = module.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    with torch.no_grad():
        found = [float(module.training_step(batch, k)) for k, batch in enumerate(batches)]
        first, second = (network.hear(b.waveforms, b.samples) for b in batches)
        losses = []
        for known in (1.0, 0.0):
            company = torch.zeros_like(second.moments)
            company[0] = known * first.moments[0]
            encoded = network.encode(second, company)
            log_probs = network.read(encoded.last, network.output)
            losses.append(float(module._loss(log_probs, encoded.frames, batches[1])))
    assert found[1] == pytest.approx(losses[0], rel=1e-5)
    assert abs(losses[1] - losses[0]) > 1e-3


def test_dev_is_judged_as_it_is_recognised(tmp_path: Path) -> None:
    """The last error of the log is that of the speaker's utterances emitted together."""
    cuts, dev = tone_cuts(tmp_path / "train", 8), tone_cuts(tmp_path / "dev", 6, seed=1)
    model = Ctc(CtcSettings(epochs=6, crf=0.0, precision="32-true", **SMALL), LEXICON, seed=1)
    model.fit(cuts, dev, tmp_path / "work")
    with open(tmp_path / "work" / "metrics.csv", newline="") as f:
        logged = [float(row["dev_error"]) for row in csv.DictReader(f) if row["dev_error"]]
    encode = Targets("characters", LEXICON).encode
    wanted = [" ".join(map(str, encode(cut))) for cut in dev]
    found = [" ".join(map(str, collapse(e.scores.argmax(1)))) for e in model.emit(waves_of(dev), RATE)]
    assert logged[-1] == pytest.approx(100 * process_words(wanted, found).wer, abs=1e-3)
    assert 0 < logged[-1] < 100


@pytest.mark.parametrize("share", [None, 0.5])
def test_who_heard_no_voice_twice_recognises_each_utterance_by_itself(
    tmp_path: Path, share: float | None
) -> None:
    cuts = tone_cuts(tmp_path / "wav", 6)
    strangers = CutSet.from_cuts(
        cut.map_supervisions(lambda said: fastcopy(said, speaker=None)) for cut in cuts
    )
    model = Ctc(CtcSettings(epochs=2, phoneme_share=share, **SMALL), LEXICON, seed=1)
    model.fit(strangers, cuts, tmp_path / "work")
    model.save(tmp_path / "saved")
    waves = waves_of(cuts)
    for some in (model, Ctc.load(tmp_path / "saved")):
        for together, wave in zip(some.emit(waves, RATE), waves, strict=True):
            np.testing.assert_allclose(together.scores, some.emit([wave], RATE)[0].scores, atol=1e-4)


def test_an_utterance_without_numbers_leaves_the_others_alone() -> None:
    model = Ctc(CtcSettings(**SMALL), LEXICON, seed=1)
    good = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    with_bad = model.emit([good, np.full(RATE, np.nan, np.float32)], RATE)
    np.testing.assert_allclose(with_bad[0].scores, model.emit([good], RATE)[0].scores, atol=1e-4)
