"""Transcripts on disk: NIST's trn and ctm, and jsonl."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from asr.errors import DataError
from asr.files import run_below

TRN_LINE = re.compile(r"^(?P<text>.*?)\s*\((?P<id>[^()\s]+)\)$")
FIX = 'give a .trn (`words (id)`), .jsonl ({"id": ..., "text": ...}) or .ctm (`id 1 start length word`)'


@dataclass
class Transcripts:
    """Utterance id → text; where the file tells, id → speaker and, in a run's hyp.jsonl, id → reference."""

    texts: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)


def read_transcripts(path: str | Path) -> Transcripts:
    """Read a trn, jsonl or ctm file; the format is told by the suffix, else by the first line.

    In trn files the speaker is the part of the id before the first hyphen or underscore, as for sclite's
    ``-i rm``, where every id has one. In ctm files words are put in order of time, and an utterance is
    a file, or a file and channel where a file has several channels.

    Raises
    ------
    DataError
        If the file cannot be read, holds no utterance, a line cannot be parsed or an id appears twice.
    """
    path = Path(path)
    try:
        # not splitlines(): texts in JSON may hold other line separators, such as U+2028
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as e:
        raise DataError(f"cannot be read ({e.strerror})", path=path) from e
    except UnicodeDecodeError as e:
        raise DataError("not UTF-8 text", path=path, fix=FIX) from e
    numbered = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    numbered = [(n, line) for n, line in numbered if not line.startswith(";;")]
    if not numbered:
        raise DataError("holds no utterance", path=path, fix=FIX)
    kind = path.suffix.lower().lstrip(".")
    if kind not in READERS:
        kind = _sniff(numbered[0][1])
        if kind not in READERS:
            raise DataError("neither trn, jsonl nor ctm", path=path, line=numbered[0][0], fix=FIX)
    return READERS[kind](path, numbered)


def read_decoded(run: str | Path, split: str) -> Transcripts:
    """What a run recognised on one split of its corpus, with the references; `run` may be RUN/decode/SPLIT.

    Raises
    ------
    DataError
        If the split was not decoded, or the file is damaged.
    """
    path = Path(run) / "decode" / split / "hyp.jsonl"
    if not path.exists() and (Path(run) / "hyp.jsonl").exists():
        path = Path(run) / "hyp.jsonl"  # what another search or on another corpus found
    if not path.exists():
        if not (Path(run) / "decode").is_dir() and not (Path(run) / "config.yaml").exists():
            what = "no run folder" if Path(run).exists() else "no such folder"
            one = run_below(Path(run))
            raise DataError(what, path=run, fix=f"name a run, as {one}" if one else "name a run folder")
        raise DataError(
            f"split {split!r} was not decoded by this run (decode/{split}/hyp.jsonl is missing)",
            path=run,
            fix=f"run `asr evaluate {run} --split {split} --data CORPUS`",
        )
    decoded = read_transcripts(path)
    without = next((i for i in decoded.texts if i not in decoded.references), None)
    if without is not None:
        raise DataError("no reference", path=path, utterance=without, fix="run `asr evaluate` again")
    return decoded


def _sniff(line: str) -> str:
    if line.startswith("{"):
        return "jsonl"
    if TRN_LINE.match(line):
        return "trn"
    return "ctm" if _ctm_fields(line) else ""


def _read_trn(path: Path, lines: list[tuple[int, str]]) -> Transcripts:
    found = Transcripts()
    for n, line in lines:
        match = TRN_LINE.match(line)
        if match is None:
            raise DataError("no (id) at the end of the line", path=path, line=n, fix=FIX)
        if {"{", "}"} & set(match["text"].split()):
            raise DataError("alternatives in { / } are not supported", path=path, line=n, fix="keep one")
        _add(found, match["id"], match["text"], path, n)
    parts = {i: re.split("[-_]", i, maxsplit=1) for i in found.texts}
    if all(len(p) == 2 and p[0] for p in parts.values()):
        found.speakers = {i: p[0] for i, p in parts.items()}
    return found


def _read_jsonl(path: Path, lines: list[tuple[int, str]]) -> Transcripts:
    found = Transcripts()
    for n, line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as e:
            raise DataError(f"not JSON ({e.msg})", path=path, line=n) from e
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str | int):
            raise DataError('no "id"', path=path, line=n, fix=FIX)
        if not isinstance(entry.get("text"), str):
            raise DataError('no "text"', path=path, line=n, utterance=str(entry["id"]), fix=FIX)
        _add(found, str(entry["id"]), entry["text"], path, n)
        if isinstance(entry.get("speaker"), str | int):
            found.speakers[str(entry["id"])] = str(entry["speaker"])
        if isinstance(entry.get("reference"), str):
            found.references[str(entry["id"])] = entry["reference"]
    return found


def _read_ctm(path: Path, lines: list[tuple[int, str]]) -> Transcripts:
    words: dict[tuple[str, str], list[tuple[float, str]]] = {}
    first: dict[tuple[str, str], int] = {}
    for n, line in lines:
        entry = _ctm_fields(line)
        if entry is None:
            raise DataError("not `id channel start length word`", path=path, line=n, fix=FIX)
        file, channel, start, word = entry
        if word.startswith("<ALT"):
            raise DataError("alternatives are not supported", path=path, line=n, fix="keep one")
        words.setdefault((file, channel), []).append((start, word))
        first.setdefault((file, channel), n)
    files = [file for file, _ in words]
    found = Transcripts()
    for (file, channel), spoken in words.items():
        name = file if files.count(file) == 1 else f"{file}-{channel}"
        text = " ".join(word for _, word in sorted(spoken, key=lambda s: s[0]))
        _add(found, name, text, path, first[file, channel])
    return found


def _ctm_fields(line: str) -> tuple[str, str, float, str] | None:
    """File, channel, start in seconds and word, or None where the line is no ctm line."""
    fields = line.split()
    if len(fields) not in (5, 6):
        return None
    try:
        float(fields[3])
        return fields[0], fields[1], float(fields[2]), fields[4]
    except ValueError:
        return None


def _add(found: Transcripts, name: str, text: str, path: Path, line: int) -> None:
    if name in found.texts:
        raise DataError("appears twice", path=path, line=line, utterance=name, fix="keep one")
    found.texts[name] = text


READERS = {"trn": _read_trn, "jsonl": _read_jsonl, "ctm": _read_ctm}
