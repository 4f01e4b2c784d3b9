"""Reading audio: every format and rate, and one clear error for each kind of bad file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from lhotse import Recording
from lhotse.supervision import SupervisionSegment

from asr.data.audio import change_speed, inspect_audio, load_cut, read_audio, resampled
from asr.errors import AudioError

RATE = 16000


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.w64"])
def test_lossless_formats_give_the_same_samples(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(), RATE, subtype="PCM_16")
    np.testing.assert_allclose(read_audio(tmp_path / name, RATE), tone(), atol=1e-4)


@pytest.mark.parametrize(("name", "rate"), [("a.ogg", 44100), ("a.mp3", 44100), ("a.mp3", 8000)])
def test_lossy_formats_of_other_rates(tmp_path: Path, name: str, rate: int) -> None:
    soundfile.write(tmp_path / name, tone(2.0, rate), rate)
    got = read_audio(tmp_path / name, RATE)
    assert abs(got.size - 2 * RATE) < 0.1 * RATE
    spectrum = np.abs(np.fft.rfft(got[RATE // 2 : RATE // 2 + RATE]))  # one second: bins are hertz
    assert spectrum.argmax() == 440


def test_stereo_at_96_khz_is_mixed_and_resampled(tmp_path: Path) -> None:
    left = tone(1.0, 96000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 96000, subtype="FLOAT")
    got = read_audio(tmp_path / "a.wav", RATE)
    assert got.dtype == np.float32 and got.shape == (RATE,)
    np.testing.assert_allclose(got[200:-200], tone()[200:-200] / 2, atol=2e-3)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_by_blocks_equals_resampling_at_once(
    tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.data.audio.BLOCK", 5000)
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, 31234).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, rate, subtype="FLOAT")
    whole = torchaudio.transforms.Resample(rate, RATE)(torch.from_numpy(noise)).numpy()
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", RATE), whole, atol=1e-5)
    np.testing.assert_array_equal(resampled(noise.astype(float), rate, RATE), whole)


@pytest.mark.parametrize("factor", [0.75, 0.9, 1.0, 1.1, 1.3])
def test_a_faster_tone_is_a_shorter_and_higher_one(factor: float) -> None:
    """As sox's `speed` does: pitch and duration change together, the level stays."""
    time_s = torch.arange(16000) / 16000
    heard = change_speed(0.5 * torch.sin(2 * torch.pi * 1000 * time_s), factor)
    assert len(heard) == pytest.approx(16000 / factor, abs=1)
    again = 0.5 * torch.sin(2 * torch.pi * 1000 * factor * torch.arange(len(heard)) / 16000)
    np.testing.assert_allclose(heard[500:-500], again[500:-500], atol=0.01)


def test_a_rate_without_a_common_divisor_needs_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchaudio's would have 11127 · 16000 numbers."""
    monkeypatch.setattr("asr.data.audio.BLOCK", 5000)
    monkeypatch.setattr("asr.data.audio._resampler", None)
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2.0, 11127), 11127, subtype="FLOAT")
    got = read_audio(path, RATE)
    assert abs(got.size - 2 * RATE) <= 1
    np.testing.assert_allclose(got[300:-300], tone(2.0)[300 : got.size - 300], atol=2e-3)
    recording = Recording.from_file(path)
    of_cut = load_cut(recording.to_cut(), RATE)
    np.testing.assert_allclose(of_cut[300:-300], got[300 : of_cut.size - 300], atol=2e-3)
    at_once = resampled(tone(2.0, 11127), 11127, RATE)
    assert at_once.dtype == np.float32
    np.testing.assert_allclose(at_once[300:-300], tone(2.0)[300 : at_once.size - 300], atol=2e-3)


def test_long_audio_needs_little_more_memory_than_its_result(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((48000 * 240, 2), dtype=np.int16), 48000)
    tracemalloc.start()
    got = read_audio(tmp_path / "a.wav", RATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < got.nbytes + 16 * 2**20  # the result: 15 MB; decoded whole: 92 MB


def written(path: Path, kind: str) -> Path:
    """A file broken in the way `kind` says."""
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello, this is no sound\n" * 9)
    elif kind == "junk":
        path.write_bytes(bytes(range(256)) * 9)
    elif kind == "junk mp3":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "no samples":
        soundfile.write(path, np.zeros(0), RATE, format="WAV")
    elif kind == "nan":
        soundfile.write(path, np.array([0.1, np.nan, 0.2] * 900), RATE, subtype="FLOAT", format="WAV")
    elif kind.startswith("cut "):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE)
        subtype = {"mp3": None, "ogg": "VORBIS", "opus": "OPUS"}.get(kind[4:], "PCM_16")
        soundfile.write(path, noise, RATE, format=kind[4:].upper().replace("OPUS", "OGG"), subtype=subtype)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "empty file"),
        ("text", "is text, not audio"),
        ("junk", r"damaged, or not an audio file that can be read \(.+\)"),
        ("junk mp3", "damaged, or not an audio file that can be read; convert"),
        ("no samples", "holds no samples"),
        ("nan", "holds NaN"),
        ("cut wav", r"promises 4\.00 s, 2\.00 s are there"),
        ("cut flac", r"promises 4\.00 s, 1\.[5-9]\d s are there"),
        ("cut aiff", r"promises 4\.00 s, 2\.00 s are there"),
        ("cut au", r"promises 4\.00 s, 2\.00 s are there"),
        ("cut w64", r"promises (3\.99|4\.00) s, (1\.99|2\.00) s are there"),
        ("cut rf64", r"promises (3\.99|4\.00) s, (1\.99|2\.00) s are there"),
        ("cut nist", r"promises 4\.00 s, 1\.9\d s are there"),
        ("cut ogg", r"cut short in the middle of a page, after [012]\.\d\d s"),
        ("cut opus", r"cut short in the middle of a page, after [012]\.\d\d s"),
        ("cut mp3", r"promises 4\.00 s, 1\.[5-9]\d s are there"),
    ],
)
def test_every_bad_file_has_its_own_error(tmp_path: Path, kind: str, message: str) -> None:
    path = written(tmp_path / ("bad.mp3" if "mp3" in kind else "bad.wav"), kind)
    for reader in (lambda: read_audio(path, RATE), lambda: inspect_audio(path)):
        with pytest.raises(AudioError, match=message) as caught:
            reader()
        assert str(path) in str(caught.value) and caught.value.fix


