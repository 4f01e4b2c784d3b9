"""Your own data: JSON lines, tables, Kaldi folders and plain folders, each mistake named by its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr.data.audio import load_cut
from asr.data.check import check_corpus
from asr.data.corpora import preparer
from asr.data.corpora.assemble import own_lexicon
from asr.data.corpora.csv import _rows, read_table
from asr.data.corpora.folder import read_folder
from asr.data.corpora.jsonl import read_manifest
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError, LexiconError
from asr.formats import textgrid_tiers
from asr.text.lexicon import Lexicon

Record = Callable[..., Path]


def every(corpus: Corpus) -> dict[str, tuple[str, str, str]]:
    return {
        c.id: (split, c.supervisions[0].speaker, c.supervisions[0].text)
        for split in corpus.splits
        for c in corpus.cuts(split)
    }


def test_jsonl_of_nemo_with_offsets_and_one_bad_line_of_each_kind(tmp_path: Path, record: Record) -> None:
    long = record(tmp_path / "long.wav", 3.0)

    def copied(row: dict[str, Any], split: str) -> dict[str, Any]:
        """The row of another recording: one that is in two splits would be left out of train."""
        sound = tmp_path / row["audio_filepath"]
        other = record(tmp_path / f"{sound.stem}_{split}{sound.suffix}", soundfile.info(sound).duration)
        whole = Path(row["audio_filepath"]).is_absolute()
        return row | {"audio_filepath": str(other) if whole else other.name}

    good = [
        {
            "audio_filepath": "long.wav",
            "text": "Hello, world!",
            "duration": 1.0,
            "offset": 0.0,
            "speaker": "a",
        },
        {"audio_filepath": str(long), "text": "again", "duration": 1.5, "offset": 1.25, "speaker": "a"},
        {
            "audio_filepath": str(record(tmp_path / "b.flac")),
            "text": "the  cat",
            "duration": 0.99,
            "speaker": 7,
        },
    ]
    bad = [
        "{oops",
        "[1]",
        json.dumps({"text": "no audio"}),
        json.dumps({"audio_filepath": "b.flac"}),
        json.dumps({"audio_filepath": "b.flac", "text": "x", "offset": "soon"}),
        json.dumps({"audio_filepath": "gone.wav", "text": "cat"}),
        json.dumps({"audio_filepath": "b.flac", "text": "?!", "id": "empty"}),
        json.dumps({"audio_filepath": "b.flac", "text": "кот", "id": "cyrillic"}),
        json.dumps({"audio_filepath": "long.wav", "text": "late", "offset": 9, "duration": 1}),
        json.dumps(good[2]),
    ]
    for split in ("train", "dev", "test"):
        lines = bad if split == "train" else []
        path = tmp_path / f"{split}.jsonl"
        path.write_text(
            "\n".join(
                [*(json.dumps(copied(g, split) | {"id": f"{split}{i}"}) for i, g in enumerate(good)), *lines]
            )
        )
    corpus = preparer("jsonl").prepare(tmp_path, tmp_path / "out")
    assert every(corpus)["dev0"] == ("dev", "a", "HELLO WORLD") and every(corpus)["dev2"] == (
        "dev",
        "7",
        "THE CAT",
    )
    assert len(every(corpus)) == 10  # the last line is `good`, only without an id
    cut = next(c for c in corpus.cuts("test") if c.id == "test1")
    assert load_cut(cut, 16000).size == 24000
    found = "\n".join(corpus.problems)
    for line, message in [
        (4, "not JSON"),
        (5, "a JSON list, not an object"),
        (6, "no path of the audio"),
        (7, "no text"),
        (8, "start 'soon' is no number of seconds"),
        (10, "utterance empty: no words in its text"),
        (11, "utterance cyrillic: characters outside the letters of English: К О Т"),
        (12, "utterance long-0009000: 9.00-10.00 s lies outside long.wav of 3.00 s"),
    ]:
        assert f"train.jsonl:{line}: {message}" in found
    gone = f"train.jsonl:9: utterance gone: {tmp_path / 'gone.wav'}: no such audio file"
    assert gone in found and len(corpus.problems) == 9
    assert Corpus.open(tmp_path / "out").problems == corpus.problems


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_table(tmp_path: Path, record: Record, separator: str) -> None:
    for name in "abc":
        record(tmp_path / f"{name}.wav")
    lines = [separator.join(["File_Name", "Sentence", "Spk", "Subset"])]
    lines.append(separator.join(["a.wav", f'"cat{separator} dog"', "x", "train"]))
    lines.append(separator.join(["b.wav", "cat", "y", "validation"]))
    lines.append(separator.join(["c.wav", "cat", "y", "test", "more"]))
    lines.append(separator.join(["c.wav", "cat", "y", "nowhere"]))
    lines.append("c.wav")
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    corpus = preparer("csv").prepare(tmp_path / "data.csv", tmp_path / "out")
    assert every(corpus) == {"a": ("train", "x", "CAT DOG"), "b": ("dev", "y", "CAT")}
    assert "data.csv:4: 5 cells under 4 columns" in corpus.problems[0]
    assert "data.csv:6: only 1 of 4 cells; give each column one" in corpus.problems[1]
    assert "data.csv:5: unknown split 'nowhere'" in corpus.problems[2]


@pytest.mark.parametrize("speakers", [["", "", ""], ["unknown", " N/A", "?"]])
def test_a_table_without_speakers_names_none(tmp_path: Path, record: Record, speakers: list[str]) -> None:
    """Nobody is taken for one of his own: dev and test may hold voices of train."""
    for name in "abc":
        record(tmp_path / f"{name}.wav")
    rows = ["path,text,split,speaker"]
    for name, split, speaker in zip("abc", ("train", "dev", "test"), speakers, strict=True):
        rows.append(f"{name}.wav,cat,{split},{speaker}")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    corpus = preparer("csv").prepare(tmp_path / "data.csv", tmp_path / "out")
    assert every(corpus) == {
        n: (s, None, "CAT") for n, s in zip("abc", ("train", "dev", "test"), strict=True)
    }
    assert corpus.splits["train"]["speakers"] == 0 and corpus.speakers("test") == set()
    warned = [str(w) for w in check_corpus(tmp_path / "out").warnings]
    assert any("no speakers are named: dev and test may hold voices of train" in w for w in warned)


def test_an_empty_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("path,text\n")
    with pytest.raises(DataError, match="no usable utterance in the out corpus, there is none at all"):
        preparer("csv").prepare(tmp_path / "data.csv", tmp_path / "out")


def test_unclosed_quotes_cost_their_own_lines_alone(tmp_path: Path, record: Record) -> None:
    for name in "abcdefg":
        record(tmp_path / f"{name}.wav")
    huge = "cat " * 40000  # beyond the limit of Python's csv
    rows = [
        'a.wav,"the cat, twice"',
        'b.wav,"the cat',
        'c.wav,"cat"',
        'd.wav,"a cat\non two lines"',
        f'e.wav,"{huge}"',
        'f.wav,a "big" cat',
        'g.wav,"cat',
    ]
    path = tmp_path / "data.csv"
    path.write_text("\r\n".join(["path,text", *rows]))
    corpus = preparer("csv").prepare(path, tmp_path / "out")
    assert {name: text for name, (_, _, text) in every(corpus).items()} == {
        "a": "THE CAT TWICE", "c": "CAT", "d": "A CAT ON TWO LINES", "f": "A BIG CAT",
    }  # fmt: skip
    assert [p.split(";")[0] for p in corpus.problems] == [
        f"{path}:3: a quote that is never closed",
        f"{path}:7: a line of 160,009 characters",
        f"{path}:9: a quote that is never closed",
    ]


def test_a_quotation_over_rows_of_a_table_costs_one_of_them(tmp_path: Path, record: Record) -> None:
    for name in "abc":
        record(tmp_path / f"{name}.wav")
    path = tmp_path / "data.tsv"
    path.write_text('path\ttext\na.wav\t"the cat,\nb.wav\ta cat\nc.wav\tthe end."\n')
    corpus = preparer("csv").prepare(path, tmp_path / "out")
    assert {name: text for name, (_, _, text) in every(corpus).items()} == {"b": "A CAT", "c": "THE END"}
    assert [p.split(";")[0] for p in corpus.problems] == [
        f"{path}:2: a quotation that takes in the next rows"
    ]


def test_a_row_of_nothing_costs_itself_alone(tmp_path: Path, record: Record) -> None:
    for name in "ab":
        record(tmp_path / f"{name}.wav", 2.0)
    rows = [
        {"audio": "a.wav", "text": "cat", "duration": 0.5},
        {"audio": "a.wav", "text": "the cat", "offset": 0.5, "duration": 0.5},
        {"audio": "b.wav", "text": "cat", "duration": 1.96},
        {"audio": "b.wav", "text": "cat", "offset": 1.0, "duration": 1e-6},
        {"audio": ".", "text": "cat"},
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = preparer("jsonl").prepare(path, tmp_path / "out")
    found = {c.id: (c.start, c.duration) for split in corpus.splits for c in corpus.cuts(split)}
    # a duration counts without an offset, but for one that is nearly the file's
    assert found == {"a": (0, 0.5), "a-0000500": (0.5, 0.5), "b": (0, 2.0)}
    assert [p.split(";")[0].removeprefix(str(path)) for p in sorted(corpus.problems)] == [
        ":4: utterance b-0001000: 1.00-1.00 s lies outside b.wav of 2.00 s",
        ":5: no path of the audio",
    ]


def test_marks_of_what_is_no_word_are_left_out(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("a", "the <UNK> cat [noise]"), ("b", "[laughter]"), ("c", "a [noise] cat")):
        record(tmp_path / f"in/{name}.wav").with_suffix(".txt").write_text(text)
    more = tmp_path / "more.txt"
    more.write_text("[music] cat\n")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "out", text=more)
    assert {name: text for name, (_, _, text) in every(corpus).items()} == {"a": "THE CAT", "c": "A CAT"}
    assert "b.txt: utterance b: no words in its text" in corpus.problems[0]
    told = capsys.readouterr().err
    assert "the transcripts: left out as no words: [noise] 2, <UNK> 1, [laughter] 1" in told
    assert "more.txt: left out as no words: [music] 1" in told


def test_a_row_that_cannot_be_read_tells_why(tmp_path: Path, record: Record) -> None:
    for name in "abc":
        record(tmp_path / f"{name}.wav")
    long = "a cat\n" * 30000  # beyond the limit of Python's csv, each line below it
    path = tmp_path / "data.csv"
    path.write_text(f'path,text\na.wav,cat\nb.wav,"a cat\non" two lines\nc.wav,cat\nd.wav,"{long}')
    corpus = preparer("csv").prepare(path, tmp_path / "out")
    assert set(every(corpus)) == {"a", "c"}
    told = [p.split(";")[0] for p in corpus.problems if "1 of 2 cells" not in p]
    assert told == [
        f"{path}:3: no row of a table (',' expected after '\"')",
        f"{path}:6: no row of a table (field larger than field limit (131072))",
    ]


def test_rows_of_several_lines_are_not_looked_for_from_the_start() -> None:
    class Lines(list[str]):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError("read from the start")

    lines = Lines(["a,b\n", 'c,"d\n', 'e"\n', "f,g\n"])
    assert list(_rows(lines, ",")) == [(1, ["a", "b"]), (2, ["c", "d\ne"]), (4, ["f", "g"])]


def test_columns_that_are_no_field_are_passed_over(tmp_path: Path, record: Record) -> None:
    for name in "ab":
        record(tmp_path / f"{name}.wav")
    (tmp_path / "data.csv").write_text("path,text,phones,word_align\na.wav,hi,HH AY1,x\nb.wav,hi,,\n")
    corpus = preparer("csv").prepare(tmp_path / "data.csv", tmp_path / "out")
    cuts = [c for split in corpus.splits for c in corpus.cuts(split)]
    assert len(cuts) == 2 and not corpus.problems
    assert [c.supervisions[0].custom for c in cuts] == [None, None]


def test_phones_that_are_no_list_are_refused(tmp_path: Path, record: Record) -> None:
    given = [["HH", "AY1"], [["HH"], ["AY1"]], None, 5, "HH AY1", ["HH", 1], {"HH": 1}]
    rows = [{"audio": record(tmp_path / f"{i}.wav").name, "text": "hi"} for i in range(len(given))]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(r | {"phones": g}) + "\n" for r, g in zip(rows, given, strict=True)))
    corpus = preparer("jsonl").prepare(path, tmp_path / "out")
    found = {c.id: c.supervisions[0].custom for split in corpus.splits for c in corpus.cuts(split)}
    assert found == {"0": {"phones": ["HH", "AY"]}, "1": {"phones": ["HH", "AY"]}, "2": None}
    fix = 'write them as ["HH", "AY1"] or remove it'
    assert corpus.problems == [
        f"{path}:{n}: utterance {n - 1}: phones is no list of phonemes; {fix}" for n in (4, 5, 6, 7)
    ]


def test_bare_samples_are_refused_and_the_rest_prepared(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    record(tmp_path / "b.wav")
    bare = tmp_path / "c.raw"
    bare.write_bytes(bytes(range(256)) * 99)
    (tmp_path / "data.csv").write_text("path,text\na.wav,cat\nb.wav,cat\nc.raw,cat\n")
    corpus = preparer("csv").prepare(tmp_path / "data.csv", tmp_path / "out")
    assert set(every(corpus)) == {"a", "b"}
    (problem,) = corpus.problems
    assert f"data.csv:4: utterance c: {bare}: samples without a header" in problem


def test_table_without_a_needed_column(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("path,words\na.wav,cat\n")
    with pytest.raises(DataError, match=r"data\.csv:1: no column for the text: the header has path, words"):
        preparer("csv").prepare(tmp_path, tmp_path / "out")


def test_folder(tmp_path: Path, record: Record) -> None:
    for split, speaker in (("train", "ann"), ("train", "bob"), ("test", "cy")):
        record(tmp_path / f"in/{split}/{speaker}/one.ogg").with_suffix(".txt").write_text("It's one.\n")
        record(tmp_path / f"in/{split}/{speaker}/two.mp3").with_suffix(".txt").write_text("two")
    record(tmp_path / "in/train/ann/three.wav")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "out")
    found = every(corpus)
    assert found["test-cy-one"] == ("test", "cy", "IT'S ONE") and len(found) == 6
    assert {split for split, _, _ in found.values()} == {"train", "dev", "test"}
    assert ["three.wav: no transcript beside it" in p for p in corpus.problems] == [True]


def test_ends_of_segments_and_names_from_paths(tmp_path: Path, record: Record) -> None:
    """Where a segment ends may be told instead of how long it is; folders of speakers tell files apart."""
    for speaker in "abc":
        for n in (1, 2):
            record(tmp_path / f"in/{speaker}/wav/{n:03d}.wav")
    rows = [f"{speaker}/wav/{n:03d}.wav,the cat,{speaker},," for speaker in "abc" for n in (1, 2)][1:]
    rows += ["a/wav/001.wav,the,a,0.25,0.75", "a/wav/001.wav,the,a,0.75,", "a/wav/001.wav,cat,a,0.5,0.5"]
    rows += ["~nobody.wav,cat,a,,", "b/wav/001.wav,the,b,,0.5"]
    (tmp_path / "in/all.csv").write_text("\n".join(["path,text,speaker,start,end", *rows]) + "\n")
    corpus = preparer("csv").prepare(tmp_path / "in/all.csv", tmp_path / "out")
    found = {c.id: (c.start, c.duration) for split in corpus.splits for c in corpus.cuts(split)}
    assert len(found) == 7 and "b-wav-001" in found
    assert found["a-wav-001-0000250"] == (0.25, 0.5)
    problems = "\n".join(corpus.problems)
    assert "all.csv:9: ends at 0.5 s, before it starts" in problems and "~nobody.wav" in problems
    assert "all.csv:11: ends at 0.5 s, and no start is given" in problems
    assert len(corpus.problems) == 3


@pytest.mark.parametrize(
    ("columns", "first", "second"),
    [
        ("start end", "0.5 1.25", "1.5 2"),
        ("Begin End", "0.5 1.25", "1.5 2"),
        ("begin_time end_time", "0.5 1.25", "1.5 2"),
        ("onset offset", "0.5 1.25", "1.5 2"),
        ("offset duration", "0.5 0.75", "1.5 0.5"),
        ("tmin tmax", "0.5 1.25", "1.5 2"),
        ("xmin xmax", "0.5 1.25", "1.5 2"),
        ("from to", "0.5 1.25", "1.5 2"),
        ("startTime endTime", "0.5 1.25", "1.5 2"),
        ("start_ms end_ms", "500 1250", "1500 2000"),
        ("Begin-Time-[ms] Duration-msec", "500 750", "1500 500"),
        ("Begin-Time---ss.msec End-Time---ss.msec", "0.500 1.250", "1.500 2.000"),
        ("Begin-Time---hh:mm:ss.ms t_end", "00:00:00.500 1.25", "0:01,5 2"),
    ],
)
def test_times_by_any_name(tmp_path: Path, record: Record, columns: str, first: str, second: str) -> None:
    """As tables of Praat, ELAN, Audacity, pandas and NeMo call them; JSON lines as well as tables."""
    record(tmp_path / "a.wav", 3.0)
    rows = [["path", "text", *columns.split()]]
    rows += [["a.wav", word, *times.split()] for word, times in (("cat", first), ("dog", second))]
    (tmp_path / "t.tsv").write_text("".join("\t".join(row).replace("-", " ") + "\n" for row in rows))
    lines = (json.dumps(dict(zip(rows[0], row, strict=True))) + "\n" for row in rows[1:])
    (tmp_path / "t.jsonl").write_text("".join(lines))
    for reader, path in ((read_table, tmp_path / "t.tsv"), (read_manifest, tmp_path / "t.jsonl")):
        problems: list[AsrError] = []
        found = [(u.text, u.start, u.duration) for u in reader(path, problems)]
        assert not problems
        assert [x for u in found for x in u] == [
            "cat",
            0.5,
            pytest.approx(0.75),
            "dog",
            1.5,
            pytest.approx(0.5),
        ]


def test_columns_that_are_not_used_are_named(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text("path,text,Anfang,\na.wav,cat,0.5,\n")
    (tmp_path / "t.jsonl").write_text('{"audio": {"path": "a.wav"}, "text": "cat", "fin": 3}\n')
    assert len(list(read_table(tmp_path / "t.csv", []))) == 1
    assert "t.csv: not used: Anfang\n" in capsys.readouterr().err
    assert [u.audio.name for u in read_manifest(tmp_path / "t.jsonl", [])] == ["a.wav"]
    assert "t.jsonl: not used: fin\n" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("A", "2"), ("1", "B"), ("0", "1"), ("1.0", "2.0"), ("left", "R")])
def test_channels(tmp_path: Path, names: tuple[str, str]) -> None:
    """A telephone call has a speaker on either channel; a file counts them from 1, or from 0."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (16000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "call.wav", noise, 16000, subtype="FLOAT")
    rows = [f"call.wav,dog,{names[1]},test", f"call.wav,cat,{names[0]},train", "call.wav,no,7,train"]
    (tmp_path / "t.csv").write_text("\n".join(["path,text,channel,split", *rows]) + "\n")
    corpus = preparer("csv").prepare(tmp_path / "t.csv", tmp_path / "out")
    cuts = {split: next(iter(corpus.cuts(split))) for split in ("train", "test")}
    assert {cut.id: cut.supervisions[0].text for cut in cuts.values()} == {"call-1": "CAT", "call-2": "DOG"}
    for channel, cut in enumerate(cuts.values()):
        np.testing.assert_array_equal(load_cut(cut, 16000), noise[:, channel])
    n = 8 if names[0] == "0" else 7
    assert f"t.csv:4: utterance call-{n}: no channel {n} in call.wav, which has 2" in corpus.problems[0]
    assert len(corpus.problems) == 1


