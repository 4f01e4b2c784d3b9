"""Transcripts in the formats of other tools: txt, srt, vtt, tsv, json, ctm and TextGrid."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from asr.decode.hypothesis import Word

PAUSE_S = 0.5  # a gap between words at least this long ends a segment
CUE_S = 7.0  # a subtitle that stays longer than this is read twice


@dataclass(frozen=True)
class Transcript:
    """What was said in one recording.

    Attributes
    ----------
    name
        The recording's name, the first column of CTM.
    words
        In the order they were spoken, times in seconds from the start of the recording.
    duration_s
        Length of the recording.
    language
        As in ``en``; empty if unknown.
    tier
        What the words are, a tier's name in TextGrid: ``words``, or ``phones``.
    """

    name: str
    words: tuple[Word, ...]
    duration_s: float
    language: str = ""
    tier: str = "words"

    def segments(self) -> list[tuple[Word, ...]]:
        """The words between pauses."""
        return list(segments(self.words))


def segments(words: Iterable[Word]) -> Iterator[tuple[Word, ...]]:
    """Words cut at pauses of at least PAUSE_S; a segment comes as soon as the word after it does."""
    return _grouped(words, lambda segment, word: word.start_s - _end(segment[-1]) >= PAUSE_S)


@dataclass(frozen=True)
class Layout:
    """How subtitles are broken.

    Attributes
    ----------
    line_width
        Characters in a line; a longer word has a line of its own.
    line_count
        Lines in a subtitle.
    words_per_line
        Words in a line, None for as many as fit.
    word_times
        Whether the words of a segment stand in the JSON.
    """

    line_width: int = 42
    line_count: int = 2
    words_per_line: int | None = None
    word_times: bool = True

    def lines(self, words: Sequence[Word]) -> list[str]:
        """The words broken into lines."""

        def full(line: Sequence[Word], word: Word) -> bool:
            too_wide = len(_text([*line, word])) > self.line_width
            return too_wide or len(line) == self.words_per_line

        return [_text(line) for line in _grouped(words, full)]

    def cues(self, transcript: Transcript) -> list[tuple[int, int, list[str]]]:
        """Subtitles as (start, end, lines), times in ms: in order, none empty, none overlapping the next."""

        def full(cue: Sequence[Word], word: Word) -> bool:
            too_long = _end(word) - cue[0].start_s > CUE_S
            return too_long or len(self.lines([*cue, word])) > self.line_count

        cues = [cue for segment in transcript.segments() for cue in _grouped(segment, full)]
        times = _apart([(cue[0].start_s, _end(cue[-1])) for cue in cues])
        return [(start, end, self.lines(cue)) for (start, end), cue in zip(times, cues, strict=True)]


def txt(transcript: Transcript, layout: Layout) -> str:
    """One segment a line."""
    return "".join(_text(segment) + "\n" for segment in transcript.segments())


def srt(transcript: Transcript, layout: Layout) -> str:
    """SubRip subtitles."""
    return "".join(
        f"{i}\n{_clock(start, ',')} --> {_clock(end, ',')}\n" + "\n".join(lines) + "\n\n"
        for i, (start, end, lines) in enumerate(layout.cues(transcript), start=1)
    )


def vtt(transcript: Transcript, layout: Layout) -> str:
    """WebVTT subtitles.

    Reference: W3C WebVTT, section 4 (hours may be left out, ``&``, ``<`` and ``>`` are escaped).
    """
    escape = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    return "WEBVTT\n\n" + "".join(
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n" + "\n".join(lines).translate(escape) + "\n\n"
        for start, end, lines in layout.cues(transcript)
    )


def tsv(transcript: Transcript, layout: Layout) -> str:
    """Start and end in ms and the text of each segment, with a header line, as whisper writes them."""
    rows = ["start\tend\ttext"]
    listed = transcript.segments()
    times = _apart([(segment[0].start_s, _end(segment[-1])) for segment in listed])
    rows += [f"{a}\t{b}\t{_text(segment)}" for (a, b), segment in zip(times, listed, strict=True)]
    return "\n".join(rows) + "\n"


def json_line(transcript: Transcript, layout: Layout) -> str:
    """One line of JSON with whisper's keys: text, language, segments with id, start, end, text and words."""
    listed = []
    for i, segment in enumerate(transcript.segments()):
        value = {"id": i, **_times(segment), "text": _text(segment)}
        if layout.word_times:
            value["words"] = [
                {"word": w.text, **_times([w]), "probability": round(w.confidence, 4)} for w in segment
            ]
        listed.append(value)
    head = {"file": transcript.name, "language": transcript.language, "text": _text(transcript.words)}
    value = {**head, "duration": round(transcript.duration_s, 3), "segments": listed}
    return json.dumps(value, ensure_ascii=False) + "\n"


