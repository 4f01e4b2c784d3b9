"""`asr check`: what a thing is, its findings, exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from asr.cli.main import main

ROOT = Path(__file__).parents[2]


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["asr", "check", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_lexicon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("CAT K AE T\n")
    assert run(str(path), monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"lexicon {path}: sound"
    path.write_text("CAT K AE T\nDOG\n")
    assert run(str(path), "--json", monkeypatch=monkeypatch) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["kind"] == "lexicon" and "lexicon.txt:2:" in value["problems"][0]


def test_of_many_problems_of_one_kind_some_are_shown(run, tmp_path: Path) -> None:
    """Whatever words or numbers they name; those of another kind are not lost behind them."""
    table = tmp_path / "table.csv"
    rows = [f"{name}.wav,hello" for name in "abcdefghi"]
    table.write_text("\n".join(["path,text", *rows, "j.wav,"]))
    lines = run("check", table).out.splitlines()
    named = [line for line in lines if line.startswith("problem: ")]
    assert sum("no such audio file; check the path" in line for line in named) == 5
    assert sum("no text; give it as 'text'" in line for line in named) == 1 and len(named) == 6
    assert "... and 4 more problems (--all shows them)" in lines
    assert lines[-1] == f"manifest {table}: 10 problems"
    done = run("check", table, "--all")
    assert done.out.count("problem: ") == 10 and "more problems" not in done.out
    # and where names make kinds of their own it is not too much, either
    names = [f"talk {a}{b} of.wav,hello" for a in "abcdefgh" for b in "abcdefgh"]
    table.write_text("\n".join(["path,text", *names]))
    lines = run("check", table).out.splitlines()
    assert sum(line.startswith("problem: ") for line in lines) == 50
    assert "... and 14 more problems (--all shows them)" in lines


def test_audio_of_a_type_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(range(256)))
    assert run(str(tmp_path / "t.m4a"), monkeypatch=monkeypatch) == 1
    assert "convert it to wav" in capsys.readouterr().out


def test_settings_of_this_project_are_sound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [*ROOT.glob("recipes/*/recipe.yaml"), *ROOT.glob("conf/**/*.yaml")]
    for path in paths:
        assert run(str(path), monkeypatch=monkeypatch) == 0, capsys.readouterr().out
    assert len(paths) >= 4


def test_unknown_key_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("recipe: mine\nmodel: {type: ctc}\nserach: {beam: 9}\n")
    assert run(str(path), monkeypatch=monkeypatch) == 1
    assert "did you mean 'search'?" in capsys.readouterr().out
    path.write_text("corpora: [{name: fsdd}]\nrecpies: [raw_ctc]\n")
    assert run(str(path), monkeypatch=monkeypatch) == 1
    assert "unknown key 'recpies'; did you mean 'recipes'?" in capsys.readouterr().out
    path.write_text("hours: [one]\n")  # a part of a bench
    assert run(str(path), monkeypatch=monkeypatch) == 1
    path.write_text("hours: [1]\n")
    assert run(str(path), monkeypatch=monkeypatch) == 0


def test_what_cannot_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(tmp_path / "gone"), monkeypatch=monkeypatch) == 1
    assert run(str(tmp_path), monkeypatch=monkeypatch) == 1
    (tmp_path / "ref.trn").write_text("THE CAT (ann-1)\n")
    assert run(str(tmp_path / "ref.trn"), monkeypatch=monkeypatch) == 2
    errors = capsys.readouterr().err
    assert "a trn file of transcripts, not a lexicon" in errors
    assert "no such file or folder" in errors and "a folder of no known kind" in errors


def test_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("recipe: mine\nmodel: {type: ctc}\n")
    assert run(str(tmp_path), monkeypatch=monkeypatch) == 1
    out = capsys.readouterr().out
    assert "not a finished run" in out and "no trained system here" in out


def test_corpora_of_a_bench_are_looked_at(run, tmp_path):
    (tmp_path / "mine.csv").write_text("path,text\n")
    for line, says in (
        ("{name: csv, source: gone.csv}", "gone.csv: corpora: no such source of csv; correct `source:`"),
        ("{name: cvs, source: mine.csv}", "did you mean 'csv'"),
        ("{name: csv, source: mine.csv, options: {lexikon: x}}", "'lexikon' is unknown; csv takes: language"),
        (
            "{name: csv, source: mine.csv, options: {lexicon: gone.txt}}",
            "gone.txt: corpora: an option names no",
        ),
        ("{name: csv}", "no source of csv named"),
        (
            "{name: csv, source: mine.csv, options: {language: hau}}",
            "espeak-ng does not speak the language 'hau'",
        ),
    ):
        path = tmp_path / "bench.yaml"
        path.write_text(
            f"corpora:\n  - {line}\nrecipes: [mfcc_hmm]\n".replace("mine", str(tmp_path / "mine"))
        )
        done = run("check", path)
        assert done.code == 1 and says in done.out
    path.write_text(f"corpora:\n  - {{name: csv, source: {tmp_path / 'mine.csv'}}}\nrecipes: [mfcc_hmm]\n")
    done = run("check", path)
    assert done.code == 0 and "corpora: csv\n" in done.out
