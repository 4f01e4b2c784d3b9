import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.data.audio import load_cut
from asr.data.corpora import synth
from asr.data.corpus import Corpus
from asr.errors import ConfigError, DataError
from asr.text.lexicon import Lexicon


@pytest.fixture(scope="module", autouse=True)
def small_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth, "PART", 10)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return synth.prepare(tmp_path_factory.mktemp("synth"), hours=0.02, dev_hours=0.005, test_hours=0.005)


def listed(corpus: Corpus, split: str) -> list[tuple]:
    """Everything about the cuts of a split but the place of the audio."""
    rows = []
    for cut in corpus.cuts(split):
        path = Path(cut.recording.sources[0].source)
        value = cut.to_dict()
        del value["recording"]
        rows.append((value, path.read_bytes()))
    return rows


def test_corpus_is_complete_and_readable(corpus):
    assert {split: round(n["hours"], 2) for split, n in corpus.splits.items()} == {
        "train": 0.02,
        "dev": 0.01,
        "test": 0.01,
    }
    lexicon = Lexicon.load(corpus.lexicon_path)
    assert len(lexicon) >= 500
    lines = corpus.lm_text_path.read_text().splitlines()
    assert len(lines) >= synth.LM_SENTENCES and not lexicon.oov(lines)
    speakers = {}
    for split in corpus.splits:
        for cut in corpus.cuts(split):
            (supervision,) = cut.supervisions
            assert len(load_cut(cut, 16000)) == cut.num_samples
            assert [item.symbol for item in supervision.alignment["word"]] == supervision.text.split()
            assert max(item.end for item in supervision.alignment["phone"]) <= cut.duration
            assert supervision.custom["phones"] == lexicon.pronounce(supervision.text)
            assert 5 <= supervision.custom["snr_db"] <= 30
            assert speakers.setdefault(supervision.speaker, split) == split
        info = soundfile.info(cut.recording.sources[0].source)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


def test_fewer_hours_are_the_beginning_of_more(corpus, tmp_path):
    smaller = synth.prepare(tmp_path, hours=0.01, dev_hours=0.005, test_hours=0.005)
    few, many = listed(smaller, "train"), listed(corpus, "train")
    assert 0 < len(few) < len(many)
    assert few == many[: len(few)]
    assert listed(smaller, "test") == listed(corpus, "test")
    assert smaller.lm_text_path.read_text() == corpus.lm_text_path.read_text()
    # growing it in place uses the audio that is there and ends the same
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    grown = synth.prepare(tmp_path, hours=0.02, dev_hours=0.005, test_hours=0.005)
    assert listed(grown, "train") == many
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())


@pytest.fixture
def own_text(tmp_path):
    lines = [
        f"The {what} is over there." for what in "cat dog tree house river bridge tower garden lake".split()
    ]
    lines += ["it's ten o'clock", "THE CAT IS OVER THERE", "wir sagen Grüße", "Good-bye, Blorptastic!"]
    path = tmp_path / "own.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_text_is_spoken_in_place_of_the_grammar(own_text, tmp_path):
    made = synth.prepare(tmp_path / "c", hours=0.01, dev_hours=0.003, test_hours=0.003, text=own_text)
    spoken = {split: {cut.supervisions[0].text for cut in made.cuts(split)} for split in made.splits}
    # the ninth and the tenth of ten different sentences
    assert spoken["dev"] == {"THE LAKE IS OVER THERE"} and spoken["test"] == {"IT'S TEN O'CLOCK"}
    lm = made.lm_text_path.read_text().splitlines()
    assert spoken["train"] <= set(lm) and len(lm) == len(set(lm)) == 9
    assert "GOOD BYE BLORPTASTIC" in lm and "BLORPTASTIC" in Lexicon.load(made.lexicon_path)
    assert (made.folder / "oov.txt").read_text() == "BLORPTASTIC\t1\n"
    (problem,) = made.problems
    assert "own.txt:12" in problem
    for cut in made.cuts("train"):
        assert [item.symbol for item in cut.supervisions[0].alignment["word"]] == cut.supervisions[
            0
        ].text.split()
    # its audio has a place of its own, beside another text's and the grammar's
    own_text.write_text(own_text.read_text().replace("over there", "right here"))
    few = {"hours": 0.003, "dev_hours": 0.003, "test_hours": 0.003}
    again = synth.prepare(tmp_path / "c", text=own_text, **few)
    assert {cut.supervisions[0].text for cut in again.cuts("dev")} == {"THE LAKE IS RIGHT HERE"}
    synth.prepare(tmp_path / "c", **few)
    assert len(list((tmp_path / "c" / "audio").iterdir())) == 3


def test_a_text_of_few_sentences_is_refused(tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("one two\n\none two\nthree\n")
    with pytest.raises(DataError, match=r"few.txt: 2 different sentences; give 10 or more"):
        synth.prepare(tmp_path / "c", hours=0.01, text=few)


def test_seed_and_clean_make_another_corpus_in_the_same_folder(corpus, tmp_path):
    tiny = {"hours": 0.002, "dev_hours": 0.001, "test_hours": 0.001}
    other = synth.prepare(tmp_path, seed=1, **tiny)
    texts = [cut.supervisions[0].text for cut in other.cuts("train")]
    clean = synth.prepare(tmp_path, clean=True, **tiny)
    again = [cut.supervisions[0].text for cut in clean.cuts("train")]
    noisy = list(corpus.cuts("train"))
    assert texts[0] != again[0] == noisy[0].supervisions[0].text
    quiet, loud = (load_cut(cut, 16000) for cut in (next(iter(clean.cuts("train"))), noisy[0]))
    assert np.square(quiet[:500]).mean() < np.square(loud[:500]).mean()


@pytest.mark.parametrize("wrong", [{"hours": 0}, {"hours": float("nan")}, {"test_hours": -1}, {"seed": -1}])
def test_wrong_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError):
        synth.prepare(tmp_path, **wrong)


def test_killed_and_run_again_ends_the_same(corpus, tmp_path):
    code = (
        "from pathlib import Path; from asr.data.corpora import synth; synth.PART = 10;"
        f"synth.prepare(Path({str(tmp_path)!r}), hours=0.02, dev_hours=0.005, test_hours=0.005)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("part-00000.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "corpus.json").exists()
    first = next(tmp_path.rglob("train-000000.flac"))
    then = first.stat().st_mtime_ns
    resumed = synth.prepare(tmp_path, hours=0.02, dev_hours=0.005, test_hours=0.005)
    assert listed(resumed, "train") == listed(corpus, "train")
    assert first.stat().st_mtime_ns == then
