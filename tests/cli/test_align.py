"""asr align with a recogniser of beeps: formats, text from a file, what is refused."""

import json

import numpy as np
import pytest

from asr.decode.align import Alignment, Segment


@pytest.fixture
def recording(record, tmp_path):
    return record(tmp_path / "a.wav", [0.5, 1.5], 2.5)


def test_textgrid_has_words_and_phones(run, system, recording):
    done = run("align", recording, "hello there", "--model", "m")
    assert (done.code, done.err) == (0, "")
    assert 'name = "words"' in done.out and 'name = "phones"' in done.out
    assert done.out.count('text = "HELLO"') == 1 and done.out.count('text = "IY"') == 2
    assert "xmax = 2.5\n" in done.out


def test_ctm(run, system, recording):
    done = run("align", recording, "hello there", "--model", "m", "-f", "ctm")
    assert done.out == "a 1 0.500 0.200 HELLO 0.7500\na 1 1.500 0.200 THERE 0.7500\n"


def test_json_names_characters_where_the_model_spells(run, system, recording):
    system.tokens = ("C", "|")
    done = run("align", recording, "hello there", "--model", "m", "-f", "json")
    value = json.loads(done.out)
    assert value["words"][0] == {"text": "HELLO", "start": 0.5, "end": 0.7, "probability": 0.75}
    assert [c["text"] for c in value["characters"]] == ["C", "|", "C", "|"]
    assert value["duration"] == 2.5 and value["log_score"] == -12.5


def test_times_end_with_the_recording(run, system, record, tmp_path, monkeypatch):
    """A CTC network has 0.8 s of frames for a shorter recording, and the text may lie anywhere in them."""
    words = tuple(Segment(w, a, d) for w, a, d in (("A", 0.05, 0.05), ("B", 0.12, 0.2), ("C", 0.6, 0.2)))
    none = np.zeros(0, np.int32)
    monkeypatch.setattr(
        system, "align", lambda *_: Alignment(words, words[1:], (), none, none, (), none, -1.0, (1.0,) * 3)
    )
    path = record(tmp_path / "a.wav", [], 0.15)
    value = json.loads(run("align", path, "a b c", "--model", "m", "-f", "json").out)
    assert [(w["start"], w["end"]) for w in value["words"]] == [(0.05, 0.1), (0.12, 0.15), (0.15, 0.15)]
    assert [(p["start"], p["end"]) for p in value["phones"]] == [(0.12, 0.15), (0.15, 0.15)]
    done = run("align", path, "a b c", "--model", "m", "-f", "ctm")
    assert done.out.splitlines()[1:] == ["a 1 0.120 0.030 B 1.0000", "a 1 0.150 0.001 C 1.0000"]


def test_text_from_a_file_and_output_in_a_folder(run, system, recording, tmp_path):
    (tmp_path / "a.txt").write_text("Hello\nthere\n", encoding="utf-8")
    done = run("align", recording, tmp_path / "a.txt", "--model", "m", "-f", "ctm", "-o", tmp_path / "out")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "out" / "a.ctm").read_text().split()[4::6] == ["HELLO", "THERE"]


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "hello xyzzy",
            "a.wav: word 'XYZZY' is not in the lexicon; "
            "add a line `WORD 1.0 P1 P2 ...` to m/lexicon.txt or correct the text",
        ),
        (" ", "the text holds no words"),
        ("missing.txt", "missing.txt: cannot be read (No such file or directory)"),
        ("empty.txt", "empty.txt: the text holds no words"),
        ("latin.txt", "latin.txt: not UTF-8"),
    ],
)
def test_what_cannot_be_aligned(run, system, recording, tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes("größe".encode("latin-1"))
    done = run("align", recording, text, "--model", "m")
    assert (done.code, done.out) == (1, "")
    assert said in done.err and done.err.count("\n") == 1


def test_a_missing_recording(run, system, tmp_path):
    done = run("align", tmp_path / "no.wav", "hello", "--model", "m")
    assert done.code == 1 and "no such audio file" in done.err
