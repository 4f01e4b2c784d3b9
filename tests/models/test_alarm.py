"""Trainings that go wrong are named, those that do not are left alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from asr.models.ctc import training
from asr.models.ctc.alarm import LONGEST, SETTLING, Alarm
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.training import collapse, written
from asr.models.networks.batches import Batch, Batches
from tests.models.test_ctc import LEXICON, SMALL, tone_cuts


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("asr: training")]


def alarm_of(begins: int = 0, steps: int = 10_000, rate: float = 0.002) -> Alarm:
    return Alarm(rate, begins, (steps,), 40, ["phonemes"])


def test_a_collapse_is_named_once_and_only_after_it_lasted(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = alarm_of(begins=50)
    for number in range(50 + LONGEST - 1):
        alarm.step(number, 3.0, [(1.0, 0.0)])
    assert not said(capsys)
    alarm.step(50 + LONGEST, 3.0, [(0.6, 0.9)])
    for number in range(1000, 1000 + 2 * LONGEST):
        alarm.step(number, 3.0, [(0.998, 0.01)])
    (line,) = said(capsys)
    assert line.startswith(
        "asr: training collapsed to blank for 300 steps (99.8% of the frames): try a lower"
    )
    assert "(it is 0.002)" in line and "asr check" in line


def test_learning_by_heart_is_named_with_its_best_pass(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = alarm_of(steps=100)
    for epoch, loss in enumerate((3.0, 2.0, 1.0, 1.05, 1.09, 1.2, 1.3), 1):
        alarm.validated(epoch, loss, 0.6)
    (line,) = said(capsys)
    assert line.startswith(
        "asr: training learned by heart: dev loss 1.200 after pass 6, 1.000 after 3: try more"
    )


def test_a_worse_dev_loss_alone_is_not_learning_by_heart(capsys: pytest.CaptureFixture[str]) -> None:
    """Early in a training both go up and down."""
    alarm = alarm_of(steps=100)
    for epoch, loss in enumerate((3.0, 2.0, 2.5, 2.4), 1):
        alarm.validated(epoch, loss, 2.2)
    assert not said(capsys)


def test_what_masks_cost_on_dev_is_not_learning_by_heart(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a loss that exploded, on dev more than in training."""
    alarm = alarm_of(steps=1000)
    alarm.validated(1, 2.9, 2.0)
    alarm.begin_anew(10)
    alarm.step(10, 2.0, [(0.5, 1.0)])
    alarm.validated(2, 3.4, 2.3)
    alarm.step(10 + SETTLING, 2.0, [(0.5, 1.0)])
    alarm.validated(3, 170_000.0, 48_000.0)
    assert not said(capsys)
    alarm.validated(4, 3.4, 2.3)
    (line,) = said(capsys)
    assert line.startswith("asr: training learned by heart: dev loss 3.400 after pass 4, 2.900 after 1")


def test_an_alarm_goes_on_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """A resumed training says what an unbroken one says, and nothing twice."""
    first, second = (alarm_of() for _ in range(2))
    first.begin_anew(0)
    for number in range(LONGEST - 1):
        first.step(number, 1.0, [(1.0, 0.0)])
    first.validated(1, 1.0, 0.6)
    second.state = json.loads(json.dumps(first.state))
    second.step(LONGEST, 1.0, [(1.0, 0.0)])
    second.validated(2, 1.2, 0.6)
    second.step(LONGEST + 1, 2.1, [(0.5, 1.0)])
    assert [line.split()[2] for line in said(capsys)] == ["collapsed", "learned", "diverges:"]
    third = alarm_of()
    third.state = json.loads(json.dumps(second.state))
    third.validated(3, 1.3, 0.6)
    third.step(LONGEST + 2, 2.5, [(0.5, 1.0)])
    assert not said(capsys)


def test_what_an_older_alarm_has_said_is_not_said_of_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    """It kept the kind alone, which is no line."""
    alarm = alarm_of()
    alarm.state = alarm.state | {"said": ["divergence", "collapse of phonemes"]}
    assert alarm.said == []


