"""Ten utterances are learned by heart, unless something is wrong with them or with the settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet

from asr.cli.main import main
from asr.data.corpora.synth import prepare
from asr.models.ctc.overfit import LEARNED, UTTERANCES, overfit
from asr.models.ctc.settings import CtcSettings
from tests.models.test_ctc import LEXICON, RATE, SMALL, cut_of, one_thread, tone_cuts

__all__ = ["one_thread"]  # many threads take longer over so little

MASKED = SMALL | {"dropout": 0.9, "time_masks": 20, "channel_masks": 20, "speeds": (0.5, 2.0)}


def test_tones_are_learned_whatever_the_masks(tmp_path: Path) -> None:
    result = overfit(CtcSettings(learning_rate=5e-3, **MASKED), LEXICON, tone_cuts(tmp_path, 14))
    assert len(result.utterances) == UTTERANCES and result.scores.rate == 0


def test_silence_is_not(tmp_path: Path) -> None:
    words = ["LOW", "MID HIGH", "HIGH", "LOW LOW MID"]
    silent = CutSet.from_cuts(
        cut_of(tmp_path, f"silent{i}", np.zeros(8000), text) for i, text in enumerate(words)
    )
    result = overfit(CtcSettings(learning_rate=5e-3, **SMALL), LEXICON, silent)
    assert result.scores.rate > 5 * LEARNED


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(
        tmp_path_factory.mktemp("c"), hours=0.02, clean=True, dev_hours=0.002, test_hours=0.002
    ).folder


@pytest.mark.parametrize(("rate", "code"), [(5e-3, 0), (3.0, 1)])
def test_the_command_names_what_is_not_learned(corpus, monkeypatch, capsys, rate, code) -> None:
    small = ("width=48", "blocks=2", "lstm_layers=1", "channels=24", f"learning_rate={rate}")
    arguments = [x for s in small for x in ("--set", f"model.{s}")]
    monkeypatch.setattr("sys.argv", ["asr", "check", str(corpus), "--overfit", "phoneme_ctc", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code or 0) == code
    out = capsys.readouterr().out
    assert "phoneme_ctc after" in out and "of their labels wrong" in out
    if code:
        assert f"lower model.learning_rate (it is {rate:g}); listen to " in out


def test_utterances_that_cannot_be_used_are_passed_over(tmp_path: Path) -> None:
    cuts = list(tone_cuts(tmp_path, 12))
    rng = np.random.default_rng(1)
    middle = np.median([cut.duration for cut in cuts])
    noise = rng.standard_normal(round(middle * RATE)).astype(np.float32) * 0.1
    odd = [
        cut_of(tmp_path, "empty", noise, ""),
        cut_of(tmp_path, "unknown", noise, "XYLOPHONE"),
        cut_of(tmp_path, "crowded", noise, "LOW MID HIGH " * 40),
        cut_of(tmp_path, "broken", noise, "LOW"),
    ]
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    result = overfit(CtcSettings(**SMALL), LEXICON, CutSet.from_cuts(cuts + odd))
    assert len(result.utterances) == UTTERANCES and not {u.id for u in result.utterances} & {
        c.id for c in odd
    }
