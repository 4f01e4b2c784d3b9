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
        "recording",
    ),
    "text": ("text", "transcript", "transcription", "sentence", "annotation"),
    "speaker": ("speaker", "speaker_id", "speaker_name", "spk", "spk_id", "client_id", "participant"),
    "split": ("split", "subset", "partition"),
    "channel": ("channel", "ch"),
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
    r"(?:_(?P<unit>(?:in_)?(?:s|secs?|seconds|ms|msecs?|milliseconds|ss_msec|hh_mm_ss_ms)))?"
)
_THOUSANDTHS = re.compile(r"(?<!ss_)(?:ms|msecs?|milliseconds)$")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_NOBODY = {"", "unknown", "unk", "none", "null", "nan", "n/a", "?", "-"}  # in place of a speaker's name
_SIDES = {"a": 0, "b": 1, "l": 0, "r": 1, "left": 0, "right": 1}


@cache
def _named(column: str) -> tuple[str, str, float] | None:
    """The field, the name of it in NAMES and the units a second of a column; None if it is no field."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.strip())
    plain = re.sub(r"[\W_]+", "_", spelled.lower()).strip("_")
    timed = _TIMED.fullmatch(plain)
    known = timed["name"] if timed else plain
    for name, names in NAMES.items():
        if known in names:
            return name, known, 1000.0 if timed and _THOUSANDTHS.search(timed["unit"] or "") else 1.0
    return None


def field_of(column: str) -> str | None:
    """Which field a column or key of some name is; None if none.

    Capitals, blanks and hyphens make no difference, and times may name their unit: ``Begin Time [ms]``.
    """
    named = _named(column)
    return None if named is None else named[0]


def fields(row: Mapping[str, Any]) -> dict[str, tuple[Any, float]]:
    """The fields that a row has, whatever they are called, with their units a second; empty ones are not.

    Of several columns for a field that with the preferred name counts. An offset is an end where there is an
    onset, and ``from`` and ``to`` are times only where they are numbers.
    """
    named = {column: meant for column in row if (meant := _named(column)) is not None}
    onset = any(known == "onset" for _, known, _ in named.values())
    found: dict[str, tuple[int, Any, float]] = {}
    for column, (name, known, units) in named.items():
        value, rank = row[column], NAMES[name].index(known)
        if value in (None, "") or (known in ("from", "to") and not math.isfinite(_parsed(value))):
            continue
        if known == "offset" and onset:
            name = "end"
        if name not in found or rank < found[name][0]:
            found[name] = (rank, value, units)
    return {name: (value, units) for name, (_, value, units) in found.items()}


def channel_numbers(rows: Iterable[Mapping[str, Any]], path: Path) -> dict[str, int]:
    """Which channel, from 0, is meant by each name of one in a file, which counts them from 1 or from 0.

    Says which names are none, if any.
    """
    names = {_channel_name(found["channel"][0]) for row in rows if "channel" in (found := fields(row))}
    numbers = {name: int(name) for name in names if name.isdecimal()}
    first = 0 if 0 in numbers.values() else 1
    known = {name: number - first for name, number in numbers.items()}
    known |= {name: _SIDES[name] for name in names & _SIDES.keys()}
    if odd := sorted(names - known.keys()):
        console.print(
            f"asr: {path}: no channels, not used: {', '.join(odd[:5])}", markup=False, soft_wrap=True
        )
    return known


def _channel_name(value: Any) -> str:
    return re.sub(r"\.0$", "", str(value).strip().lower())


def _parsed(value: Any, units: float = 1.0) -> float:
    """Seconds that a number or a clock time tells, so many units each; NaN where it is neither."""
    clock = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if clock:
            hours, minutes, rest = clock.groups()
            return 3600 * int(hours or 0) + 60 * int(minutes) + float(rest.replace(",", "."))
        return float(value) / units
    except (TypeError, ValueError, OverflowError):
        return math.nan


def tell_unused(columns: Iterable[str], path: Path) -> None:
    """Say which columns or keys of a file are no field."""
    if unused := list(columns):
        shown = ", ".join(unused[:8]) + (", ..." if len(unused) > 8 else "")
        console.print(f"asr: {path}: not used: {shown}", markup=False, soft_wrap=True)


def utterance(
    row: Mapping[str, Any],
    base: Path,
    where: tuple[Path, int],
    split: str | None = None,
    channels: Mapping[str, int] | None = None,
) -> Utterance:
    """The utterance of a row; relative audio paths start at the folder `base`.

    Parameters
    ----------
    row
        Columns or keys with their values.
    base
        The folder.
    where
        File and line.
    split
        Of rows that name none.
    channels
        What `channel_numbers` says of the file.

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
        if start is None and duration is not None:
            start = end - duration
        if start is None:
            raise bad(f"ends at {end:g} s, and no start is given", f"give it as {NAMES['start'][0]!r}")
        duration = end - start
        if duration <= 0 or start < 0:
            raise bad(f"ends at {end:g} s, before it starts", "write both in seconds from the file's start")
    channel = (channels or {}).get(_channel_name(given.get("channel", "")))
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
        name += f"-{channel + 1}" if channel is not None else ""
    speaker = str(given.get("speaker", "")).strip()
    return Utterance(
        id=name,
        audio=base / _at_home(audio),
        text=text,
        speaker=None if speaker.lower() in _NOBODY else speaker,
        split=None if split is None else SPLIT_NAMES[split.lower()],
        start=start or 0.0,
        duration=duration,
        channel=channel,
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
    seconds = _parsed(value, units)
    if not 0 <= seconds < math.inf:
        raise bad(f"{key} {value!r} is no number of seconds", "write seconds, as in 1.25")
    return seconds


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
