"""Corpora read by our own code: the official layouts, and real data where it is there."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asr.data.audio import load_cut
from asr.data.corpora import PREPARERS, preparer
from asr.data.corpora.grid import sentence
from asr.data.corpora.splits import divided
from asr.data.corpora.utterance import Utterance
from asr.data.corpus import Corpus
from asr.errors import DataError, UsageError
from asr.text.lexicon import Lexicon

Record = Callable[..., Path]


def texts(corpus: Corpus, split: str) -> dict[str, str]:
    return {cut.id: cut.supervisions[0].text for cut in corpus.cuts(split)}


def speakers(corpus: Corpus, split: str) -> set[str]:
    return {cut.supervisions[0].speaker for cut in corpus.cuts(split)}


def test_speechocean762_official_layout(tmp_path: Path, record: Record) -> None:
    source = tmp_path / "so"
    for split, people in (("train", range(12)), ("test", range(12, 14))):
        lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
        for person in people:
            for n in range(2):
                name = f"{person:04d}{n:05d}"
                record(source / f"WAVE/SPEAKER{person:04d}/{name}.WAV", format="WAV")
                lines["wav.scp"].append(f"{name}\tWAVE/SPEAKER{person:04d}/{name}.WAV")
                lines["text"].append(f"{name}\tWE CALL")
                lines["utt2spk"].append(f"{name} {person:04d}")
        (source / split).mkdir()
        for file, some in lines.items():
            (source / split / file).write_text("\n".join(some) + "\n")
    (source / "resource").mkdir()
    (source / "resource/lexicon.txt").write_text("WE\tW IY0\nCALL\tK AO0 L\nUNSAID\tAH1 N\n")
    (source / "resource/text-phone").write_text("000000000.0\tW_B IY0_E\n000000000.1\tK_B AO0_I L_E\n")
    corpus = preparer("speechocean762").prepare(source, tmp_path / "out")
    assert {s: n["utterances"] for s, n in corpus.splits.items()} == {"train": 22, "dev": 2, "test": 4}
    assert not speakers(corpus, "train") & speakers(corpus, "dev")
    assert speakers(corpus, "test") == {"so0012", "so0013"}
    phones = {c.id: c.supervisions[0].custom for s in ("train", "dev") for c in corpus.cuts(s)}
    assert phones["000000000"] == {"phones": ["W", "IY", "K", "AO", "L"]}
    assert corpus.lexicon_path.read_text() == "WE W IY\nCALL K AO L\nUNSAID AH N\n"
    assert corpus.lm_text_path.read_text() == "WE CALL\n" * 22


def test_fsdd_official_layout_and_disjoint_split(tmp_path: Path, record: Record) -> None:
    for digit in (0, 7):
        for speaker in ("george", "theo"):
            for n in (0, 4, 5, 11, 12, 13, 14):
                record(tmp_path / f"fsdd/recordings/{digit}_{speaker}_{n}.wav", 0.4, 8000)
    record(tmp_path / "fsdd/recordings/eleven.wav")
    official = preparer("fsdd").prepare(tmp_path / "fsdd", tmp_path / "a")
    assert texts(official, "test") == {
        f"fsdd-{d}_{s}_{n}": t
        for d, t in ((0, "ZERO"), (7, "SEVEN"))
        for s in ("george", "theo")
        for n in (0, 4)
    }
    for split, held_out in (("train", False), ("dev", True)):
        for name in texts(official, split) if split in official.splits else ():
            assert (int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 == 0) is held_out
    assert "eleven.wav: its name is not" in official.problems[0]
    disjoint = preparer("fsdd_disjoint").prepare(tmp_path / "fsdd", tmp_path / "b")
    assert speakers(disjoint, "test") == {"theo"} and speakers(disjoint, "train") == {"george"}


def test_grid_official_layout(tmp_path: Path, record: Record) -> None:
    names = [f"bbaf{n}n" for n in "123456789"] + ["lwbz9s"]
    for i, name in enumerate(names):
        record(tmp_path / f"grid/audio_25k/s{1 + i % 2}/{name}.wav", 1.0, 25000)
        words = (sentence(name) or "").lower().split()
        align = ["0 2500 sil", *(f"{2500 + 2500 * k} {5000 + 2500 * k} {w}" for k, w in enumerate(words))]
        path = tmp_path / f"grid/alignments/s{1 + i % 2}/{name}.align"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(align) + "\n")
    record(tmp_path / "grid/audio_25k/s1/nonsense.wav")
    (tmp_path / "grid/alignments/s1/bbaf1n.align").write_text("0 2500 lay\n")  # of another speaker
    corpus = preparer("grid").prepare(tmp_path / "grid", tmp_path / "out")
    every = {c.id: c.supervisions[0] for s in corpus.splits for c in corpus.cuts(s)}
    assert every["grid-s2-lwbz9s"].text == "LAY WHITE BY Z NINE SOON"
    items = every["grid-s2-lwbz9s"].alignment["word"]
    assert [(i.symbol, i.start, i.duration) for i in items[:2]] == [("LAY", 0.1, 0.1), ("WHITE", 0.2, 0.1)]
    assert every["grid-s1-bbaf1n"].alignment is None and every["grid-s1-bbaf1n"].text.endswith("ONE NOW")
    assert len(every) == 10 and len(corpus.problems) == 2
    assert "spells no GRID sentence" in corpus.problems[0] + corpus.problems[1]
    assert "word times are left out" in corpus.problems[0] + corpus.problems[1]


@pytest.mark.parametrize("order", ["<i2", ">i2"])
def test_an4_official_layout_with_sphere_and_raw_files(tmp_path: Path, record: Record, order: str) -> None:
    (tmp_path / "an4/etc").mkdir(parents=True)
    (tmp_path / "an4/etc/an4.dic").write_text("YES  Y EH S\nSTOP  S T AA P\nSTOP(2)  S T AO P\n")
    for split, speaker, name in (("train", "aaaa", "an1-aaaa-b"), ("test", "bbbb", "an2-bbbb-b")):
        path = f"an4_clstk/{speaker}/{name}"
        extra = f"an4_clstk/{speaker}/an9-{speaker}-b"
        (tmp_path / f"an4/etc/an4_{split}.fileids").write_text(f"{path}\n{extra}\nan4_clstk/x/gone\n")
        (tmp_path / f"an4/etc/an4_{split}.transcription").write_text(
            f"<s> yes </s> ({name})\n<s> STOP </s> (an9-{speaker}-b)\nno id\n"
        )
        record(tmp_path / f"an4/wav/{path}.sph", format="NIST")
        tone = (8000 * np.sin(np.arange(16000) / 9)).astype(order)
        (tmp_path / f"an4/wav/{extra}.raw").write_bytes(tone.tobytes())
    corpus = preparer("an4").prepare(tmp_path / "an4", tmp_path / "out")
    assert texts(corpus, "test") == {"an2-bbbb-b": "YES", "an9-bbbb-b": "STOP"}
    assert Lexicon.load(corpus.lexicon_path).entries["STOP"] == (("S", "T", "AA", "P"), ("S", "T", "AO", "P"))
    raw = next(c for c in corpus.cuts("test") if c.id == "an9-bbbb-b")
    np.testing.assert_allclose(load_cut(raw, 16000), 8000 / 32768 * np.sin(np.arange(16000) / 9), atol=1e-4)
    assert [p.split(": ", 1)[1] for p in corpus.problems[:2]] == [
        "no `(utterance-id)` at the end of the line; write `<s> WORDS </s> (id)`",
        "utterance gone: no recording; add it",
    ]


def test_wrong_folder_and_wrong_name(tmp_path: Path) -> None:
    for name in (
        "fsdd",
        "grid",
        "an4",
        "speechocean762",
        "kaldi",
        "jsonl",
        "csv",
        "folder",
        "librispeech",
        "timit",
    ):
        with pytest.raises(DataError, match=str(tmp_path)):
            preparer(name).prepare(tmp_path, tmp_path / "out")
    with pytest.raises(UsageError, match="did you mean 'fsdd'"):
        preparer("fssd")
    with pytest.raises(UsageError, match="give its folder"):
        preparer("fsdd").prepare(None, tmp_path)
    assert not (tmp_path / "out").exists()
    assert all(entry.about for entry in PREPARERS.values())


def test_division_is_by_speaker_from_ten_speakers_on_and_stable() -> None:
    def some(people: int, split: str | None = None) -> list[Utterance]:
        return [Utterance(f"u{i}", Path("a"), "A", f"s{i % people}", split) for i in range(100)]

    def parts(utterances: list[Utterance]) -> dict[str, set[str]]:
        out = divided(utterances)
        return {s: {u.id for u in out if u.split == s} for s in ("train", "dev", "test")}

    many, few = parts(some(20)), parts(some(9))
    for found in (many, few):
        assert [len(found[s]) for s in ("train", "dev", "test")] == pytest.approx([80, 10, 10], abs=1)
    by_id = {u.id: u.speaker for u in some(20)}
    people = [{by_id[i] for i in many[s]} for s in ("train", "dev", "test")]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    assert parts(some(20)[::-1]) == many
    official = [*some(20, "train"), Utterance("t", Path("a"), "A", "x", "test")]
    assert parts(official)["test"] == {"t"} and len(parts(official)["dev"]) == 10
    assert [u.id for u in divided(some(20))] == [u.id for u in some(20)]


@pytest.mark.parametrize(
    ("name", "folder", "sizes"),
    [
        ("fsdd", "fsdd", (2433, 267, 300)),
        ("fsdd_disjoint", "fsdd", (1801, 199, 1000)),
        ("grid", "grid_s1", (410, 30, 60)),
        ("an4", "an4_mini", (38, 3, 10)),
        pytest.param("speechocean762", "speechocean762", (2000, 200, 400), marks=pytest.mark.slow),
    ],
)
def test_real_data(tmp_path: Path, shared_data: Path, name: str, folder: str, sizes: tuple[int, ...]) -> None:
    corpus = preparer(name).prepare(shared_data / folder, tmp_path)
    assert tuple(int(corpus.splits[s]["utterances"]) for s in ("train", "dev", "test")) == sizes
    assert corpus.problems == [] and sum(n["oov"] for n in corpus.splits.values()) == 0
    lexicon = Lexicon.load(corpus.lexicon_path)
    cut = next(iter(corpus.cuts("test")))
    assert lexicon.pronounce(cut.supervisions[0].text)
    assert load_cut(cut, 16000).size == pytest.approx(16000 * cut.duration, abs=1)
    if name == "grid":
        assert [i.symbol for i in cut.supervisions[0].alignment["word"]] == cut.supervisions[0].text.split()
    if name == "speechocean762":
        assert corpus.lm_path is not None and gzip.open(corpus.lm_path).readline()
        said = {p for c in corpus.cuts("train") for p in c.supervisions[0].custom["phones"]}
        assert said <= set(lexicon.phones())
