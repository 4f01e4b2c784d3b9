"""Rows of a table (a JSON object, a line of a CSV) as utterances, whatever their columns are called."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asr.data.corpora.utterance import SPLIT_NAMES, Span, Utterance
from asr.errors import DataError

NAMES = {
    "id": ("id", "utt_id", "utterance_id", "utt", "key"),
    "audio": (
        "audio",
        "audio_filepath",
        "audio_path",
        "audio_file",
        "path",
        "file",
        "filename",
        "file_name",
        "wav",
    ),
    "text": ("text", "transcript", "transcription", "sentence"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "client_id"),
    "split": ("split", "subset", "partition"),
    "start": ("start", "offset", "start_s", "start_time"),
    "end": ("end", "end_s", "end_time", "stop"),
    "duration": ("duration", "duration_s", "seconds"),
}
"""What other tools call each field, the preferred name first."""


def field(row: Mapping[str, Any], name: str) -> Any:
    """The value of a field under any of its names; None if it is absent or empty."""
    for key in NAMES[name]:
        if row.get(key) not in (None, ""):
            return row[key]
    return None


def utterance(
    row: Mapping[str, Any], base: Path, where: tuple[Path, int], split: str | None = None
) -> Utterance:
    """The utterance of a row; relative audio paths start at the folder `base`.

    Raises
    ------
    DataError
        If the audio or the text is missing or a value is of the wrong kind; names file and line.
    """
    path, line = where

    def bad(what: str, fix: str) -> DataError:
        return DataError(what, path=path, line=line, utterance=name or None, fix=fix)

    name = str(field(row, "id") or "")
    audio, text = field(row, "audio"), field(row, "text")
    if not isinstance(audio, str) or not Path(audio).name:
        raise bad("no path of the audio", f"give it as {NAMES['audio'][0]!r}")
    if not isinstance(text, str):
        raise bad("no text", f"give it as {NAMES['text'][0]!r}")
    start, end, duration = (_seconds(row, key, bad) for key in ("start", "end", "duration"))
    if end is not None:
        start, duration = start or 0.0, end - (start or 0.0)
        if duration <= 0:
            raise bad(f"ends at {end:g} s, before it starts", "write both in seconds from the file's start")
    split = str(field(row, "split") or split or "") or None
    if split is not None and split.lower() not in SPLIT_NAMES:
        raise bad(f"unknown split {split!r}", "write train, dev or test")
    if not name:
        # the same for every copy of the corpus: only the part below the folder counts
        below = Path(audio).with_suffix("")
        if below.is_relative_to(base):
            below = below.relative_to(base)
        elif below.is_absolute():
            # as many as tell SPEAKER/wav/001 from another speaker's
            below = Path(*below.parts[-3:])
        name = "-".join(part for part in below.parts if part not in ("/", ".", ".."))
        name += f"-{round(start * 1000):07d}" if start is not None else ""
    speaker = field(row, "speaker")
    return Utterance(
        id=name,
        audio=base / _at_home(audio),
        text=text,
        speaker=None if speaker is None else str(speaker),
        split=None if split is None else SPLIT_NAMES[split.lower()],
        start=start or 0.0,
        duration=duration,
        words=_word_times(row, bad),
        phones=_phones(row, bad),
        where=where,
    )


def _at_home(audio: str) -> Path:
    """A path whose ~ is spelled out, but for one that begins the name of a file."""
    try:
        return Path(audio).expanduser()
    except RuntimeError:  # no user of that name
        return Path(audio)


def _seconds(row: Mapping[str, Any], key: str, bad: Callable[[str, str], DataError]) -> float | None:
    value = field(row, key)
    try:
        seconds = None if value is None else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds is not None and not 0 <= seconds < math.inf:
        raise bad(f"{key} {value!r} is no number of seconds", "write seconds, as in 1.25")
    return seconds


def _word_times(row: Mapping[str, Any], bad: Callable[[str, str], DataError]) -> tuple[Span, ...]:
    """``word_align``: [word, start_s, end_s] triples; silences are left out."""
    try:
        spans = [
            (str(w), float(start), float(end) - float(start)) for w, start, end in row.get("word_align") or ()
        ]
    except (TypeError, ValueError) as e:
        raise bad("word_align is no list of [word, start, end]", "correct or remove it") from e
    return tuple(
        (w.upper(), start, duration) for w, start, duration in spans if w.lower() not in ("sil", "sp")
    )


def _phones(row: Mapping[str, Any], bad: Callable[[str, str], DataError]) -> tuple[str, ...]:
    """``phones``: a list of phonemes, or one such list per word; stress marks are dropped."""
    given = row.get("phones")
    given = [] if given is None else given
    items = given if isinstance(given, list) else [None]
    flat = [phone for item in items for phone in (item if isinstance(item, list) else [item])]
    if not all(isinstance(phone, str) for phone in flat):
        raise bad("phones is no list of phonemes", 'write them as ["HH", "AY1"] or remove it')
    return tuple(re.sub(r"(?<=[A-Z])\d$", "", str(phone)) for phone in flat)
