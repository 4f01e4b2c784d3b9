"""Transcripts on disk: NIST's trn, stm and ctm, Kaldi's text, and jsonl."""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from asr.errors import DataError
from asr.files import run_below

TRN_LINE = re.compile(r"^(?P<text>.*?)\s*\((?P<id>[^()\s]+)\)$")
FIX = (
    'give a .trn (`words (id)`), .jsonl ({"id": ..., "text": ...}), .ctm (`id 1 start length word`), '
    ".stm (`id 1 speaker start end words`) or Kaldi's text (`id words`; name it .text)"
)
# what stm files say of stretches that are not to be scored
IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"

Channel = tuple[str, str]


@dataclass(frozen=True)
class Segment:
    """From when to when a line of an stm file is, in seconds; its name is None where it is not scored."""

    name: str | None
    start: float
    end: float


@dataclass
class Transcripts:
    """Utterance id → text; where the file tells, id → speaker and, in a run's hyp.jsonl, id → reference.

    An stm file brings its segments, by channel in order of time, and a ctm file its words by channel:
    (start, length, word) in order of time, seconds.
    """

    texts: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    segments: dict[Channel, list[Segment]] = field(default_factory=dict)
    words: dict[Channel, list[tuple[float, float, str]]] = field(default_factory=dict)

    def within(self, segments: Mapping[Channel, Sequence[Segment]]) -> Transcripts:
        """The words of a ctm file by segments of an stm file, as sclite cuts them.

        A word belongs to the first segment of its channel that ends after the word's middle, the last one
        takes what comes after it, and what falls to segments that are not scored is dropped. A channel of
        which no word was recognised has no hypotheses.
        """
        found = Transcripts()
        for channel, those in segments.items():
            spoken: list[list[str]] = [[] for _ in those]
            ends = [s.end for s in those]
            for start, length, word in self.words.get(channel, []):
                spoken[min(bisect_right(ends, start + length / 2), len(those) - 1)].append(word)
            if channel in self.words:
                pairs = zip(those, spoken, strict=True)
                found.texts |= {s.name: " ".join(some) for s, some in pairs if s.name is not None}
        # words of channels that the references lack
        found.texts |= {name: "" for channel, name in _names(self.words) if channel not in segments}
        return found