def test_rows_of_one_recording_without_times_are_refused(tmp_path: Path, record: Record) -> None:
    """The whole recording would be the sound of each; starts alone tell no more."""
    for name in "ab":
        record(tmp_path / f"{name}.wav", 3.0)
    rows = ["path,text,start,Ende", "a.wav,cat,,1", "a.wav,dog,,2", "a.wav,dog,1.5,2", "b.wav,yes,,3"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    corpus = preparer("csv").prepare(tmp_path / "t.csv", tmp_path / "out")
    assert [text for *_, text in every(corpus).values()] == ["YES"]
    assert [p.split("utterance ", 1)[1] for p in corpus.problems] == [
        f"{name}: one of 2 different texts that reach to the end of a.wav; "
        "say where each is, by `start` and `end` in a table"
        for name in ("a", "a", "a-0001500")
    ]
    (tmp_path / "t.csv").write_text("path,text,start,end\na.wav,cat,500,1500\nb.wav,dog,0,1\n")
    corpus = preparer("csv").prepare(tmp_path / "t.csv", tmp_path / "out")
    assert "if these are milliseconds, call the columns start_ms and end_ms" in corpus.problems[0]


def test_labels_of_audacity(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "in/a.wav", 3.0).with_suffix(".txt").write_text(
        "0.5\t1.25\tthe cat\n\\\t100.0\t200.0\n2.000000\t3.000000\t2 dogs\n1.3\t1.4\t\n"
    )
    record(tmp_path / "in/b.wav", 1.0).with_suffix(".txt").write_text("2 3 dogs\n")
    found = [(u.id, u.text, u.start, u.duration) for u in read_folder(tmp_path / "in", [])]
    assert found == [
        ("a-0000500", "the cat", 0.5, 0.75), ("a-0002000", "2 dogs", 2.0, 1.0), ("b", "2 3 dogs\n", 0.0, None)
    ]  # fmt: skip


def test_channels_that_are_none(tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a channel all are heard; a recording of one channel may be a side of a call."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (16000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "call.wav", noise, 16000, subtype="FLOAT")
    record(tmp_path / "side.wav")
    (tmp_path / "t.csv").write_text("path,text,channel\nside.wav,cat,B\ncall.wav,dog,BBC News\n")
    corpus = preparer("csv").prepare(tmp_path / "t.csv", tmp_path / "out")
    assert "t.csv: no channels, not used: bbc news\n" in capsys.readouterr().err and not corpus.problems
    cuts = {c.supervisions[0].text: c for split in corpus.splits for c in corpus.cuts(split)}
    np.testing.assert_allclose(load_cut(cuts["DOG"], 16000), noise.mean(1), atol=1e-7)
    assert load_cut(cuts["CAT"], 16000).size == 16000


def test_columns_that_look_like_times(tmp_path: Path) -> None:
    """Languages, lists and other tools' extras are none; of two texts that with the preferred name counts."""
    rows = [
        {"audio": "a.wav", "text": "cat", "from": "en", "to": "de", "durations": [1, 2], "duration": 0.5},
        {
            "file": "b.zip",
            "audio_filepath": "b.wav",
            "sentence": "Dr. 12",
            "text": "dog",
            "offsets": {"to": 9},
        },
        {"audio": "c.wav", "text": "yes", "end": 3.5, "duration": 1.0},
        {"audio": "d.wav", "text": "no", "Onset (ms)": 500, "Offset (ms)": 1250},
        {"audio": "e.wav", "text": "no", "start": 10**400},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems: list[AsrError] = []
    found = read_manifest(tmp_path / "t.jsonl", problems)
    assert [(u.audio.name, u.text, u.start, u.duration) for u in found] == [
        ("a.wav", "cat", 0.0, 0.5), ("b.wav", "dog", 0.0, None), ("c.wav", "yes", 2.5, 1.0),
        ("d.wav", "no", 0.5, 0.75),
    ]  # fmt: skip
    assert "t.jsonl:5: start" in str(problems[0]) and len(problems) == 1
    (tmp_path / "t.csv").write_text("path,text,Phones\na.wav,cat,K AE T\n")
    assert len(list(read_table(tmp_path / "t.csv", problems))) == 1 and len(problems) == 1


def test_sound_of_test_is_left_out_of_train(tmp_path: Path, record: Record) -> None:
    """A copy of a recording, too; cuts that share their margins only are as they should be."""
    long = record(tmp_path / "long.wav", 4.0)
    (tmp_path / "copy.wav").write_bytes(long.read_bytes())
    rows = ["path,text,id,split,start,end", "long.wav,cat,a,test,0,1", "copy.wav,cat,b,train,0.2,1.2"]
    rows += ["long.wav,dog,c,train,0.9,2", "long.wav,dog,d,dev,1.8,3", "long.wav,yes,e,train,1.9,2.5"]
    # what dev loses to test costs train nothing
    rows += ["long.wav,no,f,dev,0.4,1.4", "long.wav,no,g,train,1.1,1.6"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    corpus = preparer("csv").prepare(tmp_path / "t.csv", tmp_path / "out")
    kept = {name: split for name, (split, *_) in every(corpus).items()}
    assert kept == {"a": "test", "c": "train", "d": "dev", "g": "train"}
    assert [p.split(": ", 1)[1] for p in corpus.problems] == [
        f"utterance {a}: the same sound as {b}, which is in {split}; left out of {own}; "
        "correct its times, or put both in one split"
        for a, own, b, split in (
            ("b", "train", "a", "test"),
            ("e", "train", "d", "dev"),
            ("f", "dev", "a", "test"),
        )
    ]


def test_names_of_files_that_are_one_are_told(tmp_path: Path, record: Record) -> None:
    for name in ("a/b.wav", "a-b.wav", "c.flac", "c.wav", "my own.wav"):
        record(tmp_path / "in" / name).with_suffix(".txt").write_text("cat")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "out")
    assert set(every(corpus)) == {"a-b", "c", "my_own"}
    assert [p.split(": ", 1)[1] for p in corpus.problems] == [
        "its name is that of a/b.wav; rename one of them",
        "c.txt is also the transcript of c.flac; remove one of them",
    ]


SHORT = """File type = "ooTextFile"\nObject class = "TextGrid"\n
0\n3\n<exists>\n1\n"IntervalTier"\n"s"\n0\n3\n3\n0\n0.5\n""
0.5\n1.25\n"the cat"\n1.25\n3\n"a \"\"dog\"\""\n"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_textgrids(tmp_path: Path, record: Record, encoding: str) -> None:
    """One tier needs no name; of several, one is named or each is a speaker."""
    two = textgrid_tiers(
        {"Ann": [(0.5, 1.25, "yes"), (2, 3, "<noise>")], "Bob": [(1, 2, "no")], "Cy": [(0, 3, " ")]}, 3
    )
    for name, grid in (("a", SHORT), ("b", two)):
        path = record(tmp_path / f"in/zoe/{name}.wav", 3.0).with_suffix(".TextGrid")
        path.write_text(grid, encoding=encoding)
    record(tmp_path / "in/c.wav").with_suffix(".lab").write_text("we ran")
    record(tmp_path / "in/d.wav").with_suffix(".TextGrid").write_text("no grid")
    problems: list[AsrError] = []
    found = {u.id: u for u in read_folder(tmp_path / "in", problems)}
    assert {i: (u.text, u.start, u.duration, u.speaker) for i, u in found.items()} == {
        "zoe-a-0000500": ("the cat", 0.5, 0.75, "zoe"),
        "zoe-a-0001250": ('a "dog"', 1.25, 1.75, "zoe"),
        "c": ("we ran", 0.0, None, None),
    }
    told = sorted(str(p).split("/in/")[1] for p in problems)
    assert told[0].startswith("d.TextGrid: no TextGrid that can be read (")
    assert told[1].startswith(
        "zoe/b.TextGrid: several tiers: Ann, Bob, Cy; name that of the sentences with --tier"
    )
    assert len(told) == 2
    every = [u for u in read_folder(tmp_path / "in", [], "all") if u.id.startswith("zoe-b")]
    assert [(u.text, u.speaker) for u in every] == [("yes", "Ann"), ("no", "Bob"), ("<noise>", "Ann")]
    one = [u for u in read_folder(tmp_path / "in", [], "Ann") if u.id.startswith("zoe-b")]
    assert [(u.id, u.speaker) for u in one] == [("zoe-b-0000500", "zoe"), ("zoe-b-0002000", "zoe")]
    problems = []
    assert [u.text for u in read_folder(tmp_path / "in", problems, "Bob")] == ["we ran", "no"]
    assert "zoe/a.TextGrid: no tier 'Bob', there are: s;" in "".join(map(str, problems))


EAF = """<?xml version="1.0" encoding="UTF-8"?><ANNOTATION_DOCUMENT><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1250"/>
<TIME_SLOT TIME_SLOT_ID="t3"/></TIME_ORDER>
<TIER TIER_ID="ref@Ann" LINGUISTIC_TYPE_REF="ref"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1"
TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2"><ANNOTATION_VALUE>s.001</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>
</ANNOTATION><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a9" TIME_SLOT_REF1="t2" TIME_SLOT_REF2="t3">
<ANNOTATION_VALUE>s.002</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="tx@Ann" PARENT_REF="ref@Ann" LINGUISTIC_TYPE_REF="text"><ANNOTATION><REF_ANNOTATION
ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>baʼa</ANNOTATION_VALUE></REF_ANNOTATION>
</ANNOTATION></TIER><TIER TIER_ID="ft@Ann"
PARENT_REF="tx@Ann" LINGUISTIC_TYPE_REF="free"><ANNOTATION><REF_ANNOTATION
ANNOTATION_ID="a3" ANNOTATION_REF="a2"><ANNOTATION_VALUE>house</ANNOTATION_VALUE></REF_ANNOTATION>
</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def test_elan(tmp_path: Path, record: Record) -> None:
    """Tiers below others have their times, whatever their order; a slot without a time is passed over."""
    path = record(tmp_path / "in/a.wav", 2.0).with_suffix(".eaf")
    path.write_text(EAF, encoding="utf-8")
    for tier, text in (("tx", "baʼa"), ("tx@Ann", "baʼa"), ("free", "house"), ("ref", "s.001")):
        found = list(read_folder(tmp_path / "in", [], tier))
        assert [(u.id, u.text, u.start, u.duration, u.speaker) for u in found] == [
            ("a-0000500-Ann", text, 0.5, 0.75, "Ann")
        ]
    path.write_text(EAF.replace("@Ann", " Lee"), encoding="utf-8")
    for tier, ids in (("all", ["ref_Lee"]), ("tx Lee, ref Lee", ["", ""])):  # those below are translations
        found = list(read_folder(tmp_path / "in", [], tier))
        assert [u.id for u in found] == ["-".join(filter(None, ("a-0000500", i))) for i in ids]
    for text, says in (
        ('<?xml version="1.0" encoding="foo"?><a/>', "no eaf file that can be"),
        (EAF, "several tiers: ref@Ann, tx@Ann, ft@Ann; name"),
        ("<a>", "no eaf file that can be"),
    ):
        path.write_text(text, encoding="utf-8")
        problems: list[AsrError] = []
        assert not list(read_folder(tmp_path / "in", problems)) and says in str(problems[0])


def test_a_lab_file_with_times_is_no_transcript(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "in/a.wav").with_suffix(".lab").write_text("0 2500000 sil\n2500000 5000000 k\n")
    problems: list[AsrError] = []
    assert not list(read_folder(tmp_path / "in", problems))
    assert "a.wav: a.lab holds times of labels, not words" in str(problems[0])


def test_missing_words_are_listed(tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    """In a file, for they are what the user has to write; also where nothing could be prepared."""
    lexicon = tmp_path / "words.txt"
    for n, text in enumerate(("ba da", "ba mu", "mu ku")):
        record(tmp_path / f"in/{n}.wav").with_suffix(".txt").write_text(text)
    missing = tmp_path / "out/missing_words.txt"
    lexicon.write_text("zu z u\n")
    with pytest.raises(DataError, match=f"4 words without a pronunciation are in {missing}"):
        preparer("folder").prepare(tmp_path / "in", tmp_path / "out", language="rw", lexicon=lexicon)
    lexicon.write_text("ba b a\nda d a\n")
    preparer("folder").prepare(tmp_path / "in", tmp_path / "out", language="rw", lexicon=lexicon)
    assert missing.read_text() == "MU\t2\nKU\t1\n"
    assert f"2 words have no pronunciation, all in {missing}; add" in capsys.readouterr().err
    lexicon.write_text("ba b a\nda d a\nmu m u\nku k u\n")
    preparer("folder").prepare(tmp_path / "in", tmp_path / "out", language="rw", lexicon=lexicon)
    assert not missing.exists()


def test_kaldi_says_what_one_file_lacks(tmp_path: Path, record: Record) -> None:
    for name in "abcd":
        record(tmp_path / f"in/{name}.wav")
    (tmp_path / "in/wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in "abcd"))
    (tmp_path / "in/text").write_text("a the cat\nb the cat\nc the cat\n")
    (tmp_path / "in/utt2spk").write_text("a ann\nb\nc cy\n")
    corpus = preparer("kaldi").prepare(tmp_path / "in", tmp_path / "out")
    assert {i: s for i, (_, s, _) in every(corpus).items()} == {"a": "ann", "b": None, "c": "cy"}
    problems = "\n".join(corpus.problems)
    assert "wav.scp:4: utterance d: not in text" in problems
    assert "utt2spk:2: utterance b: no speaker" in problems and len(corpus.problems) == 2


def test_kaldi(tmp_path: Path, record: Record) -> None:
    for split in ("train", "test"):
        record(tmp_path / f"egs/wav/{split}/r1.wav", 3.0, 8000)
        record(tmp_path / f"egs/wav/{split}/r2.wav")
        folder = tmp_path / "egs/data" / split
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text(
            f"r1 wav/{split}/r1.wav\nr2 wav/{split}/r2.wav\nr3 sph2pipe x |\nr4 wav/gone.wav\n"
        )
        (folder / "utt2spk").write_text(f"{split}1 ann\n{split}2 ann\n{split}3 bob\n")
        (folder / "text").write_text(
            f"{split}1 a cat\n{split}2 a dog\n{split}3 yes\n{split}4 no\n{split}5 no\n{split}6 no\n"
        )
        (folder / "segments").write_text(
            f"{split}1 r1 0.5 1.25\n{split}2 r1 1.5 2.75\n{split}3 r2 0 -1\n"
            f"{split}4 r4 0 1\n{split}5 r1 1 0\nx r1 0 1\ny r5 0 1\n"
        )
    corpus = preparer("kaldi").prepare(tmp_path / "egs/data", tmp_path / "out")
    found = every(corpus)
    assert found["test2"] == ("test", "ann", "A DOG") and found["test3"] == ("test", "bob", "YES")
    assert len(found) == 6
    cut = next(c for c in corpus.cuts("test") if c.id == "test1")
    assert (cut.start, cut.duration, load_cut(cut, 8000).size) == (0.5, 0.75, 6000)
    text = "\n".join(corpus.problems)
    for message in ("wav.scp:3: utterance r3: a pipe", "wav.scp:4: utterance r4: no such file 'wav/gone.wav'",
                    "segments:7: utterance y: recording r5 is not in wav.scp",
                    "segments:5: utterance train5: not `utterance",
                    "segments:6: utterance x: not in text",
                    "text:6: utterance train6: not in segments"):  # fmt: skip
        assert message in text
    assert len(corpus.problems) == 12  # and none for the segment of r4, whose fault is told


def test_bad_audio_is_named_and_the_rest_prepared(tmp_path: Path, record: Record) -> None:
    for name in ("good", "fine", "cut", "text", "empty"):
        record(tmp_path / f"in/{name}.wav").with_suffix(".txt").write_text("cat")
    cut = tmp_path / "in/cut.wav"
    cut.write_bytes(cut.read_bytes()[:9000])
    (tmp_path / "in/text.wav").write_text("this is not sound\n")
    (tmp_path / "in/empty.wav").write_bytes(b"")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "out")
    assert set(every(corpus)) == {"good", "fine"}
    for name, message in (("cut", "cut short"), ("text", "is text, not audio"), ("empty", "empty file")):
        assert any(f"{name}.wav: utterance {name}: {message}" in p for p in corpus.problems)
    for path in (tmp_path / "in").glob("[gf]*.wav"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no usable utterance"):
        preparer("folder").prepare(tmp_path / "in", tmp_path / "out2")


def test_recordings_and_texts_alone_are_named(tmp_path: Path, record: Record) -> None:
    for name in ("a", "b"):
        record(tmp_path / f"in/{name}.wav").with_suffix(".txt").write_text("cat")
    for name in ("c.m4a", "a.mp4", "lone.txt", "README.txt", "notes/1.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("cat")
    (tmp_path / "in/c.txt").write_text("cat")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "out")
    assert set(every(corpus)) == {"a", "b"}
    lone, converted = sorted(corpus.problems, key=lambda p: "c.m4a" in p)
    assert "lone.txt: no recording beside it" in lone and "c.m4a: utterance c: " in converted


def test_kaldi_folders_without_speakers_name_none(tmp_path: Path, record: Record) -> None:
    source = own_data(tmp_path / "data", record, "kaldi")
    assert not (source / "utt2spk").exists()
    corpus = preparer("kaldi").prepare(source, tmp_path / "out")
    assert {speaker for _, speaker, _ in every(corpus).values()} == {None} and not corpus.problems
    names = [line.split()[0] for line in (source / "text").read_text().splitlines()]
    (source / "utt2spk").write_text(f"{names[0]} ann\n")
    corpus = preparer("kaldi").prepare(source, tmp_path / "again")
    assert every(corpus)[names[0]][1] == "ann"
    assert f"utt2spk: utterance {names[1]}: no speaker of {len(names) - 1} utterances" in corpus.problems[0]


def test_words_in_no_lexicon_are_guessed_and_listed(tmp_path: Path, record: Record) -> None:
    for name, text in (("a", "zorblax"), ("b", "zorblax frimble cat"), ("c", "cat")):
        record(tmp_path / f"in/train/{name}.wav").with_suffix(".txt").write_text(text)
    record(tmp_path / "in/test/d.wav").with_suffix(".txt").write_text("cat")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "out")
    assert (corpus.folder / "oov.txt").read_text() == "ZORBLAX\t2\nFRIMBLE\t1\n"
    assert sum(n["oov"] for n in corpus.splits.values()) == 3
    words = {line.split()[0] for line in corpus.lexicon_path.read_text().splitlines()}
    assert words == {"ZORBLAX", "FRIMBLE", "CAT"}
    # a second preparation without such words leaves no old list
    for name in "ab":
        (tmp_path / f"in/train/{name}.txt").write_text("cat")
    assert not (preparer("folder").prepare(tmp_path / "in", tmp_path / "out").folder / "oov.txt").exists()


def test_a_language_without_a_dictionary_gets_the_phonemes_of_espeak(tmp_path: Path, record: Record) -> None:
    for name in "abc":
        record(tmp_path / f"in/{name}.wav").with_suffix(".txt").write_text("Ein größerer Kaffee!")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "out", language="de")
    lexicon = Lexicon.load(corpus.lexicon_path, "de")
    assert set(lexicon.entries) == {"EIN", "GRÖẞERER", "KAFFEE"}
    assert lexicon.entries["KAFFEE"] == (("k", "a", "f", "eː"),)


def own_data(folder: Path, record: Record, kind: str) -> Path:
    """Four utterances, THE ZORBLAX four times, in one of the formats."""
    names = ("one", "two", "three", "four")
    for name in names:
        record(folder / f"{name}.wav").with_suffix(".txt").write_text("The zorblax!\n")
    if kind == "csv":
        lines = ["path,text", *(f"{name}.wav,the zorblax" for name in names)]
    elif kind == "jsonl":
        lines = [json.dumps({"audio": f"{name}.wav", "text": "the zorblax"}) for name in names]
    elif kind == "kaldi":
        (folder / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in names))
        (folder / "text").write_text("".join(f"{name} the zorblax\n" for name in names))
        return folder
    else:
        return folder
    (folder / f"all.{kind}").write_text("\n".join(lines) + "\n")
    return folder / f"all.{kind}"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "kaldi", "folder"])
