"""Checks: each planted fault is found, a sound corpus is called sound."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from lhotse import CutSet
from lhotse.utils import fastcopy

from asr.data.audio import load_cut
from asr.data.check import (
    HMM_FRAMES_PER_PHONEME,
    check_audio,
    check_corpus,
    check_lexicon,
    check_lm,
    check_manifest,
    frames_needed,
    frames_of,
    hmm_frames_of,
)
from asr.data.corpora import preparer
from asr.data.corpus import Corpus
from asr.errors import AudioError, DataError
from asr.features.mfcc import MfccSettings, mfcc
from asr.models.gmmhmm.states import PHONE_STATES
from asr.models.networks import network
from asr.text.normalize import normalize, wrong_case

Record = Callable[..., Path]


@pytest.fixture
def corpus(tmp_path: Path, record: Record) -> Corpus:
    """Twelve sound utterances of six speakers, none in two splits."""
    for split, people in (("train", "abcd"), ("dev", "e"), ("test", "f")):
        for person in people:
            for n in range(2):
                path = record(tmp_path / f"in/{split}/{person}/{n}.wav")
                path.with_suffix(".txt").write_text("the cat")
    return preparer("folder").prepare(tmp_path / "in", tmp_path / "corpus")


def test_a_sound_corpus(corpus: Corpus) -> None:
    found = check_corpus(corpus.folder)
    assert (found.problems, found.warnings) == ([], [])
    assert found.facts["utterances"] == "train 8, dev 2, test 2"


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "damaged"),
        (lambda path: path.write_bytes(b"no gzip"), "damaged"),
        (lambda path: path.write_bytes(gzip.compress(b'{"id": 1\n')), "damaged"),
        (lambda path: path.write_bytes(gzip.compress(b'{"id": "a", "type": "MonoCut"}\n')), "damaged"),
        (lambda path: path.unlink(), "no split 'train'"),
    ],
    ids=["cut short", "no gzip", "no json", "no recording", "gone"],
)
def test_damaged_cuts_are_one_problem(corpus: Corpus, harm, says: str) -> None:
    harm(corpus.cuts_path("train"))
    (problem,) = check_corpus(corpus.folder).problems
    assert says in str(problem)
    with pytest.raises(DataError, match=says):
        list(corpus.cuts("train"))


def test_a_cut_without_a_recording_is_named(corpus: Corpus) -> None:
    first, *rest = corpus.cuts("train")
    first.recording = None
    CutSet.from_cuts([first, *rest]).to_file(corpus.cuts_path("train"))
    (problem,) = check_corpus(corpus.folder).problems
    assert f"utterance {first.id}: has no recording" in str(problem)
    with pytest.raises(AudioError, match="has no recording; run `asr prepare` again"):
        load_cut(next(iter(corpus.cuts("train"))), 16000)


def test_every_planted_fault_is_found(corpus: Corpus, tmp_path: Path, record: Record) -> None:
    cuts = list(corpus.cuts("train"))
    audio = tmp_path / "in/train"
    cuts[0].supervisions[0].text = ""
    cuts[1].supervisions[0].text = "THE KÄTZCHEN"
    cuts[2].supervisions[0].text = "THE CAT " * 20
    soundfile.write(audio / "b/1.wav", [0.0] * 16000, 16000)
    (audio / "c/0.wav").write_bytes((audio / "c/0.wav").read_bytes()[:9000])
    cuts[4].supervisions[
        0
    ].text = "THE CAT THE CAT THE"  # 22 characters, 13 phonemes; one second has 25 frames
    (audio / "c/1.wav").write_bytes((tmp_path / "in/test/f/0.wav").read_bytes())
    cuts[6].supervisions[0].speaker = "f"
    record(audio / "d/1.wav", 0.5)
    cuts.append(cuts[6])
    # by hand: the id that stands twice would be refused by Lhotse's own writer
    with gzip.open(corpus.cuts_path("train"), "wt") as f:
        f.writelines(json.dumps(cut.to_dict()) + "\n" for cut in cuts)
    found = check_corpus(corpus.folder)
    text = "\n".join(str(e) for e in found.problems)
    for message in (
        "utterance train-a-0: no words in its text",
        "utterance train-a-1: characters outside the letters of English: Ä",
        "utterance train-a-1: not in the lexicon: KÄTZCHEN",
        "utterance train-b-0: 1.00 s are too short for its 100 phonemes: 4.00 s needed",
        "1.wav: utterance train-b-1: silent",
        "0.wav: utterance train-c-0: cut short",
        "utterance train-c-1: the same stretch of sound as test-f-0, which is in test; leave it out",
        "utterance train-d-0: the id stands here a second time",
        "utterance train-d-1: changed since it was prepared: 0.50 s at 16000 Hz, was 1.00 s",
    ):
        assert message in text
    assert len(found.problems) == 9
    same = ", ".join(str(p) for p in sorted((audio / "c/1.wav", tmp_path / "in/test/f/0.wav")))
    assert [str(e).split(": ", 1)[1] for e in found.warnings] == [
        f"the same sound in 2 files, in test and train: {same}",
        "1 (f) of 1 speakers of test also speak in train",
    ]


@pytest.mark.parametrize(
    ("language", "text", "cased"),
    [
        ("en", "the cat", "the cat"),
        ("en", "THE CaT", "CaT"),
        ("en", "a b c d e f", "a b c d e ..."),
        ("de", "DER Weiß", "Weiß"),
        ("tr", "BiR", "BiR"),
    ],
)
def test_texts_in_the_wrong_case(corpus: Corpus, language: str, text: str, cased: str) -> None:
    """One line says so, in place of what follows from it: letters outside English, unknown words."""
    first, *rest = corpus.cuts("train")
    first.supervisions[0].text = text
    CutSet.from_cuts([first, *rest]).to_file(corpus.cuts_path("train"))
    written = json.loads((corpus.folder / "corpus.json").read_text())
    (corpus.folder / "corpus.json").write_text(json.dumps(written | {"language": language}))
    (problem,) = (str(p) for p in check_corpus(corpus.folder).problems if "train-a-0" in str(p))
    assert f"utterance train-a-0: in the wrong case, texts are in capitals: {cased}; write it as" in problem


@pytest.mark.parametrize(
    "text",
    [
        "DON’T",
        "CAFE\N{COMBINING ACUTE ACCENT}",
        "X²",
        "½",
        "A…B",
        "WAIT, NO",
        *map(normalize, ("ǆß", "straße")),
    ],
)
def test_what_is_no_letter_has_no_case(corpus: Corpus, text: str) -> None:
    """Signs that a normalised text has not are named as such."""
    first, *rest = corpus.cuts("train")
    first.supervisions[0].text = text
    CutSet.from_cuts([first, *rest]).to_file(corpus.cuts_path("train"))
    problems = [str(p) for p in check_corpus(corpus.folder).problems]
    assert any("train-a-0: " in p for p in problems) and not any("case" in p for p in problems)


@given(st.text(max_size=20), st.sampled_from(["en", "de", "tr", "el", "nv", "lt"]))
def test_no_normalised_text_is_in_the_wrong_case(text: str, language: str) -> None:
    assert not wrong_case(normalize(text, language), language)


def test_doubts(tmp_path: Path, record: Record) -> None:
    """What makes results wrong while every utterance is usable: it is told by `prepare` and `check` alike."""
    record(tmp_path / "long.wav", 4.0)
    rows = [
        "path,text,split,speaker,start,end",
        "long.wav,the cat sat,train,x,0,4",
        "long.wav,a dog ran,train,,0.5,3",
    ]
    for name in ("b", "c"):
        record(tmp_path / f"{name}.wav")
    rows += ["b.wav,the cat sat,dev,y,,", "c.wav,we all sat,test,z,,"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "more.txt").write_text("we all sat\nthe cat sat\n")
    folder = tmp_path / "out"
    preparer("csv").prepare(tmp_path / "t.csv", folder, text=tmp_path / "more.txt")
    warnings = [str(w) for w in check_corpus(folder).warnings]
    assert [w.split(": ", 1)[1] for w in warnings] == [
        "1 utterance has no speaker: dev and test may hold voices of train; name them, if you know them",
        "1 utterance is the same stretch of a recording as another, long-0000500 as long-0000000 first; "
        "look whether all have their times",
        "1 of 1 sentences of test stand in the text of the language model; "
        "leave them out of it, or errors will be fewer than with new sentences",
    ]


@pytest.mark.parametrize(
    ("language", "texts", "told"),
    [
        ("zh", ["今天天气很好我们出去玩", "你好世界你好世界"], True),
        ("zh", ["今天 天气 很 好 我们 出去 玩", "你好 世界"], False),
        ("th", ["ผมชอบกินข้าวผัดกุ้ง", "วันนี้อากาศดีมาก"], True),
        ("th", ["ผม ชอบ กิน ข้าว ผัด กุ้ง", "วันนี้ อากาศ ดี มาก"], False),
        ("de", ["Donaudampfschifffahrt", "Eisenbahnknotenpunkt"], False),
    ],
)
def test_scripts_without_spaces(
    tmp_path: Path, record: Record, language: str, texts: list[str], told: bool
) -> None:
    words = {word for text in texts for word in normalize(text, language).split()}
    (tmp_path / "lexicon.txt").write_text("".join(f"{word}\tA B\n" for word in words))
    for n, text in enumerate(texts * 3):
        record(tmp_path / f"in/{n}.wav").with_suffix(".txt").write_text(text)
    made = preparer("folder").prepare(
        tmp_path / "in", tmp_path / "out", language=language, lexicon=tmp_path / "lexicon.txt"
    )
    found = [str(w) for w in check_corpus(made.folder).warnings]
    assert any("put spaces between words" in w for w in found) == told


def test_a_stretch_of_test_in_train_is_a_problem(tmp_path: Path, corpus: Corpus) -> None:
    """Of a corpus that another program made, or an earlier version of this one."""
    cut = next(iter(corpus.cuts("test")))
    copy = next(iter(corpus.cuts("train")))
    copy = fastcopy(cut, id=copy.id, supervisions=copy.supervisions)
    CutSet.from_cuts([copy]).to_file(corpus.cuts_path("train"))
    found = [s for p in check_corpus(corpus.folder).problems if "the same stretch of" in (s := str(p))]
    assert len(found) == 1 and f"utterance {copy.id}: the same stretch of " in found[0]
    assert f"as {cut.id}, which is in test; leave it out" in found[0]


def test_short_utterances_are_measured_as_the_models_do(tmp_path: Path, record: Record) -> None:
    """THE CAT: 5 phonemes, 8 characters; the networks pad to 20 frames, the HMMs need 0.03 s a phoneme."""
    for name, seconds, words in (
        ("enough", 0.16, 1), ("padded", 0.46, 3), ("hmm", 0.44, 3), ("begun", 0.97, 5), ("network", 0.95, 5),
    ):  # fmt: skip
        path = record(tmp_path / f"in/train/a/{name}.wav", seconds)
        path.with_suffix(".txt").write_text("the cat " * words)
    for split in ("dev", "test"):
        record(tmp_path / f"in/{split}/{split}/a.wav").with_suffix(".txt").write_text("the cat")
    found = check_corpus(preparer("folder").prepare(tmp_path / "in", tmp_path / "corpus").folder)
    assert [str(e).split("utterance ")[1].split(";")[0] for e in found.problems] == [
        "train-a-hmm: 0.44 s are too short for its 15 phonemes: 0.45 s needed",
        "train-a-network: 0.95 s are too short for its 25 phonemes: 1.00 s needed",
    ]
    short = [str(e).split("utterance ")[1].split(";")[0] for e in found.warnings if "too short" in str(e)]
    assert short == [
        "train-a-begun: 0.97 s are too short for its 40 characters: 1.60 s needed",
        "train-a-padded: 0.46 s are too short for its 24 characters: 0.96 s needed",
    ]


def test_the_phonemes_named_are_those_that_need_the_seconds(tmp_path: Path, record: Record) -> None:
    """Eighteen phonemes are few enough for the networks, but the least, sixteen, too many for the HMMs."""
    record(tmp_path / "in/train/a/a.wav", 0.44).with_suffix(".txt").write_text("the cat")
    for split in ("dev", "test"):
        record(tmp_path / f"in/{split}/{split}/a.wav").with_suffix(".txt").write_text("cat")
    lexicon = tmp_path / "words.txt"
    lexicon.write_text(f"the {'DH AH ' * 8}DH\nthe {'DH AH ' * 7}DH\ncat K\n")
    corpus = preparer("folder").prepare(tmp_path / "in", tmp_path / "corpus", lexicon=lexicon)
    (problem,) = check_corpus(corpus.folder).problems
    assert problem.what == "0.44 s are too short for its 16 phonemes: 0.48 s needed"


def test_a_region_of_english_is_english(corpus: Corpus, tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio": "a.wav", "text": "zorblax"}\n{"audio": "a.wav", "text": "кот", "id": "b"}\n')
    found = check_manifest(path, "en-GB")
    assert "characters outside the letters of English: К О Т" in str(found.problems[0])
    assert "1 words are not in CMUdict" in str(found.warnings[0])
    cuts = list(corpus.cuts("train"))
    cuts[0].supervisions[0].text = "THE KÄTZCHEN"
    with gzip.open(corpus.cuts_path("train"), "wt") as f:
        f.writelines(json.dumps(cut.to_dict()) + "\n" for cut in cuts)
    described = json.loads((corpus.folder / "corpus.json").read_text())
    (corpus.folder / "corpus.json").write_text(json.dumps(described | {"language": "en-US"}))
    problems = [str(e) for e in check_corpus(corpus.folder).problems]
    assert any("characters outside the letters of English: Ä" in problem for problem in problems)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_the_frames_are_those_of_the_models(rate: int) -> None:
    assert HMM_FRAMES_PER_PHONEME == PHONE_STATES
    for samples in (
        1,
        rate // 100,
        rate // 3,
        rate // 2 + 1,
        rate * 4 // 5,
        rate * 4 // 5 + 1,
        rate,
        2 * rate - 7,
    ):
        assert frames_of(samples, rate) == network.frames_of(samples, rate)
        if samples > rate // 40:  # shorter ones are padded
            waveform = np.ones(samples, dtype=np.float32)
            frames = len(mfcc(waveform, rate, MfccSettings(), rate))
            assert hmm_frames_of(samples, rate) == frames


def test_frames_needed_counts_the_blanks_between_repeats() -> None:
    assert [frames_needed(list(text)) for text in ("", "a", "ab", "aa", "aabb")] == [0, 1, 2, 3, 6]


def test_kaldi_folders_are_those_that_are_prepared(tmp_path: Path, record: Record) -> None:
    for name in ("train", "train_sp"):
        record(tmp_path / name / "a.wav")
        (tmp_path / name / "wav.scp").write_text("a a.wav\n")
        (tmp_path / name / "text").write_text("a the cat\n")
    found = check_manifest(tmp_path)
    assert not found.problems and found.facts["usable utterances"] == "1"


def test_channels_that_cancel_are_silent(tmp_path: Path) -> None:
    tone = np.sin(np.arange(8000) / 5) / 3
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -tone], 1), 8000, "PCM_24")
    assert ["silent" in str(p) for p in check_audio(tmp_path / "a.wav").problems] == [True]


def test_manifest(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    soundfile.write(tmp_path / "quiet.wav", [0.0] * 8000, 8000)
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio": "a.wav", "text": "zorblax"}\n{oops\n{"audio": "quiet.wav", "text": "cat"}\n')
    found = check_manifest(path)
    assert [str(e).removeprefix(str(path)).split(";")[0] for e in found.problems] == [
        ":2: not JSON (Expecting property name enclosed in double quotes at column 2)",
        ":3: utterance quiet: silent",
    ]
    assert "1 words are not in CMUdict" in str(found.warnings[0]) and found.facts["usable utterances"] == "1"


def test_lexicon_and_language_model(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("A AH\nB\n")
    assert ":2: word 'B' has no pronunciation" in str(check_lexicon(path).problems[0])
    path.write_text("".join(f"W{i} A B\n" for i in range(100)) + "LAST A BB\n")
    found = check_lexicon(path)
    assert not found.problems and "occur once: BB" in str(found.warnings[1])
    assert "100 entries are spelled otherwise in a text and never used: W0 (W ZERO)" in str(found.warnings[0])
    arpa = tmp_path / "lm.arpa"
    arpa.write_text("\\data\\\nngram 1=4\n\n\\1-grams:\n-99 <s>\n-0.3 </s>\n-0.3 A\n\n\\end\\\n")
    problem = check_lm(arpa).problems[0]
    assert problem.path == arpa and "4" in problem.what and "3" in problem.what


def test_recording(tmp_path: Path, record: Record) -> None:
    assert check_audio(record(tmp_path / "a.wav", 0.5)).facts["seconds"] == "0.50"
    (tmp_path / "b.wav").write_text("text")
    assert "is text" in str(check_audio(tmp_path / "b.wav").problems[0])


def test_a_channel_of_nothing_is_silent(tmp_path: Path) -> None:
    """Of a call with one speaker; the average of both channels is not what is heard."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (16000, 2))
    soundfile.write(tmp_path / "call.wav", noise * [1, 0], 16000)
    rows = ["path,text,channel,split", "call.wav,cat,A,train", "call.wav,dog,B,test"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    assert [p.what for p in check_manifest(tmp_path / "t.csv").problems] == ["silent"]
    corpus = preparer("csv").prepare(tmp_path / "t.csv", tmp_path / "out")
    assert [p.utterance for p in check_corpus(corpus.folder).problems if p.what == "silent"] == ["call-2"]