def test_each_task_is_watched_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Steps without labels of one do not count for the other; nor does a loss of the second cycle."""
    alarm = Alarm(0.002, 0, (1000, 100), 40, ["phonemes", "characters"])
    heard, deaf = (0.5, 1.0), (0.99, 0.0)
    for number in range(99):
        alarm.step(number, 1.0, [heard, deaf])
    for number in range(99, 198):
        alarm.step(number, 1.0, [deaf, heard])
    assert not said(capsys)
    for number in range(198, 400):
        alarm.step(number, 1.0, [deaf, deaf])
    fix = (
        f"{alarm.lower_rate}, a longer model.flat_start, and `asr check` for texts that are not those of the "
    )
    assert said(capsys) == [
        f"asr: training collapsed to blank ({task}) for 100 steps (99.0% of the frames): try {fix}audio"
        for task in alarm.tasks
    ]
    alarm.step(1000, 9.0, [heard, heard])
    assert not said(capsys)


def test_what_is_written_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(3, 20, 4, generator=generator)
    log_probs[:, :, 0] += 1.0
    frames, lengths = torch.tensor([20, 7, 12]), torch.tensor([5, 2, 4])
    batch = Batch(torch.zeros(3, 1), torch.ones(3), torch.ones(11, dtype=torch.long), lengths)
    blank_rate, coverage = written(log_probs, frames, batch)
    paths = [row[:n] for row, n in zip(log_probs.argmax(2).numpy(), frames.tolist(), strict=True)]
    assert blank_rate == pytest.approx(np.mean(np.concatenate(paths) == 0))
    assert coverage == pytest.approx(sum(len(collapse(p)) for p in paths) / 11)


def test_a_loss_that_rises_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = alarm_of(rate=0.1, steps=1000)
    for number, loss in enumerate((4.0, 2.0, 1.5, 2.9, 3.1, 4.0)):
        alarm.step(number, loss, [(0.5, 1.0)])
    (line,) = said(capsys)
    what = "asr: training diverges: the smoothed loss was 1.50, in step 4 it is 3.10: "
    assert line == what + "try a lower model.learning_rate (it is 0.1)"


def test_batches_of_one_step_count_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = alarm_of()
    for number in range(LONGEST - 1):
        for _ in range(4):
            alarm.step(number, 3.0, [(1.0, 0.0)])
    assert not said(capsys)
    alarm.step(LONGEST, 3.0, [(1.0, 0.0)])
    assert said(capsys)


def test_the_end_of_the_flat_start_is_no_divergence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its loss is of frames, a smaller one: what is smoothed begins anew after it."""
    cuts = tone_cuts(tmp_path / "wav", 8)
    settings = CtcSettings(epochs=20, flat_start=0.5, accumulate=2, **SMALL)
    Ctc(settings, LEXICON, seed=1).fit(cuts, cuts, tmp_path / "work")
    assert not said(capsys)