def test_a_lexicon_and_more_text_of_the_user(tmp_path: Path, record: Record, kind: str) -> None:
    source = own_data(tmp_path / "in", record, kind)
    lexicon, text = tmp_path / "words.dict", tmp_path / "more.txt"
    lexicon.write_text("zorblax Z AO1 R\nzorblax(2) Z AO0 R\nzorblax Z B AE0 K S\nunsaid AH0 N\n")
    text.write_text("The cat, unsaid.\n\n---\nкот сказал\nA frimble zorblax\r\nthe кот\nnaïve cat\n")
    corpus = preparer(kind).prepare(source, tmp_path / "out", lexicon=lexicon, text=text)
    entries = Lexicon.load(corpus.lexicon_path).entries
    assert entries["ZORBLAX"] == (("Z", "AO", "R"), ("Z", "B", "AE", "K", "S"))
    assert entries["UNSAID"] == (("AH", "N"),)
    assert entries["CAT"] == (("K", "AE", "T"),) and entries["THE"][0] == ("DH", "AH")
    spoken = ["THE ZORBLAX"] * int(corpus.splits["train"]["utterances"])
    assert spoken and corpus.lm_text_path.read_text().splitlines() == [
        *spoken, "THE CAT UNSAID", "A FRIMBLE ZORBLAX",
    ]  # fmt: skip
    assert (corpus.folder / "oov.txt").read_text() == "FRIMBLE\t1\n"
    assert corpus.problems == [
        f"{text}:4: 3 of 5 sentences left out, this one first: no pronunciation for КОТ, СКАЗАЛ, NAÏVE; "
        "add them to the lexicon, if you gave one, or remove the sentences"
    ]


