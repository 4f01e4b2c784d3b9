"""Writers: golden files, the clock at its edges, and what players and Praat refuse."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.hypothesis import Word
from asr.formats import FORMATS, Layout, Transcript, clock, segments, textgrid_tiers

GOLDEN = Path(__file__).parent / "golden" / "formats"

# three segments: the second past one hour, the third with marks that formats must escape or quote
TALK = Transcript(
    "talks/the talk",
    (
        Word("THE", 0.12, 0.08, 0.91),
        Word("QUICK", 0.2, 0.31, 0.99999),
        Word("BROWN", 0.51, 0.4, 0.5),
        Word("FOX", 0.91, 0.42, 1.0),
        Word("JUMPS", 1.33, 0.37, 0.875),
        Word("OVER", 1.7, 0.3, 0.75),
        Word("THE", 2.0, 0.1, 0.6),
        Word("LAZY", 2.1, 0.45, 0.9),
        Word("DOG", 2.55, 0.45, 0.95),
        Word("DON'T", 3599.9, 0.0996, 0.8),
        Word("ÜBERFÜHRT", 3600.0, 1.25, 0.4),
        Word("A<B&C>", 3662.5, 0.5, 0.0),
        Word('"日本"', 3663.0, 0.25, 0.3),
    ),
    3664.0004,
    "en",
)


def write(name: str, transcript: Transcript = TALK, **layout) -> str:
    return FORMATS[name].write(transcript, Layout(**layout))


@pytest.mark.parametrize("name", FORMATS)
def test_golden(name):
    assert write(name, line_width=20) == (GOLDEN / f"talk.{name}").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name, expected",
    [
        ("txt", ""),
        ("srt", ""),
        ("vtt", "WEBVTT\n\n"),
        ("tsv", "start\tend\ttext\n"),
        ("ctm", ""),
    ],
)
def test_nothing_said(name, expected):
    assert write(name, Transcript("quiet", (), 1.5, "en")) == expected


def test_nothing_said_json_and_textgrid():
    quiet = Transcript("quiet", (), 1.5, "en")
    assert json.loads(write("json", quiet)) == {
        "file": "quiet",
        "language": "en",
        "text": "",
        "duration": 1.5,
        "segments": [],
    }
    assert read_textgrid(write("textgrid", quiet)) == {"words": [(0.0, 1.5, "")]}


@pytest.mark.parametrize(
    "seconds, srt, vtt, short",
    [
        (0.0, "00:00:00,000", "00:00:00.000", "00:00.000"),
        (59.9996, "00:01:00,000", "00:01:00.000", "01:00.000"),
        (3599.9994, "00:59:59,999", "00:59:59.999", "59:59.999"),
        (3599.9996, "01:00:00,000", "01:00:00.000", "01:00:00.000"),
        (359999.5, "99:59:59,500", "99:59:59.500", "99:59:59.500"),
        (360000.25, "100:00:00,250", "100:00:00.250", "100:00:00.250"),
    ],
)
def test_clock(seconds, srt, vtt, short):
    late = Transcript("late", (Word("A", seconds, 1.0, 1.0),), seconds + 1)
    assert write("srt", late).splitlines()[1].startswith(f"{srt} --> ")
    assert write("vtt", late).splitlines()[2].startswith(f"{vtt} --> ")
    assert clock(seconds) == short


def test_a_pause_of_half_a_second_ends_a_segment():
    def two(gap: float) -> int:
        return len(list(segments([Word("A", 0.0, 1.0, 1.0), Word("B", 1.0 + gap, 1.0, 1.0)])))

    assert two(0.49) == 1
    assert two(0.5) == 2


def test_segments_come_before_all_words_are_known():
    def words():
        yield Word("A", 0.0, 1.0, 1.0)
        yield Word("B", 3.0, 1.0, 1.0)
        raise AssertionError("read too far")

    assert [w.text for w in next(segments(words()))] == ["A"]


def test_word_times_are_left_out_of_json_on_demand():
    assert all("words" not in s for s in json.loads(write("json", word_times=False))["segments"])


def test_lines_of_so_many_words():
    cues = Layout(line_count=1, words_per_line=2).cues(TALK)
    assert [lines for _, _, lines in cues][:3] == [["THE QUICK"], ["BROWN FOX"], ["JUMPS OVER"]]


def test_a_long_segment_is_cut_though_it_would_fit():
    slow = tuple(Word(w, 3.0 * i, 2.9, 1.0) for i, w in enumerate("ABCDE"))
    cues = Layout().cues(Transcript("slow", slow, 15.0))
    assert [lines for _, _, lines in cues] == [["A B"], ["C D"], ["E"]]


texts = st.text(st.characters(categories=["L", "M", "N", "P", "S"]), min_size=1, max_size=30)
talks = st.lists(st.tuples(texts, st.floats(0, 4), st.floats(0, 2), st.floats(0, 1)), max_size=40).map(
    lambda rows: spoken(rows)
)


def spoken(rows) -> Transcript:
    """Words one after another, some of no length, some after a gap, some overlapping the last a little."""
    words, at = [], 0.0
    for text, gap, length, confidence in rows:
        start = max(at + gap - 0.1, words[-1].start_s if words else 0.0)
        words.append(Word(text, start, length, confidence))
        at = start + length
    return Transcript("talk", tuple(words), at)


@given(talks, st.integers(1, 60), st.integers(1, 3), st.none() | st.integers(1, 4))
def test_subtitles_are_in_order_apart_and_complete(talk, width, count, per_line):
    layout = Layout(width, count, per_line)
    cues = layout.cues(talk)
    assert [w for _, _, lines in cues for line in lines for w in line.split(" ")] == [
        w.text for w in talk.words
    ]
    at = 0
    for start, end, lines in cues:
        assert at <= start < end
        assert 1 <= len(lines) <= count
        assert all(len(line) <= width or " " not in line for line in lines)
        assert per_line is None or all(len(line.split(" ")) <= per_line for line in lines)
        at = end


@given(talks)
def test_textgrid_covers_the_recording_without_gap_or_overlap(talk):
    (rows,) = read_textgrid(write("textgrid", talk)).values()
    assert [label for _, _, label in rows if label] == [w.text for w in talk.words]
    assert rows[0][0] == 0.0 and rows[-1][1] >= talk.duration_s
    assert all(a < b for a, b, _ in rows)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(rows))


def test_ctm_names_with_blanks_stay_apart():
    said = (Word("A", 0.0, 0.5, 1.0),)
    talks = [Transcript(name, said, 1.0) for name in ("a b", "a_b", "a\tb")]
    assert [write("ctm", talk).split()[0] for talk in talks] == ["a%20b", "a_b", "a%09b"]


@given(talks)
def test_ctm_has_six_columns_and_no_overlap(talk):
    at = 0.0
    for line, word in zip(write("ctm", talk).split("\n"), talk.words, strict=False):
        name, channel, start, length, text, confidence = line.split(" ")
        assert (name, channel, text) == ("talk", "1", word.text)
        assert float(start) >= at and float(length) > 0 and 0 <= float(confidence) <= 1
        at = round(float(start) + float(length), 3)


def test_textgrid_of_several_tiers():
    tiers = {"words": [(0.0, 1.0, "A")], "phones": [(0.0, 0.5, "AH"), (0.5, 1.0, 'Q"')]}
    assert read_textgrid(textgrid_tiers(tiers, 1.2)) == {
        "words": [(0.0, 1.0, "A"), (1.0, 1.2, "")],
        "phones": [(0.0, 0.5, "AH"), (0.5, 1.0, 'Q"'), (1.0, 1.2, "")],
    }


def test_praatio_reads_our_textgrid(tmp_path):
    tgio = pytest.importorskip("praatio.textgrid", reason="praatio is not installed")
    path = tmp_path / "talk.TextGrid"
    path.write_text(write("textgrid"), encoding="utf-8")
    grid = tgio.openTextgrid(str(path), includeEmptyIntervals=False)
    labels = [entry.label for entry in grid.getTier("words").entries]
    assert labels == [w.text for w in TALK.words[:-1]] + ['"日本"']


def read_textgrid(text: str) -> dict[str, list[tuple[float, float, str]]]:
    """The tiers of a long TextGrid, refusing what Praat would: counts, bounds, header, quotes.

    Praat reads the free-standing numbers, flags and strings in order, whatever words surround them
    (its manual, "TextGrid file formats").
    """
    tokens = re.findall(r'"(?:[^"]|"")*"|<\w+>|(?<![^\s])[\d.eE+-]+(?![^\s])', text)
    values = [t[1:-1].replace('""', '"') if t[0] == '"' else t if t[0] == "<" else float(t) for t in tokens]
    assert text.count('"') % 2 == 0
    feed = iter(values)
    assert [next(feed), next(feed)] == ["ooTextFile", "TextGrid"]
    low, high, exists, size = (next(feed) for _ in range(4))
    assert low == 0.0 and exists == "<exists>"
    tiers = {}
    for _ in range(int(size)):
        kind, name, a, b, count = (next(feed) for _ in range(5))
        assert (kind, a, b) == ("IntervalTier", low, high)
        tiers[name] = [(next(feed), next(feed), next(feed)) for _ in range(int(count))]
        assert tiers[name][-1][1] == high
    assert next(feed, None) is None
    return tiers