@pytest.mark.parametrize("masked, wanted", [(1.9, 0), (3.6, 0), (4.5, 1)])
def test_masks_that_begin_raise_the_loss_so_far(
    masked: float, wanted: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was nearly known by heart is not when it is hidden, but no worse than hearing nothing at all."""
    alarm = alarm_of(begins=10, steps=1000)
    for number in range(50):
        alarm.step(number, 0.7, [(0.5, 1.0)])
    alarm.begin_anew(50)
    alarm.step(50, float("nan"), [(0.5, 1.0)])
    for number in range(51, 200):  # the first batch says little of those that follow
        alarm.step(number, masked + (0.4 - masked) * 0.9 ** (number - 51), [(0.5, 1.0)])
    lines = said(capsys)
    assert len(lines) == wanted and all("the smoothed loss was 0.70, in step" in line for line in lines)
    alarm.step(200, 9.0, [(0.5, 1.0)])
    assert len(said(capsys)) == 1 - wanted


def test_masks_that_begin_are_no_divergence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cuts = tone_cuts(tmp_path / "wav", 8)
    hidden = {"calm_start": 0.5, "channel_masks": 2, "channel_mask": 0.9, "dropout": 0.3}
    settings = CtcSettings(**SMALL | hidden, epochs=40, learning_rate=5e-3)
    Ctc(settings, LEXICON, seed=1).fit(cuts, cuts, tmp_path / "work")
    assert not said(capsys)


@pytest.mark.parametrize("deaf, late", [(0, False), (1, False), (1, True)])
def test_a_task_that_collapses_is_named(
    deaf: int, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of either task, and in the second cycle too; the log has the figures of both."""
    cuts = tone_cuts(tmp_path / "wav", 4)
    settings = CtcSettings(**SMALL | {"batch_s": 1.0}, epochs=30, phoneme_share=0.5)
    a_pass = len(Batches(np.array([cut.duration for cut in cuts]), 1.0, (1.0,), None))
    calls = 0

    def planted(log_probs: torch.Tensor, frames: torch.Tensor, batch: Batch) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        task, step = (calls - 1) % 2, (calls - 1) // 2
        # of the four passes of the second cycle the last two
        collapsed = task == deaf and (step >= 32 * a_pass if late else step < 30 * a_pass)
        return (1.0, 0.0) if collapsed else (0.5, 0.75)

    monkeypatch.setattr(training, "written", planted)
    Ctc(settings, LEXICON, seed=1).fit(cuts, cuts, tmp_path / "work")
    steps = json.loads((tmp_path / "work" / "training.json").read_text())["steps"]
    assert calls == 2 * steps == 2 * 34 * a_pass
    (line,) = said(capsys)
    lasted = 5 if late else 12 * a_pass // 4
    what = (
        f"collapsed to blank ({('phonemes', 'characters')[deaf]}) for {lasted} steps (100.0% of the frames)"
    )
    assert line.startswith(f"asr: training {what}: try ")
    with open(tmp_path / "work" / "metrics.csv", newline="") as f:
        rows = [row for row in csv.DictReader(f) if row["loss"]]
    names = ("blank_rate", "blank_rate_characters")
    found = [[float(row[name]) for name in names] for row in rows]
    assert sorted({value for row in found for value in row}) == [0.5, 1.0]
    assert all(row[1 - deaf] == 0.5 for row in found)
    written_labels = {float(row[f"coverage{name}"]) for row in rows for name in training.SUFFIXES}
    assert written_labels == {0.0, 0.75} and all(float(row["gradient_norm"]) > 0 for row in rows)


def test_too_high_a_learning_rate_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A planted fault; with the usual rate nothing is said. At 0.5 this training may still recover."""
    cuts = tone_cuts(tmp_path / "wav", 8)
    for rate, wanted in ((5e-3, 0), (1.0, 1)):
        settings = CtcSettings(epochs=12, learning_rate=rate, **SMALL)
        model = Ctc(settings, LEXICON, seed=1)
        model.fit(cuts, cuts, tmp_path / f"{rate}")
        lines = said(capsys)
        assert [line.split()[2] for line in lines] == ["diverges:"] * wanted, rate
        assert [f"asr: training {alarm}" for alarm in model.alarms] == lines
        # a finished training still knows
        again = Ctc(settings, LEXICON, seed=1)
        again.fit(cuts, cuts, tmp_path / f"{rate}")
        assert again.alarms == model.alarms and not said(capsys)


def test_a_loss_that_explodes_at_once_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Before losses are held against each other; moving from frames to labels is no explosion."""
    alarm = alarm_of(begins=100, rate=0.5)
    for number, loss in enumerate((3.7, 3.5, 80.0, 180.0, 190.0, 400.0)):
        alarm.step(number, loss, [(0.5, 1.0)])
    (line,) = said(capsys)
    what = "diverges: in step 4 the smoothed loss is 190.00, hearing nothing costs about 3.69: try a lower"
    assert line.startswith(f"asr: training {what}")
    again = alarm_of(begins=100)
    again.state = json.loads(json.dumps(alarm.state))
    again.step(101, 3.7, [(0.5, 1.0)])
    again.step(102, 380.0, [(0.5, 1.0)])
    assert not said(capsys)