def test_a_lexicon_in_phonemes_of_its_own_too_small_to_guess_from(tmp_path: Path, record: Record) -> None:
    source = own_data(tmp_path / "in", record, "csv")
    lines = source.read_text().splitlines()
    source.write_text("\n".join([*lines[:-1], "four.wav,the dog"]))
    lexicon = tmp_path / "lexiconp.txt"
    lexicon.write_text("the 1.0 d@\nthe 0.25 di\nzorblax 1.0 z O: r\n")
    corpus = preparer("csv").prepare(source, tmp_path / "out", lexicon=lexicon)
    assert set(every(corpus)) == {"one", "two", "three"}
    assert corpus.lexicon_path.read_text() == "THE 1 d@\nTHE 0.25 di\nZORBLAX 1 z O: r\n"
    assert "no pronunciation for DOG, and the lexicon's 2 words are too few" in corpus.problems[0]
    assert f"{source}:5: utterance four: no pronunciation for DOG" in corpus.problems[1]


def test_bad_files_of_the_user_stop_before_audio_is_listened_to(tmp_path: Path, record: Record) -> None:
    source = own_data(tmp_path / "in", record, "folder")
    lexicon = tmp_path / "words.dict"
    lexicon.write_text("cat K AE T\ndog\n")
    folder = preparer("folder")
    with pytest.raises(LexiconError, match=r"words\.dict:2: word 'dog' has no pronunciation; add"):
        folder.prepare(source, tmp_path / "out", lexicon=lexicon)
    with pytest.raises(LexiconError, match=r"gone\.dict: cannot be read \(No such file"):
        folder.prepare(source, tmp_path / "out", lexicon=tmp_path / "gone.dict")
    with pytest.raises(DataError, match=r"gone\.txt: cannot be read \(No such file"):
        folder.prepare(source, tmp_path / "out", text=tmp_path / "gone.txt")
    with pytest.raises(LexiconError, match="does not speak the language 'rw'"):
        folder.prepare(source, tmp_path / "out", language="rw")
    assert not (tmp_path / "out").exists()


