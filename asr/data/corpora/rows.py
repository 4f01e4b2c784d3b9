"""Rows of a table (a JSON object, a line of a CSV) as utterances, whatever their columns are called."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from asr.data.corpora.utterance import SPLIT_NAMES, Span, Utterance
from asr.errors import DataError
from asr.progress import console

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
        "wav_path",
        "wav_file",
    ),
    "text": ("text", "transcript", "transcription", "sentence"),
    "speaker": ("speaker", "speaker_id", "speaker_name", "spk", "spk_id", "client_id"),
    "split": ("split", "subset", "partition"),
    "channel": ("channel",),
    "start": ("start", "offset", "begin", "from", "onset", "xmin", "tmin"),
    "end": ("end", "stop", "to", "xmax", "tmax"),
    "duration": ("duration", "seconds"),
    "word_align": ("word_align",),
    "phones": ("phones",),
}
"""What other tools call each field, the preferred name first."""
LISTS = {"word_align", "phones"}

_TIMED = re.compile(
    r"(?:time_|t_)?(?P<name>start|offset|begin|onset|end|stop|duration|from|to)_?(?:time)?"
    r"_?(?P<unit>(?:in_)?(?:s|secs?|seconds|ms|msecs?|milliseconds|ss_msec|hh_mm_ss_ms)|)"
)
_THOUSANDTHS = re.compile(r"(?<!ss_)(?:ms|msecs?|milliseconds)$")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_CHANNELS = {"1": 0, "2": 1, "a": 0, "b": 1, "left": 0, "right": 1}


@cache
def field_of(column: str) -> tuple[str, float] | None:
    """Which field a column or key of some name is, and how many of its units are a second; None if none.

    Capitals, blanks and hyphens make no difference, and times may name their unit: ``Begin Time [ms]``.
    """
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.strip())
    plain = re.sub(r"[\W_]+", "_", spelled.lower()).strip("_")
    timed = _TIMED.fullmatch(plain)
    known = timed["name"] if timed else plain
    for name, names in NAMES.items():
        if known in names:
            units = 1000.0 if timed and _THOUSANDTHS.search(timed["unit"]) else 1.0
            return name, units
    return None


def fields(row: Mapping[str, Any]) -> dict[str, tuple[Any, float]]:
    """The fields that a row has, whatever they are called, with their units a second; empty ones are not."""
    found: dict[str, tuple[Any, float]] = {}
    for column, value in row.items():
        if value not in (None, "") and (known := field_of(column)) is not None:
            name, units = known
            if name == "start" and column.strip().lower() == "offset" and _has_onset(row):
                name = "end"
            found.setdefault(name, (value, units))
    return found


def _has_onset(row: Iterable[str]) -> bool:
    return any(column.strip().lower() == "onset" for column in row)


def tell_unused(columns: Iterable[str], path: Path) -> None:
    """Say which columns or keys of a file are no field."""
    if unused := list(columns):
        shown = ", ".join(unused[:8]) + (", ..." if len(unused) > 8 else "")
        console.print(f"asr: {path}: not used: {shown}", markup=False, soft_wrap=True)


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

    known = fields(row)
    given = {key: value for key, (value, _) in known.items()}
    name = str(given.get("id", ""))
    audio, text = given.get("audio"), given.get("text")
    if isinstance(audio, dict):  # as Hugging Face's datasets have it
        audio = audio.get("path")
    if not isinstance(audio, str) or not Path(audio).name:
        raise bad("no path of the audio", f"give it as {NAMES['audio'][0]!r}")
    if not isinstance(text, str):
        raise bad("no text", f"give it as {NAMES['text'][0]!r}")
    start, end, duration = (_seconds(known, key, bad) for key in ("start", "end", "duration"))
    if end is not None:
        if start is None:
            raise bad(f"ends at {end:g} s, and no start is given", f"give it as {NAMES['start'][0]!r}")
        duration = end - start
        if duration <= 0:
            raise bad(f"ends at {end:g} s, before it starts", "write both in seconds from the file's start")
    split = str(given.get("split") or split or "") or None
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
        name = "_".join(name.split())  # an id with blanks fits no trn and no ctm
        name += f"-{round(start * 1000):07d}" if start is not None else ""
        name += f"-{given['channel']}" if "channel" in given else ""
    speaker = given.get("speaker")
    return Utterance(
        id=name,
        audio=base / _at_home(audio),
        text=text,
        speaker=None if speaker is None else str(speaker),
        split=None if split is None else SPLIT_NAMES[split.lower()],
        start=start or 0.0,
        duration=duration,
        channel=_channel(given, bad),
        words=_word_times(given, bad),
        phones=_phones(given, bad),
        where=where,
    )


def _at_home(audio: str) -> Path:
    """A path whose ~ is spelled out, but for one that begins the name of a file."""
    try:
        return Path(audio).expanduser()
    except RuntimeError:  # no user of that name
        return Path(audio)


def _seconds(
    known: Mapping[str, tuple[Any, float]], key: str, bad: Callable[[str, str], DataError]
) -> float | None:
    if key not in known:
        return None
    value, units = known[key]
    clock = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if clock:
            hours, minutes, rest = clock.groups()
            seconds = 3600 * int(hours or 0) + 60 * int(minutes) + float(rest.replace(",", "."))
        else:
            seconds = float(value) / units
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise bad(f"{key} {value!r} is no number of seconds", "write seconds, as in 1.25")
    return seconds


def _channel(row: Mapping[str, Any], bad: Callable[[str, str], DataError]) -> int | None:
    """Which channel of the recording is meant, from 0; None where none is named."""
    if "channel" not in row:
        return None
    value = str(row["channel"]).strip().lower()
    if value in _CHANNELS:
        return _CHANNELS[value]
    if not value.isdecimal() or int(value) < 1:
        raise bad(f"channel {row['channel']!r} is none", "count them from 1, or call two A and B")
    return int(value) - 1


def _word_times(row: Mapping[str, Any], bad: Callable[[str, str], DataError]) -> tuple[Span, ...]:
    """``word_align``: [word, start_s, end_s] triples; silences are left out."""
    try:
        spans = [
            (str(w), float(start), float(end) - float(start)) for w, start, end in row.get("word_align", ())
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
