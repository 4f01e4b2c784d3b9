"""Corpora through Lhotse's preparers, on tiny copies of their official layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr.data.corpora import preparer
from asr.data.corpora.through_lhotse import _files
from asr.data.corpus import Corpus
from asr.errors import DataError, LexiconError, UsageError
from asr.text.lexicon import Lexicon

Record = Callable[..., Path]


def texts(corpus: Corpus) -> dict[str, dict[str, str]]:
    return {s: {c.id: c.supervisions[0].text for c in corpus.cuts(s)} for s in corpus.splits}


def librispeech(root: Path, parts: dict[str, int], record: Record) -> None:
    """One chapter of two utterances for each of so many speakers of each part."""
    first = 100
    for part, people in parts.items():
        for speaker in range(first, first + people):
            folder = root / "LibriSpeech" / part / str(speaker) / "1"
            for n in range(2):
                record(folder / f"{speaker}-1-{n:04d}.flac")
            (folder / f"{speaker}-1.trans.txt").write_text(
                f"{speaker}-1-0000 THE CAT\n{speaker}-1-0001 IT'S A DOG\n"
            )
        first += people


def test_librispeech(tmp_path: Path, record: Record) -> None:
    parts = {"train-clean-100": 2, "train-other-500": 1, "dev-clean": 1, "dev-other": 1, "test-other": 1}
    librispeech(tmp_path, parts, record)
    (tmp_path / "LibriSpeech/dev-other/104/1/104-1-0001.flac").unlink()
    corpus = preparer("librispeech").prepare(tmp_path, tmp_path / "out")
    assert {s: len(found) for s, found in texts(corpus).items()} == {
        "train": 6, "dev": 2, "dev_other": 1, "test": 2,
    }  # fmt: skip
    assert texts(corpus)["test"] == {"105-1-0000": "THE CAT", "105-1-0001": "IT'S A DOG"}
    assert len(corpus.problems) == 1 and "104-1-0001.flac" in corpus.problems[0]


def test_mini_librispeech_has_a_dev_of_other_speakers(tmp_path: Path, record: Record) -> None:
    librispeech(tmp_path, {"train-clean-5": 10, "dev-clean-2": 1}, record)
    corpus = preparer("mini_librispeech").prepare(tmp_path, tmp_path / "out")
    assert {s: (n["utterances"], n["speakers"]) for s, n in corpus.splits.items()} == {
        "train": (18, 9), "dev": (2, 1), "test": (2, 1),
    }  # fmt: skip


def test_unreadable_audio_is_named_and_the_rest_prepared(tmp_path: Path, record: Record) -> None:
    librispeech(tmp_path, {"train-clean-5": 2}, record)
    folder = tmp_path / "LibriSpeech/train-clean-5"
    bad = folder / "100/1/100-1-0000.flac"
    bad.write_text("no sound\n")
    (folder / "101/1/101-1-0001.flac").unlink()
    corpus = preparer("mini_librispeech").prepare(tmp_path, tmp_path / "out")
    cuts = [cut for split in corpus.splits for cut in corpus.cuts(split)]
    # the recordings themselves, not the links that Lhotse was given
    assert {cut.id: Path(cut.recording.sources[0].source) for cut in cuts} == {
        "100-1-0001": bad.with_name("100-1-0001.flac"),
        "101-1-0000": folder / "101/1/101-1-0000.flac",
    }
    assert len(corpus.problems) == 2
    assert f"{folder}/101/1/101-1-0001.flac" in corpus.problems[0]
    assert f"{bad}: utterance 100-1-0000: is text, not audio" in corpus.problems[1]


def test_links_that_lead_in_circles_are_followed_once(tmp_path: Path) -> None:
    for name in ("in/a/one", "in/b/two", "elsewhere/three"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "in/a/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/a/here").symlink_to(".")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "in/b")
    for folder in "ab":  # twice, but in no circle
        (tmp_path / "in" / folder / "out").symlink_to(tmp_path / "elsewhere")
    found = sorted(str(path.relative_to(tmp_path / "in")) for path in _files(tmp_path / "in"))
    assert found == ["a/one", "a/out/back/two", "a/out/three", "b/out/three", "b/two"]


def test_what_stops_lhotse_beside_unreadable_audio(tmp_path: Path, record: Record) -> None:
    librispeech(tmp_path, {"train-clean-5": 1}, record)
    folder = tmp_path / "LibriSpeech/train-clean-5/100/1"
    (folder / "100-1-0000.flac").write_text("no sound\n")
    (folder / "100-1.trans.txt").write_text("100-1-0000\n")
    with pytest.raises(DataError, match=r"Lhotse's preparer refused it .*; check that it is laid out as"):
        preparer("mini_librispeech").prepare(tmp_path, tmp_path / "out")


def test_another_language_laid_out_as_librispeech(tmp_path: Path, record: Record) -> None:
    for part, speaker in (("train-clean", 1), ("dev-clean", 2), ("test-clean", 3)):
        folder = tmp_path / f"in/{part}/{speaker}/7"
        for n in range(2):
            record(folder / f"{speaker}-7-{n:04d}.flac")
        (folder / f"{speaker}-7.trans.txt").write_text(
            "".join(f"{speaker}-7-{n:04d} größe zähne\n" for n in range(2))
        )
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("größe g r s\nzähne z n\n")
    corpus = preparer("librispeech").prepare(
        tmp_path / "in", tmp_path / "german", language="de", lexicon=lexicon
    )
    assert (corpus.name, corpus.language, corpus.licence) == ("german", "de", "") and not corpus.problems
    assert texts(corpus)["test"]["3-7-0000"] == "GRÖẞE ZÄHNE"
    with pytest.raises(UsageError, match="LibriSpeech is English"):
        preparer("librispeech").download(tmp_path, language="de")


def commonvoice(root: Path, record: Record) -> None:
    columns = "client_id path sentence up_votes down_votes age gender accents variant locale segment".split()
    for split in ("train", "dev", "test"):
        lines = ["\t".join(columns)]
        for n in range(2):
            name = f"common_voice_{split}_{n}.mp3"
            record(root / "en/clips" / name, 1.0, 32000)
            lines.append("\t".join([f"c{split}", name, 'A "cat!', "2", "0", "", "", "", "", "en", ""]))
        (root / "en" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (root / "en/clips/common_voice_test_1.mp3").unlink()


def test_commonvoice(tmp_path: Path, record: Record) -> None:
    commonvoice(tmp_path, record)
    corpus = preparer("commonvoice").prepare(tmp_path, tmp_path / "out", language="en")
    assert texts(corpus)["test"] == {"common_voice_test_0": "A CAT"}
    assert corpus.name == "commonvoice_en"
    assert corpus.problems == [
        f"{tmp_path}/en/test.tsv:3: utterance common_voice_test_1: no clip common_voice_test_1.mp3; "
        "unpack the archive again"
    ]
    with pytest.raises(DataError, match=r"no de/train.tsv \(languages here: en\)"):
        preparer("commonvoice").prepare(tmp_path, tmp_path / "out", language="de")


def test_commonvoice_of_a_region_with_a_bad_clip(tmp_path: Path, record: Record) -> None:
    commonvoice(tmp_path, record)
    (tmp_path / "en").rename(tmp_path / "sv-SE")
    (tmp_path / "sv-SE/clips/common_voice_dev_0.mp3").write_bytes(b"")
    corpus = preparer("commonvoice").prepare(tmp_path, tmp_path / "out", language="sv-SE")
    assert {s: list(found) for s, found in texts(corpus).items()} == {
        "train": ["common_voice_train_0", "common_voice_train_1"],
        "dev": ["common_voice_dev_1"],
        "test": ["common_voice_test_0"],
    }
    assert len(corpus.problems) == 2 and "test.tsv:3: utterance common_voice_test_1: no" in corpus.problems[0]
    assert "dev.tsv:2: utterance common_voice_dev_0: " in corpus.problems[1]
    assert "clips/common_voice_dev_0.mp3: empty file" in corpus.problems[1]
    assert corpus.lexicon_path.read_text().startswith("A ")


def test_commonvoice_in_a_language_that_espeak_does_not_speak(tmp_path: Path, record: Record) -> None:
    commonvoice(tmp_path, record)
    (tmp_path / "en").rename(tmp_path / "rw")
    with pytest.raises(LexiconError, match=r"'rw'.*--lexicon FILE"):
        preparer("commonvoice").prepare(tmp_path, tmp_path / "out", language="rw")
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("a a\ncat k a t\n")
    corpus = preparer("commonvoice").prepare(tmp_path, tmp_path / "out", language="rw", lexicon=lexicon)
    assert texts(corpus)["test"] == {"common_voice_test_0": "A CAT"}
    assert corpus.lexicon_path.read_text() == "A a\nCAT k a t\n"


def test_commonvoice_of_a_new_language(tmp_path: Path, record: Record) -> None:
    """It has one table, of which splits are made."""
    commonvoice(tmp_path, record)
    for split in ("dev", "test"):
        (tmp_path / f"en/{split}.tsv").unlink()
    (tmp_path / "en/train.tsv").rename(tmp_path / "en/validated.tsv")
    corpus = preparer("commonvoice").prepare(tmp_path, tmp_path / "out")
    assert sum(map(len, texts(corpus).values())) == 2 and not corpus.problems


def test_commonvoice_of_other_releases(tmp_path: Path, record: Record) -> None:
    """Columns come and go; quotes and tabs are no syntax there."""
    commonvoice(tmp_path, record)
    for path in (tmp_path / "en").glob("*.tsv"):
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        path.write_text("".join("\t".join([*row[:3], row[0][:1], ""]) + "\r\n" for row in rows))
    corpus = preparer("commonvoice").prepare(tmp_path, tmp_path / "out")
    assert {s: len(found) for s, found in texts(corpus).items()} == {"train": 2, "dev": 2, "test": 1}
    assert corpus.speakers("dev") == {"cdev"}


@pytest.mark.parametrize(("with_lexicon", "bad_audio"), [(True, False), (False, False), (False, True)])
def test_timit(tmp_path: Path, record: Record, with_lexicon: bool, bad_audio: bool) -> None:
    for part, speaker in (("TRAIN", "FCJF0"), ("TRAIN", "MDAC0"), ("TEST", "FADG0"), ("TEST", "MDAB0")):
        for sentence in ("SA1", "SX1", "SX2"):
            path = record(tmp_path / f"timit/{part}/DR1/{speaker}/{sentence}.WAV", format="NIST")
            path.with_suffix(".TXT").write_text("0 16000 The zoo.\n")
            path.with_suffix(".WRD").write_text("2000 6000 the\n6000 15000 zoo\n")
            path.with_suffix(".PHN").write_text(
                "0 2000 h#\n2000 4000 dh\n4000 6000 ix\n6000 7000 q\n7000 8000 zh\n"
                "8000 15000 ux\n15000 16000 h#\n"
            )
    (tmp_path / "timit/TRAIN/DR1/FCJF0/SX2.WRD").unlink()
    if bad_audio:
        (tmp_path / "timit/TRAIN/DR1/MDAC0/SX2.WAV").write_bytes(b"")
    if with_lexicon:
        (tmp_path / "timit/DOC").mkdir()
        (tmp_path / "timit/DOC/TIMITDIC.TXT").write_text(
            "; a comment\nthe  /dh ax/\nzoo~n  /zh uw1/\nbad /qq/\n"
        )
    corpus = preparer("timit").prepare(tmp_path, tmp_path / "out")
    assert {s: sorted(found) for s, found in texts(corpus).items()} == {
        "train": ["FCJF0-SX1", "MDAC0-SX1"] + (["MDAC0-SX2"] if not bad_audio else []),
        "dev": ["FADG0-SX1", "FADG0-SX2"],
        "test": ["MDAB0-SX1", "MDAB0-SX2"],
    }
    segment = next(iter(corpus.cuts("test"))).supervisions[0]
    assert segment.text == "THE ZOO" and segment.custom == {"phones": ["DH", "IH", "SH", "UW"]}
    assert [(i.symbol, i.start) for i in segment.alignment["phone"]][-1] == ("UW", 0.5)
    assert [(i.symbol, i.duration) for i in segment.alignment["word"]] == [("THE", 0.25), ("ZOO", 0.5625)]
    zoo = Lexicon.load(corpus.lexicon_path).entries["ZOO"]
    assert zoo == ((("SH", "UW"),) if with_lexicon else (("Z", "UW"),))
    assert "SX2.WAV: no .WRD beside it" in corpus.problems[0]
    assert len(corpus.problems) == 1 + with_lexicon + bad_audio
    assert not bad_audio or f"{tmp_path}/timit/TRAIN/DR1/MDAC0/SX2.WAV: utterance" in corpus.problems[1]


def test_ljspeech(tmp_path: Path, record: Record) -> None:
    names = [f"LJ001-{n:04d}" for n in range(20)]
    for name in names:
        record(tmp_path / f"wavs/{name}.wav", 1.0, 22050)
    (tmp_path / "metadata.csv").write_text("".join(f"{n}|Dr. No|Doctor No\n" for n in [*names, "LJ002-0001"]))
    corpus = preparer("ljspeech").prepare(tmp_path, tmp_path / "out")
    assert {s: len(found) for s, found in texts(corpus).items()} == {"train": 16, "dev": 2, "test": 2}
    assert set(texts(corpus)["train"].values()) == {"DOCTOR NO"}
    assert len(corpus.problems) == 1 and "LJ002-0001.wav" in corpus.problems[0]


def test_yesno(tmp_path: Path, record: Record) -> None:
    for n in range(60):
        record(tmp_path / f"waves_yesno/{'_'.join(f'{n:08b}')}.wav", 1.0, 8000)
    corpus = preparer("yesno").prepare(tmp_path, tmp_path / "out")
    assert {s: len(found) for s, found in texts(corpus).items()} == {"train": 27, "dev": 3, "test": 30}
    assert texts(corpus)["test"]["0_0_0_0_0_0_1_1"] == "NO NO NO NO NO NO YES YES"
    assert corpus.lexicon_path.read_text() == "YES Y\nNO N\n"
    (tmp_path / "waves_yesno/0_0_0_0_0_0_0_1.wav").write_text("no sound")
    corpus = preparer("yesno").prepare(tmp_path, tmp_path / "out")
    assert sum(len(found) for found in texts(corpus).values()) == 59
    assert ["0_0_0_0_0_0_0_1.wav: utterance 0_0" in p for p in corpus.problems] == [True]
    (tmp_path / "waves_yesno/0_0_0_0_0_0_1_1.wav").unlink()
    with pytest.raises(DataError, match=r"60 files named like 0_1_1_0_0_1_0_1\.wav"):
        preparer("yesno").prepare(tmp_path, tmp_path / "out")