def test_a_pronunciation_that_is_never_used_keeps_its_probability(tmp_path: Path, record: Record) -> None:
    source = own_data(tmp_path / "in", record, "csv")
    lexicon = tmp_path / "lexiconp.txt"
    lexicon.write_text("the 1.0 d@\nthe 0.0 di\nzorblax 1.0 z O: r\n")
    corpus = preparer("csv").prepare(source, tmp_path / "out", lexicon=lexicon)
    assert Lexicon.load(corpus.lexicon_path) == Lexicon.load(lexicon)


def test_a_region_of_english_gets_the_lexicon_of_english(tmp_path: Path, record: Record) -> None:
    source = own_data(tmp_path / "in", record, "csv")
    text, words = tmp_path / "more.txt", tmp_path / "words.dict"
    text.write_text("the cat\nнаш cat\n")
    source.write_text(source.read_text().replace("four.wav,the zorblax", "four.wav,кот"))
    corpus = preparer("csv").prepare(source, tmp_path / "us", language="en-US", text=text)
    entries = Lexicon.load(corpus.lexicon_path).entries
    assert entries["CAT"] == (("K", "AE", "T"),) and "ZORBLAX" in entries and "НАШ" not in entries
    assert "characters outside the letters of English: К О Т" in corpus.problems[0]
    words.write_text("zorblax Z AO1 R\n")
    corpus = preparer("csv").prepare(source, tmp_path / "gb", language="en-GB", lexicon=words)
    assert Lexicon.load(corpus.lexicon_path).entries["ZORBLAX"] == (("Z", "AO", "R"),)


