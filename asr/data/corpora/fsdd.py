"""Free Spoken Digit Dataset: 3,000 English digits by six speakers, 8 kHz (Jackson et al.).

Official split: repetitions 0-4 of each digit and speaker are test, the rest train; the speakers are the same
in both. `prepare_disjoint` makes theo and yweweler the test instead. A tenth of train, by a hash of the
utterance id, becomes dev. Two layouts are read: recordings/{digit}_{speaker}_{n}.wav, and a folder with
manifest.jsonl.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.jsonl import read_manifest
from asr.data.corpora.utterance import Utterance
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError

SOURCE = "github.com/Jakobovski/free-spoken-digit-dataset"
DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
TEST_SPEAKERS = ("theo", "yweweler")


def prepare(source: Path, target: Path) -> Corpus:
    """Prepare either layout with the official split."""
    problems: list[AsrError] = []
    utterances = [_with_dev(u) for u in _read(source, problems)]
    return assemble(target, Origin("fsdd", "en", "CC BY-SA 4.0", SOURCE), utterances, problems)


def prepare_disjoint(source: Path, target: Path) -> Corpus:
    """Prepare either layout with speakers in test that train does not know."""
    problems: list[AsrError] = []
    utterances = [
        _with_dev(replace(u, split="test" if u.speaker in TEST_SPEAKERS else "train"))
        for u in _read(source, problems)
    ]
    return assemble(target, Origin("fsdd_disjoint", "en", "CC BY-SA 4.0", SOURCE), utterances, problems)


def _with_dev(u: Utterance) -> Utterance:
    held_out = int(hashlib.sha256(u.id.encode()).hexdigest(), 16) % 10 == 0
    return replace(u, split="dev") if u.split == "train" and held_out else u


def _read(source: Path, problems: list[AsrError]) -> Iterator[Utterance]:
    if (source / "manifest.jsonl").exists():
        yield from read_manifest(source / "manifest.jsonl", problems)
        return
    recordings = sorted((source / "recordings").glob("*.wav"))
    if not recordings:
        raise DataError(
            "neither recordings/*.wav nor manifest.jsonl", path=source, fix="give the root of the data set"
        )
    for audio in recordings:
        digit, _, rest = audio.stem.partition("_")
        speaker, _, number = rest.rpartition("_")
        if digit not in list("0123456789") or not speaker or not number.isdecimal():
            what = "its name is not {digit}_{speaker}_{number}.wav"
            problems.append(DataError(what, path=audio, fix="rename or remove it"))
            continue
        yield Utterance(
            id=f"fsdd-{audio.stem}",
            audio=audio,
            text=DIGITS[int(digit)],
            speaker=speaker,
            split="test" if int(number) < 5 else "train",
        )