def ctm(transcript: Transcript, layout: Layout) -> str:
    """NIST CTM: file, channel, start, duration, word, confidence.

    Reference: sclite's documentation, "ctm file format": fields cannot hold white space.
    """
    name = re.sub(r"\s", lambda blank: quote(blank[0]), transcript.name)
    times = _apart([(w.start_s, _end(w)) for w in transcript.words])
    return "".join(
        f"{name} 1 {start / 1000:.3f} {(end - start) / 1000:.3f} {w.text} {w.confidence:.4f}\n"
        for (start, end), w in zip(times, transcript.words, strict=True)
    )


def textgrid(transcript: Transcript, layout: Layout) -> str:
    """A Praat TextGrid with one tier."""
    words = [(w.start_s, _end(w), w.text) for w in transcript.words]
    return textgrid_tiers({transcript.tier: words}, transcript.duration_s)


def textgrid_tiers(tiers: Mapping[str, Sequence[tuple[float, float, str]]], duration_s: float) -> str:
    """A Praat TextGrid in its long form; empty intervals fill the gaps, as Praat asks.

    Parameters
    ----------
    tiers
        For each tier name its (start, end, label) in seconds, in order.
    duration_s
        Where the grid ends; later if an interval does.
    """
    timed = {name: _apart([(a, b) for a, b, _ in rows]) for name, rows in tiers.items()}
    end = max([math.ceil(duration_s * 1000), 1, *(times[-1][1] for times in timed.values() if times)])
    out = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    out += ["xmin = 0", f"xmax = {end / 1000}", "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, rows) in enumerate(tiers.items(), start=1):
        filled, at = [], 0
        for (a, b), (_, _, label) in zip(timed[name], rows, strict=True):
            filled += [(at, a, "")] if a > at else []
            filled.append((a, b, label))
            at = b
        filled += [(at, end, "")] if end > at else []
        out += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        out += [
            "        xmin = 0",
            f"        xmax = {end / 1000}",
            f"        intervals: size = {len(filled)}",
        ]
        for i, (a, b, label) in enumerate(filled, start=1):
            out += [f"        intervals [{i}]:", f"            xmin = {a / 1000}"]
            out += [f"            xmax = {b / 1000}", f"            text = {_quoted(label)}"]
    return "\n".join(out) + "\n"


@dataclass(frozen=True)
class Format:
    """A writer: file suffix, function, and whether the documents of several recordings may be joined."""

    suffix: str
    write: Callable[[Transcript, Layout], str]
    joinable: bool = field(default=False)


FORMATS = {
    "txt": Format(".txt", txt, joinable=True),
    "srt": Format(".srt", srt),
    "vtt": Format(".vtt", vtt),
    "tsv": Format(".tsv", tsv),
    "json": Format(".json", json_line, joinable=True),
    "ctm": Format(".ctm", ctm, joinable=True),
    "textgrid": Format(".TextGrid", textgrid),
}


def clock(seconds: float) -> str:
    """Seconds as ``MM:SS.mmm``, with hours where there are any, as whisper prints them."""
    return _clock(round(seconds * 1000), ".").removeprefix("00:")


def _grouped(
    words: Iterable[Word], ends: Callable[[Sequence[Word], Word], bool]
) -> Iterator[tuple[Word, ...]]:
    """Split words into runs; a new one begins where ``ends(run, next word)``."""
    run: list[Word] = []
    for word in words:
        if run and ends(run, word):
            yield tuple(run)
            run = []
        run.append(word)
    if run:
        yield tuple(run)


def _apart(spans: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """Seconds as whole ms, each span at least 1 ms long and beginning no earlier than the last one ends.

    Rounding alone can make a short span vanish or overlap its neighbour, which players and Praat refuse.
    """
    out: list[tuple[int, int]] = []
    for i, (start_s, end_s) in enumerate(spans):
        start = max(round(start_s * 1000), out[-1][1] if out else 0)
        end = round(end_s * 1000)
        if i + 1 < len(spans):
            end = min(end, round(spans[i + 1][0] * 1000))
        out.append((start, max(end, start + 1)))
    return out


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{ms:03d}"


def _end(word: Word) -> float:
    return word.start_s + word.duration_s


def _times(words: Sequence[Word]) -> dict[str, Any]:
    return {"start": round(words[0].start_s, 3), "end": round(_end(words[-1]), 3)}


def _text(words: Sequence[Word]) -> str:
    return " ".join(w.text for w in words)


def _quoted(label: str) -> str:
    return '"' + label.replace('"', '""') + '"'
