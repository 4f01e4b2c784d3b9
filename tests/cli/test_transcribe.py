"""asr transcribe with a recogniser of beeps: formats, folders, long and bad recordings, exit codes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from asr.cli import transcribe
from asr.decode.hypothesis import Hypothesis, Word
from asr.errors import SearchError, UsageError
from asr.formats import FORMATS
from asr.models.ctc.model import Ctc
from asr.system import System


def beep_times(out: str) -> list[float]:
    return [w["start"] for line in out.splitlines() for s in json.loads(line)["segments"] for w in s["words"]]


@pytest.mark.parametrize(
    "name, rate, channels",
    [
        ("a.wav", 16000, 1),
        ("a.flac", 8000, 1),
        ("a.ogg", 44100, 2),
        ("a.mp3", 48000, 2),
        ("a.wav", 96000, 1),
        ("a.wav", 11025, 5),
    ],
)
def test_any_format_rate_and_channel_count(run, system, record, tmp_path, name, rate, channels):
    path = record(tmp_path / name, [0.5, 2.0], 3.0, rate, channels)
    done = run("transcribe", path, "--model", "m", "-f", "json")
    assert done.code == 0 and done.err == ""
    # mp3 brings its encoder's delay along where its header does not tell it
    assert beep_times(done.out) == pytest.approx([0.5, 2.0], abs=0.06 if name == "a.mp3" else 0.005)


def test_text_goes_to_stdout_a_segment_a_line(run, system, record, tmp_path):
    path = record(tmp_path / "a.wav", [0.3, 0.6, 2.0], 3.0)
    done = run("transcribe", path, "--model", "m")
    assert (done.code, done.out, done.err) == (0, "BEEP BEEP\nBEEP\n", "")


def test_text_of_several_names_the_recordings(run, system, record, tmp_path):
    a, b = record(tmp_path / "a.wav"), record(tmp_path / "b.wav")
    assert run("transcribe", a, b, "--model", "m").out == f"{a}: BEEP\n{b}: BEEP\n"


def test_verbose_shows_times_on_stderr(run, system, record, tmp_path):
    path = record(tmp_path / "a.wav", [0.5, 2.0], 3.0)
    done = run("transcribe", path, "--model", "m", "--verbose", "True")
    assert done.out == "BEEP\nBEEP\n"
    assert done.err == "[00:00.500 --> 00:00.700] BEEP\n[00:02.000 --> 00:02.200] BEEP\n"


def test_all_formats_are_written_whole(run, system, record, tmp_path):
    path, out = record(tmp_path / "a b.wav"), tmp_path / "out"
    assert run("transcribe", path, "--model", "m", "-f", "all", "-o", out).code == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(f"a b{f.suffix}" for f in FORMATS.values())
    for name, f in FORMATS.items():
        done = run("transcribe", path, "--model", "m", "--output_format", name)
        assert (out / f"a b{f.suffix}").read_text(encoding="utf-8") == done.out


def test_folders_are_searched_and_kept(run, system, record, tmp_path):
    for name in ("x/1.wav", "x/deep/1.FLAC", "x/2.wav", "x/2.ogg", "x/.hidden/3.wav", "y.wav"):
        record(tmp_path / name, format={"FLAC": "FLAC", "ogg": "OGG", "wav": "WAV"}[name.split(".")[-1]])
    (tmp_path / "x" / "notes.txt").write_text("not audio")
    out = tmp_path / "out"
    again = tmp_path / "x" / ".." / "x" / "1.wav"
    done = run("transcribe", tmp_path / "x", tmp_path / "y.wav", again, "--model", "m", "--output_dir", out)
    assert done.code == 0
    written = sorted(str(p.relative_to(out)) for p in out.rglob("*.txt"))
    assert written == ["1.txt", "2.ogg.txt", "2.wav.txt", "deep/1.txt", "y.txt"]


def test_two_recordings_of_one_name_are_refused(run, system, record, tmp_path):
    a, b = record(tmp_path / "x" / "1.wav"), record(tmp_path / "y" / "1.wav")
    done = run("transcribe", a, b, "--model", "m", "-o", tmp_path / "out")
    assert done.code == 2
    assert "have the same name" in done.err and str(a) in done.err and str(b) in done.err
    # nothing is written: the lines begin with the paths
    done = run("transcribe", a, b, "--model", "m")
    assert done.code == 0
    assert [line.rpartition(":")[0] for line in done.out.splitlines()] == [str(a), str(b)]
    assert run("transcribe", tmp_path, "--model", "m", "-o", tmp_path / "out").code == 0


def test_a_transcript_that_cannot_be_written_stops_no_other(run, system, record, tmp_path):
    a, b = record(tmp_path / "a.wav"), record(tmp_path / "b.wav")
    (tmp_path / "out" / "a.txt").mkdir(parents=True)
    done = run("transcribe", a, b, "--model", "m", "-o", tmp_path / "out")
    assert done.code == 1 and (tmp_path / "out" / "b.txt").exists()
    assert f"{a}: its transcript cannot be written (Is a directory)" in done.err


def test_long_recordings_keep_exact_times(run, system, record, tmp_path):
    at = [1.0 + 2.5 * i + 0.001 * i for i in range(60)]
    path = record(tmp_path / "long.flac", at, 155.0)
    done = run("transcribe", path, "--model", "m", "-f", "JSON")
    assert len(system.heard) >= 6 and max(system.heard) <= 30 * 16000
    assert sum(system.heard) == 155 * 16000
    assert beep_times(done.out) == [round(t, 3) for t in at]
    assert json.loads(done.out)["duration"] == 155.0


def test_long_recordings_of_another_rate_keep_their_times(run, system, record, tmp_path):
    at = [1.0 + 2.5 * i for i in range(40)]
    path = record(tmp_path / "long.flac", at, 101.0, rate=22050)
    assert beep_times(run("transcribe", path, "--model", "m", "-f", "json").out) == pytest.approx(
        at, abs=0.002
    )
    assert len(system.heard) >= 4


def bad_recordings(folder, record):
    """Path, and what must be said about it."""
    quiet = np.zeros((16000, 1), np.float32)
    yield folder / "empty.wav", "empty"
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "nosamples.wav", quiet[:0], 16000)
    yield folder / "nosamples.wav", "no samples"
    for name in ("cut.wav", "cut.flac"):
        whole = record(folder / name, [0.5], 4.0)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        yield whole, "cut short"
    quiet[5000] = np.nan
    soundfile.write(folder / "nan.wav", quiet, 16000, subtype="FLOAT")
    yield folder / "nan.wav", "NaN"
    (folder / "text.wav").write_text("THE CAT SAT ON THE MAT\n" * 50)
    yield folder / "text.wav", "is text"
    (folder / "noise.mp3").write_bytes(bytes(range(256)) * 20)
    yield folder / "noise.mp3", "noise.mp3"
    yield folder / "missing.wav", "no such"
    (folder / "nothing").mkdir()
    yield folder / "nothing", "no recordings"


def test_bad_recordings_are_named_and_the_rest_is_done(run, system, record, tmp_path):
    first = record(tmp_path / "first.wav", channels=2)
    bad = list(bad_recordings(tmp_path, record))
    last = record(tmp_path / "last.wav", rate=96000)
    out = tmp_path / "out"
    done = run("transcribe", first, *(p for p, _ in bad), last, "--model", "m", "-f", "ctm", "-o", out)
    assert done.code == 1
    assert sorted(p.name for p in out.iterdir()) == ["first.ctm", "last.ctm"]
    lines = [line for line in done.err.splitlines() if line.startswith("asr: error: ")]
    assert len(lines) == len(bad)
    for path, what in bad:
        (line,) = (line for line in lines if str(path) in line)
        assert what in line
    assert "Traceback" not in done.err


def test_recordings_of_a_folder_that_cannot_be_read_are_named(run, system, record, tmp_path):
    (tmp_path / "calls").mkdir()
    record(tmp_path / "calls" / "a.wav")
    (tmp_path / "calls" / "b.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(range(256)))
    (tmp_path / "calls" / "notes.txt").write_text("no sound")
    done = run("transcribe", tmp_path / "calls", "--model", "m", "-o", tmp_path / "out")
    assert done.code == 1 and [p.name for p in (tmp_path / "out").iterdir()] == ["a.txt"]
    assert done.err.count("asr: error: ") == 1 and "b.m4a" in done.err and "convert it to wav" in done.err
    record(tmp_path / "calls" / "b.wav")  # converted, as advised
    done = run("transcribe", tmp_path / "calls", "--model", "m", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.txt", "b.txt"]


def test_a_search_that_fails_names_the_recording(run, system, record, tmp_path, monkeypatch):
    bad, good = record(tmp_path / "bad.wav", [], 1.0), record(tmp_path / "good.wav")
    really = system.transcribe

    def transcribe(waveforms, rate):
        found = really(waveforms, rate)
        if not found[0].words:
            raise SearchError("no path through the graph")
        return found

    monkeypatch.setattr(system, "transcribe", transcribe)
    done = run("transcribe", bad, good, "--model", "m", "-o", tmp_path / "out")
    assert done.code == 1
    assert done.err == f"asr: error: {bad}: no path through the graph\n"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.txt"]


def test_times_end_with_the_recording(run, system, record, tmp_path, monkeypatch):
    """A CTC network has 0.8 s of frames for a shorter recording, and words may lie anywhere in them."""
    words = (Word("A", 0.05, 0.05, 1.0), Word("B", 0.12, 0.2, 1.0), Word("C", 0.6, 0.2, 1.0))
    monkeypatch.setattr(system, "transcribe", lambda waveforms, rate: [Hypothesis(words)])
    path = record(tmp_path / "a.wav", [], 0.15)
    done = run("transcribe", path, "--model", "m", "-f", "json")
    (segment,) = json.loads(done.out)["segments"]
    assert [(w["start"], w["end"]) for w in segment["words"]] == [(0.05, 0.1), (0.12, 0.15), (0.15, 0.15)]


@pytest.mark.parametrize(
    "gpu, device, place",
    [(True, "auto", "cuda"), (True, "cuda", "cuda"), (True, "cpu", None), (False, "auto", None)],
)
def test_a_network_goes_to_the_gpu_that_is_there(monkeypatch, tmp_path, gpu, device, place):
    model = object.__new__(Ctc)
    places = []
    monkeypatch.setattr(Ctc, "to", lambda _, device: places.append(device))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(System, "load", lambda _: SimpleNamespace(name="raw_ctc", model=model))
    transcribe.load_system(tmp_path, transcribe.Device(device), 0)
    assert places == ([place] if place else [])


def test_hmms_say_that_they_stay_on_the_cpu(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(System, "load", lambda _: SimpleNamespace(name="mfcc_hmm", model=object()))
    transcribe.load_system(tmp_path, transcribe.Device.cuda, 0)
    assert capsys.readouterr().err == "asr: mfcc_hmm stays on the CPU\n"


def test_a_gpu_that_is_not_there_is_wrong_use(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="torch sees no GPU"):
        transcribe.load_system(tmp_path, transcribe.Device.cuda, 0)


def test_subtitle_flags(run, system, record, tmp_path):
    path = record(tmp_path / "a.wav", [0.5, 0.9, 1.3, 1.7], 2.5)
    base = ("transcribe", path, "--model", "m", "-f", "srt")
    assert run(*base).out.count("-->") == 1
    assert run(*base, "--max_words_per_line", "1").out.count("-->") == 4
    assert run(*base, "--max_line_width", "9", "--max_line_count", "1").out.count("BEEP BEEP\n") == 2
    no_words = run("transcribe", path, "--model", "m", "-f", "json", "--word_timestamps", "False")
    assert '"words"' not in no_words.out


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["a.wav"], "--model"),
        (["--model", "m"], "'audio'"),
        (["a.wav", "--model", "m", "-f", "doc"], "'doc'"),
        (["a.wav", "--model", "m", "-f", "all"], "-o DIR"),
        (["a.wav", "b.wav", "--model", "m", "-f", "srt"], "-o DIR"),
        (["a.wav", "--model", "m", "--ouput_dir", "x"], "--ouput_dir"),
        (["a.wav", "--model", "m", "-o", "a.wav"], "a.wav"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(run, system, record, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "a.wav"), record(tmp_path / "b.wav")
    done = run("transcribe", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1 and done.err.startswith("asr: error: ")


def test_another_search_than_the_trained_one(run, system, record, tmp_path):
    path = record(tmp_path / "a.wav")
    assert run("transcribe", path, "--model", "m").code == 0 and system.changes == ([], False)
    done = run("transcribe", path, "--model", "m", "--set", "search.beam=8", "--one-pass")
    assert done.code == 0 and system.changes == (["search.beam=8"], True)


def test_a_folder_without_a_model(run, record, tmp_path):
    path = record(tmp_path / "a.wav")
    done = run("transcribe", path, "--model", tmp_path)
    assert done.code == 1
    assert done.err.startswith(f"asr: error: {tmp_path}: no trained system here")
