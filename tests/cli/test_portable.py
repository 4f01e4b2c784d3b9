"""A system folder carried to another place writes down the same words, through the real search."""

import json
import shutil

import pytest

from asr.decode.search import SearchSettings
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.system import System
from asr.text.lexicon import Lexicon
from asr.text.ngram import NGram


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run folder with an untrained network: its words are nonsense, but always the same nonsense."""
    folder = tmp_path_factory.mktemp("home") / "phoneme_ctc-1h-s0-abc123"
    lexicon = Lexicon({"CAT": [("K", "AE", "T")], "SAT": [("S", "AE", "T")], "A": [("AH",), ("EY",)]})
    NGram.estimate(["A CAT SAT", "A CAT", "SAT"], order=2).write(folder.parent / "lm.arpa.gz")
    settings = CtcSettings(
        targets="phonemes", sample_rate=8000, channels=8, width=16, blocks=1, lstm_layers=0
    )
    system = System(
        name="phoneme_ctc",
        language="en",
        model=Ctc(settings, lexicon, seed=1),
        lexicon=lexicon,
        lm=folder.parent / "lm.arpa.gz",
        settings=SearchSettings(acoustic_scale=3.0, word_penalty=20.0),
    )
    system.save(folder / "system")
    return folder


def test_the_same_words_elsewhere(run, record, home, tmp_path):
    path = record(tmp_path / "a.wav", [0.5, 1.1, 2.0], 3.0, rate=22050, channels=2)
    at_home = run("transcribe", path, "--model", home, "-f", "json")
    assert (at_home.code, at_home.err) == (0, "")
    segments = json.loads(at_home.out)["segments"]
    words = [w for s in segments for w in s["words"]]
    assert words and {w["word"] for w in words} <= {"CAT", "SAT", "A"}
    assert all(0 <= w["start"] < w["end"] <= 3.1 and 0 <= w["probability"] <= 1 for w in words)

    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(home / "system", moved)
    away = home.with_name("away")
    home.rename(away)
    try:
        assert run("transcribe", path, "--model", moved, "-f", "json").out == at_home.out
    finally:
        away.rename(home)


def test_align_through_the_real_search(run, record, home, tmp_path):
    path = record(tmp_path / "a.wav", [0.5], 2.0)
    done = run("align", path, "a cat sat", "--model", home, "-f", "json")
    assert (done.code, done.err) == (0, "")
    value = json.loads(done.out)
    assert [w["text"] for w in value["words"]] == ["A", "CAT", "SAT"]
    assert [p["text"] for p in value["phones"]][-6:] == ["K", "AE", "T", "S", "AE", "T"]
    bad = run("align", path, "a dog", "--model", home)
    assert bad.code == 1 and "'DOG'" in bad.err and str(path) in bad.err and bad.err.count("\n") == 1


def test_one_sample_and_silence_are_no_failure(run, record, home, tmp_path):
    record(tmp_path / "in" / "tiny.wav", [], 1 / 16000)
    record(tmp_path / "in" / "quiet.wav", [], 2.0)
    done = run("transcribe", tmp_path / "in", "--model", home, "-f", "all", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert len(list((tmp_path / "out").iterdir())) == 14
    done = run("transcribe", tmp_path / "in", "--model", home)
    assert done.code == 0 and f"{tmp_path / 'in' / 'tiny.wav'}: no words found" in done.err
    assert f"{tmp_path / 'in' / 'tiny.wav'}: \n" in done.out
