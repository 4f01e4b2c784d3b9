"""speechocean762: 5,000 English sentences read by 250 Mandarin speakers, half of them children (OpenSLR 101).

Zhang et al., "speechocean762: An Open-Source Non-native English Speech Corpus For Pronunciation Assessment",
Interspeech 2021. Two layouts are read: the official one (WAVE/, train/, test/, resource/) and a folder with
manifest.jsonl, lexicon.txt and, perhaps, reference_lm.arpa.gz. The official train has no dev: a tenth of its
speakers becomes dev. Stress marks are dropped from lexicon and reference phonemes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.jsonl import read_manifest
from asr.data.corpora.utterance import Utterance, keyed_lines, numbered_lines
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError
from asr.text.lexicon import Lexicon, strip_stress

ORIGIN = Origin("speechocean762", "en", "CC BY 4.0", "OpenSLR 101, github.com/jimbozhang/speechocean762")


def prepare(source: Path, target: Path) -> Corpus:
    """Prepare either layout."""
    problems: list[AsrError] = []
    if (source / "manifest.jsonl").exists():
        utterances = list(read_manifest(source / "manifest.jsonl", problems))
        words, lm = source / "lexicon.txt", source / "reference_lm.arpa.gz"
    else:
        utterances = list(_official(source, problems))
        words, lm = source / "resource" / "lexicon.txt", source / "reference_lm.arpa.gz"
    loaded = Lexicon.load(words)
    lexicon = Lexicon({word: tuple(map(strip_stress, some)) for word, some in loaded.entries.items()})
    return assemble(target, ORIGIN, utterances, problems, lexicon=lexicon, lm=lm if lm.exists() else None)


def _official(source: Path, problems: list[AsrError]) -> Iterator[Utterance]:
    phones = _reference_phones(source / "resource" / "text-phone", problems)
    for split in ("train", "test"):
        folder = source / split
        texts = keyed_lines(folder / "text", problems)
        speakers = keyed_lines(folder / "utt2spk", problems)
        for name, (line, audio) in keyed_lines(folder / "wav.scp", problems).items():
            if name not in texts or name not in speakers:
                lacking = "text" if name not in texts else "utt2spk"
                problems.append(
                    DataError(f"not in {lacking}", path=folder / "wav.scp", line=line, utterance=name)
                )
                continue
            yield Utterance(
                id=name,
                audio=source / audio,
                text=texts[name][1],
                speaker="so" + speakers[name][1],
                split=split,
                phones=strip_stress(phones.get(name, ())),
                where=(folder / "text", texts[name][0]),
            )


def _reference_phones(path: Path, problems: list[AsrError]) -> dict[str, list[str]]:
    """Phonemes per utterance from lines such as ``000010011.1<tab>K_B AO0_I L_E`` (utterance.word)."""
    phones: dict[str, list[str]] = {}
    for _, line in numbered_lines(path, problems) if path.exists() else ():
        key, *marked = line.split()
        phones.setdefault(key.rpartition(".")[0], []).extend(
            re.sub(r"_[BIES]$", "", phone) for phone in marked
        )
    return phones