def test_a_file_of_bare_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(range(256)) * 9)
    for reader in (lambda: read_audio(path, RATE), lambda: inspect_audio(path)):
        with pytest.raises(AudioError, match=r"a\.raw: samples without a header.*; convert it"):
            reader()


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such audio file"):
        read_audio(tmp_path / "nowhere.wav", RATE)
    with pytest.raises(AudioError, match="is a folder"):
        read_audio(tmp_path, RATE)


def test_wav_from_a_pipe_with_unknown_length_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE, subtype="PCM_16")
    raw = bytearray(path.read_bytes())
    raw[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(raw)
    assert read_audio(path, RATE).size == RATE


def varying_mp3(path: Path, quiet: slice) -> None:
    """Eight seconds of noise, partly silence, as an MP3 of varying bit rate that does not tell its length.

    libsndfile estimates it from the rate of the first frames.
    """
    loud = np.random.default_rng(0).uniform(-0.5, 0.5, 8 * RATE)
    loud[quiet] = 0
    soundfile.write(path, loud, RATE, bitrate_mode="VARIABLE", compression_level=0.5)
    raw = path.read_bytes()
    # without the first frame, which holds the true length and no sound
    path.write_bytes(raw[raw.index(raw[:2], raw.index(b"Xing")) :])


def test_an_mp3_that_does_not_tell_its_length_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    varying_mp3(path, slice(0, 4 * RATE))
    assert soundfile.info(path).duration > 10
    assert inspect_audio(path).samples == pytest.approx(8 * RATE, rel=0.02)


def test_an_mp3_that_cannot_be_decoded_to_its_end_is_no_shorter_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    varying_mp3(path, slice(2 * RATE, 8 * RATE))
    seconds = soundfile.info(path).duration
    for reader in (lambda: read_audio(path, RATE), lambda: inspect_audio(path)):
        with pytest.raises(AudioError, match=f"varying bit rate.*ends after {seconds:.2f} s"):
            reader()


def test_chunks_before_the_samples_may_hold_any_words(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE, subtype="PCM_16")
    raw = path.read_bytes()
    title = b"INFOINAM\x11\x00\x00\x00my data, session\x00\x00"
    chunk = b"LIST" + len(title).to_bytes(4, "little") + title
    at = raw.index(b"data")
    body = raw[8:at] + chunk + raw[at:]
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    assert read_audio(path, RATE).size == RATE
    path.write_bytes(path.read_bytes()[: len(body) // 2])
    with pytest.raises(AudioError, match=r"promises 1\.00 s, 0\.[45]\d s are there"):
        read_audio(path, RATE)


def test_facts(tmp_path: Path) -> None:
    for name, hertz in (("a.wav", 440), ("a.flac", 440), ("b.flac", 441)):
        soundfile.write(tmp_path / name, (tone(hertz=hertz) * 32767).astype(np.int16), RATE)
    wav, flac, other = (inspect_audio(tmp_path / name) for name in ("a.wav", "a.flac", "b.flac"))
    assert (wav.sample_rate, wav.channels, wav.samples, wav.seconds) == (RATE, 1, RATE, 1.0)
    assert wav.peak == pytest.approx(0.5, abs=1e-3)
    assert wav.digest == flac.digest != other.digest


def test_load_cut_mixes_resamples_and_names_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(), np.zeros(RATE, dtype=np.float32)], axis=1), RATE, subtype="FLOAT")
    cut = Recording.from_file(path).to_cut()
    cut.supervisions = [SupervisionSegment("a", "a", 0, 1, channel=[0, 1])]
    np.testing.assert_allclose(load_cut(cut, RATE), tone() / 2, atol=1e-6)
    assert load_cut(cut, 8000).shape == (8000,)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(AudioError, match=r"utterance a.*cut short: its header promises 1\.00 s"):
        load_cut(cut, RATE)
