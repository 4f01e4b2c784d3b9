"""Noise at the ratio asked for, rooms that leave speech where it was, and the same draw giving the same."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr.errors import DataError
from asr.models.ctc import surroundings
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.surroundings import Surroundings

RATE = 16000


@pytest.fixture
def speech() -> torch.Tensor:
    rng = np.random.default_rng(0)
    bursts = np.repeat(rng.uniform(0, 1, 20), RATE // 10)
    return torch.from_numpy((0.1 * bursts * rng.standard_normal(2 * RATE)).astype(np.float32))


@pytest.mark.parametrize("snr", [0.0, 12.0])
def test_noise_has_the_ratio_asked_for(speech: torch.Tensor, snr: float) -> None:
    heard = Surroundings(CtcSettings(noise_share=1.0, noise_snr=(snr, snr)))(speech, 3)
    noise = heard - speech
    found = 10 * np.log10(float(speech.square().sum() / noise.square().sum()))
    assert found == pytest.approx(snr, abs=0.01)


def test_a_draw_repeats_and_others_differ(speech: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "ROOMS", 4)
    settings = CtcSettings(noise_share=0.5, room_share=0.5)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    once = [Surroundings(settings)(speech, draw) for draw in range(40)]
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)  # a resumed training has another state when it makes its rooms
    around = Surroundings(settings)
    for draw, heard in enumerate(once):
        torch.testing.assert_close(around(speech, draw), heard, rtol=0, atol=0)
        assert heard.shape == speech.shape and heard.dtype == torch.float32 and heard.isfinite().all()
    untouched = sum(torch.equal(heard, speech) for heard in once)
    assert 3 <= untouched <= 18  # a quarter of 40, within three deviations
    assert len({heard.numpy().tobytes() for heard in once}) >= 20  # half of them hold noise of their own


def test_a_room_leaves_speech_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "ROOMS", 8)
    around = Surroundings(CtcSettings(room_share=1.0))
    click = torch.zeros(RATE)
    click[RATE // 4] = 0.5
    for draw in range(8):
        heard = around(click, draw)
        assert abs(int(heard.abs().argmax()) - RATE // 4) <= 2
        assert float(heard[RATE // 4 + 100 :].square().sum()) > 0  # and it rings
        assert heard.square().sum() == pytest.approx(float(click.square().sum()), rel=0.01)


def test_recorded_noise_is_repeated_where_it_is_short(tmp_path: Path, speech: torch.Tensor) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000)  # half a second, at another rate
    soundfile.write(tmp_path / "tone.wav", tone, 8000)
    settings = CtcSettings(noise_share=1.0, noise_snr=(0.0, 0.0), noise_from=str(tmp_path))
    around = Surroundings(settings, settings.noises())
    noise = (around(speech, 1) - speech).numpy()
    for half in np.split(noise, 2):
        assert np.abs(np.fft.rfft(half)).argmax() == pytest.approx(1000, abs=5)


def test_silence_between_noises_is_passed_over(tmp_path: Path, speech: torch.Tensor) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(4 * RATE), RATE)
    soundfile.write(tmp_path / "b.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 4 * RATE), RATE)
    settings = CtcSettings(noise_share=1.0, noise_from=str(tmp_path))
    around = Surroundings(settings, settings.noises())
    assert not any(torch.equal(around(speech, draw), speech) for draw in range(20))


def test_a_folder_without_audio_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no audio") as e:
        CtcSettings(noise_share=0.1, noise_from=str(tmp_path)).noises()
    assert str(tmp_path) in str(e.value)
    assert CtcSettings(noise_share=0.1).noises() == CtcSettings().noises() == []


def test_silence_stays_silence() -> None:
    silence = torch.zeros(RATE)
    assert torch.equal(Surroundings(CtcSettings(noise_share=1.0))(silence, 1), silence)


def test_colours_run_from_white_to_red() -> None:
    tone = torch.sin(torch.arange(RATE) * (2 * torch.pi * 1000 / RATE))
    noisy, slopes = Surroundings(CtcSettings(noise_share=1.0)), []
    for draw in range(60):
        power = np.abs(np.fft.rfft(noisy(tone, draw) - tone)) ** 2
        low, high = power[20:80].mean(), power[2000:8000].mean()
        slopes.append(np.log(low / high) / np.log(5000 / 50))
    assert min(slopes) < 0.3 and max(slopes) > 1.5 and -0.1 < min(slopes) and max(slopes) < 2.1