def read_transcripts(path: str | Path) -> Transcripts:
    """Read a trn, jsonl, ctm, stm or Kaldi text file; suffix or name tell the format, else the first line.

    In trn and text files the speaker is the part of the id before the first hyphen or underscore, as for
    sclite's ``-i rm``, where every id has one. In ctm files words are put in order of time, and an utterance
    is a file, or a file and channel where a file has several channels. In stm files it is a segment.

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
    kind = path.suffix.lower().lstrip(".") or path.name
    if kind not in READERS:
        kind = _sniff(numbered[0][1])
        if kind not in READERS:
            raise DataError("no transcripts of a known format", path=path, line=numbered[0][0], fix=FIX)
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
    stm = _stm_fields(line) is not None
    # the speaker of an stm may be a number; then its last word is none, as the confidence of a ctm is one
    if _ctm_fields(line) and (not stm or _is_number(line.split()[-1])):
        return "ctm"
    return "stm" if stm else ""


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _read_trn(path: Path, lines: list[tuple[int, str]]) -> Transcripts:
    found = Transcripts()
    for n, line in lines:
        match = TRN_LINE.match(line)
        if match is None:
            raise DataError("no (id) at the end of the line", path=path, line=n, fix=FIX)
        _refuse_alternatives(match["text"], path, n)
        _add(found, match["id"], match["text"], path, n)
    found.speakers = _speakers(found.texts)
    return found


def _read_text(path: Path, lines: list[tuple[int, str]]) -> Transcripts:
    found = Transcripts()
    for n, line in lines:
        name, *words = line.split()
        _add(found, name, " ".join(words), path, n)
    found.speakers = _speakers(found.texts)
    return found


def _speakers(ids: Iterable[str]) -> dict[str, str]:
    """Utterance id → the part before its first hyphen or underscore; none where an id has no such part."""
    parts = {i: re.split("[-_]", i, maxsplit=1) for i in ids}
    return {i: p[0] for i, p in parts.items()} if all(len(p) == 2 and p[0] for p in parts.values()) else {}


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
            found.references[str(entry["id"])] = unicodedata.normalize("NFC", entry["reference"])
    return found


def _read_ctm(path: Path, lines: list[tuple[int, str]]) -> Transcripts:
    found = Transcripts()
    first: dict[Channel, int] = {}
    for n, line in lines:
        entry = _ctm_fields(line)
        if entry is None:
            raise DataError("not `id channel start length word`", path=path, line=n, fix=FIX)
        channel, start, length, word = entry
        if word.startswith("<ALT"):
            raise DataError("alternatives are not supported", path=path, line=n, fix="keep one")
        found.words.setdefault(channel, []).append((start, length, unicodedata.normalize("NFC", word)))
        first.setdefault(channel, n)
    for channel, name in _names(found.words):
        found.words[channel].sort(key=lambda w: w[0])
        _add(found, name, " ".join(word for *_, word in found.words[channel]), path, first[channel])
    return found


def _names(channels: Collection[Channel]) -> list[tuple[Channel, str]]:
    """What the channels are called: by their file, with the channel where the file has several."""
    several = Counter(file for file, _ in channels)
    return [((file, c), file if several[file] == 1 else f"{file}-{c}") for file, c in channels]


def _ctm_fields(line: str) -> tuple[Channel, float, float, str] | None:
    """File and channel, start and length in seconds and word, or None where the line is no ctm line."""
    fields = line.split()
    if len(fields) not in (5, 6):
        return None
    try:
        return (fields[0], fields[1]), float(fields[2]), float(fields[3]), fields[4]
    except ValueError:
        return None


def _read_stm(path: Path, lines: list[tuple[int, str]]) -> Transcripts:
    found = Transcripts()
    for n, line in lines:
        entry = _stm_fields(line)
        if entry is None:
            raise DataError("not `id channel speaker start end words`", path=path, line=n, fix=FIX)
        channel, speaker, start, end, text = entry
        _refuse_alternatives(text, path, n)
        if not 0 <= start < end:
            raise DataError(f"begins at {start:g} s, ends at {end:g} s", path=path, line=n, fix="mend them")
        name = None if text.upper() == IGNORED else f"{channel[0]}-{channel[1]}-{start:.2f}-{end:.2f}"
        if name is not None:
            _add(found, name, text, path, n)
            found.speakers[name] = speaker
        found.segments.setdefault(channel, []).append(Segment(name, start, end))
    for (file, channel_name), segments in found.segments.items():
        segments.sort(key=lambda s: s.start)
        for one, two in pairwise(segments):
            if two.start < one.end:
                raise DataError(
                    f"channel {channel_name} has two segments at {two.start:g} s",
                    path=path,
                    utterance=file,
                    fix="give speakers who talk at a time channels of their own",
                )
    return found


def _stm_fields(line: str) -> tuple[Channel, str, float, float, str] | None:
    """File and channel, speaker, start and end in seconds and words, or None where it is no stm line."""
    fields = line.split()
    try:
        channel, speaker, start, end = (fields[0], fields[1]), fields[2], float(fields[3]), float(fields[4])
    except (IndexError, ValueError):
        return None
    words = fields[5:]
    if words and words[0].startswith("<") and words[0].endswith(">"):  # labels: <o,f0,female>
        words = words[1:]
    return channel, speaker, start, end, " ".join(words)


def _refuse_alternatives(text: str, path: Path, line: int) -> None:
    if {"{", "}"} & set(text.split()):
        raise DataError("alternatives in { / } are not supported", path=path, line=line, fix="keep one")


def _add(found: Transcripts, name: str, text: str, path: Path, line: int) -> None:
    if name in found.texts:
        raise DataError("appears twice", path=path, line=line, utterance=name, fix="keep one")
    # an accent may be encoded in two ways, which are one to the reader
    found.texts[name] = unicodedata.normalize("NFC", text)


READERS = {"trn": _read_trn, "jsonl": _read_jsonl, "ctm": _read_ctm, "stm": _read_stm, "text": _read_text}