@pytest.mark.parametrize("below", ["", "train"])
def test_the_lexicon_of_a_kaldi_folder(tmp_path: Path, record: Record, below: str) -> None:
    source = own_data(tmp_path / "data" / "train", record, "kaldi")
    words = tmp_path / "data/local/dict/lexicon.txt"
    words.parent.mkdir(parents=True)
    words.write_text("!SIL SIL\n<unk> SPN\nzorblax Z AO1 R\n")
    corpus = preparer("kaldi").prepare(source if below else source.parent, tmp_path / "out")
    assert Lexicon.load(corpus.lexicon_path).entries["ZORBLAX"] == (("Z", "AO", "R"),)


def test_entries_that_no_text_meets_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hyphens separate words and figures are spelled out; marks of noises are another matter."""
    path = tmp_path / "words.txt"
    path.write_text("well-known W EH L\ncat K AE T\n<unk> K\n!sil K\n2nd S EH\no'clock K AE\nmp3 EH\n")
    assert own_lexicon(path, "en") is not None
    assert "words.txt: 3 entries are spelled otherwise in a text" in (said := capsys.readouterr().err)
    assert (
        "never used: WELL-KNOWN (WELL KNOWN), 2ND (SECOND), MP3 (MP THREE); write an entry for each" in said
    )
    path.write_text("well W EH L\nknown N OW N\n")
    own_lexicon(path, "en")
    assert not capsys.readouterr().err
