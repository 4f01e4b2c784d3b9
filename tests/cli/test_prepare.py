"""`asr prepare`: summary, list, exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.cli.main import main


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["asr", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        folder = tmp_path / "in" / split
        folder.mkdir(parents=True)
        for n in range(2):
            soundfile.write(folder / f"{n}.wav", random.uniform(-0.3, 0.3, 16000), 16000)
            (folder / f"{n}.txt").write_text("the cat")
    return tmp_path / "in"


def test_summary_as_table_and_json(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("prepare", "folder", "--from", str(source), "--to", str(tmp_path / "out"))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["split", "utterances", "speakers", "hours", "words", "OOV", "words"]
    assert lines[2].split() == ["train", "2", "0", "0.00", "4", "0"]
    assert lines[5:] == [f"{s} may hold voices of train: no speakers are named" for s in ("dev", "test")]
    assert run(*arguments, "--json", monkeypatch=monkeypatch) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["splits"]["test"]["utterances"] == 2 and value["problems"] == []


def test_files_of_the_user_are_not_written_over(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = source / "lexicon.txt"
    own.write_text("THE DH AH0\nCAT K AE1 T # mine\n")
    arguments = ["prepare", "folder", "--from", str(source), "--lexicon", str(own)]
    assert run(*arguments, "--to", str(source), monkeypatch=monkeypatch) == 2
    assert f"{own} would be written over" in capsys.readouterr().err and "# mine" in own.read_text()
    out = tmp_path / "out"
    assert run(*arguments, "--to", str(out), monkeypatch=monkeypatch) == 0
    assert run(*arguments, "--to", str(out), monkeypatch=monkeypatch) == 0  # its own files it may
    arguments[-1] = str(out / "lexicon.txt")
    assert run(*arguments, "--to", str(out), monkeypatch=monkeypatch) == 2


def test_a_corpus_too_small_for_its_splits_is_told(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = tmp_path / "one"
    one.mkdir()
    for suffix in (".wav", ".txt"):
        (source / "train" / f"0{suffix}").rename(one / f"a{suffix}")
    arguments = ("prepare", "folder", "--from", str(one), "--to", str(tmp_path / "out"))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert "too few utterances for dev and test, and a recipe needs" in capsys.readouterr().err


def test_problems_go_to_stderr_and_make_exit_code_1(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "train/0.wav").write_text("no sound")
    (source / "test/0.txt").write_text("the zorblax")
    out = tmp_path / "out"
    assert run("prepare", "folder", "--from", str(source), "--to", str(out), monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr()
    assert "0.wav: utterance train-0: is text, not audio" in printed.err
    assert "1 word is in no lexicon, its pronunciation is a guess: ZORBLAX 1" in printed.out
    assert "1 problem: what could not be used was left out" in printed.out
    assert (out / "corpus.json").exists()


def test_lexicon_and_text(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lexicon, text, out = tmp_path / "words.dict", tmp_path / "more.txt", tmp_path / "out"
    lexicon.write_text("cat K AE T S\n")
    text.write_text("cat the the\n")
    arguments = ("prepare", "folder", "--from", str(source), "--to", str(out))
    more = ("--lexicon", str(lexicon), "--text", str(text))
    assert run(*arguments, *more, monkeypatch=monkeypatch) == 0
    assert "CAT K AE T S\n" in (out / "lexicon.txt").read_text()
    assert (out / "lm.txt").read_text() == "THE CAT\nTHE CAT\nCAT THE THE\n"
    text.unlink()
    assert run(*arguments, *more, monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"asr: error: {text}: cannot be read")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("prepare", "fssd"), 2, "did you mean 'fsdd'?"),
        (("prepare", "fsdd"), 2, "give its folder with --from"),
        (("prepare",), 2, "no corpus named"),
        (("prepare", "fsdd", "--from", "nowhere"), 1, "nowhere: no such file or folder"),
        (("prepare", "fsdd", "--from", ".", "--hours", "2"), 2, "fsdd knows no --hours"),
        (("prepare", "fsdd", "--from", ".", "--text", "x"), 2, "fsdd knows no --text"),
        (("prepare", "fsdd", "--download"), 2, "fsdd cannot be downloaded from here"),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*arguments, monkeypatch=monkeypatch) == code
    assert message in capsys.readouterr().err


def test_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "--list", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16 and all(len(line.split()) > 3 for line in lines)
