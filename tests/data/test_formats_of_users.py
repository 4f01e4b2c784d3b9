"""Your own data: JSON lines, tables, Kaldi folders and plain folders, each mistake named by its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asr.data.audio import load_cut
from asr.data.corpora import preparer
from asr.data.corpus import Corpus
from asr.errors import DataError
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
            "\n".join([*(json.dumps(g | {"id": f"{split}{i}"}) for i, g in enumerate(good)), *lines])
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
    assert "gone.wav: utterance gone: no such audio file" in found and len(corpus.problems) == 9
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
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    corpus = preparer("csv").prepare(tmp_path / "data.csv", tmp_path / "out")
    assert every(corpus) == {"a": ("train", "x", "CAT DOG"), "b": ("dev", "y", "CAT")}
    assert "data.csv:4: 5 cells under 4 columns" in corpus.problems[0]
    assert "data.csv:5: unknown split 'nowhere'" in corpus.problems[1]


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


def test_kaldi(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "egs/wav/r1.wav", 3.0, 8000)
    record(tmp_path / "egs/wav/r2.wav")
    for split in ("train", "test"):
        folder = tmp_path / "egs/data" / split
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text("r1 wav/r1.wav\nr2 wav/r2.wav\nr3 sph2pipe x |\nr4 wav/gone.wav\n")
        (folder / "utt2spk").write_text(f"{split}1 ann\n{split}2 ann\n{split}3 bob\n")
        (folder / "text").write_text(
            f"{split}1 a cat\n{split}2 a dog\n{split}3 yes\n{split}4 no\n{split}5 no\n"
        )
        (folder / "segments").write_text(
            f"{split}1 r1 0.5 1.25\n{split}2 r1 1.5 2.75\n{split}3 r2 0 -1\n"
            f"{split}4 r4 0 1\n{split}5 r1 1 0\nx r1 0 1\n"
        )
    corpus = preparer("kaldi").prepare(tmp_path / "egs/data", tmp_path / "out")
    found = every(corpus)
    assert found["test2"] == ("test", "ann", "A DOG") and found["test3"] == ("test", "bob", "YES")
    assert len(found) == 6
    cut = next(c for c in corpus.cuts("test") if c.id == "test1")
    assert (cut.start, cut.duration, load_cut(cut, 8000).size) == (0.5, 0.75, 6000)
    text = "\n".join(corpus.problems)
    for message in ("wav.scp:3: utterance r3: a pipe", "wav.scp:4: utterance r4: no such file 'wav/gone.wav'",
                    "segments:4: utterance train4: recording r4 is not in wav.scp",
                    "segments:5: utterance train5: not `utterance",
                    "segments:6: utterance x: not in text"):  # fmt: skip
        assert message in text
    assert len(corpus.problems) == 10


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
    assert set(lexicon.entries) == {"EIN", "GRÖSSERER", "KAFFEE"}
    assert lexicon.entries["KAFFEE"] == (("k", "a", "f", "eː"),)
