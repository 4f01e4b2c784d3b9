"""LJ Speech: 24 hours of one woman reading non-fiction (Ito and Johnson, 2017; public domain).

Through Lhotse, with the texts whose numbers and abbreviations are spelled out. There is no official split: a
tenth of the utterances each, by hash, become dev and test.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lhotse.recipes.ljspeech import download_ljspeech, prepare_ljspeech

from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.through_lhotse import called, utterances
from asr.data.corpus import Corpus
from asr.errors import AsrError

ORIGIN = Origin("ljspeech", "en", "public domain", "keithito.com/LJ-Speech-Dataset")
LAYOUT = "metadata.csv and wavs/*.wav"


def prepare(source: Path, target: Path) -> Corpus:
    """Prepare the unpacked archive."""
    problems: list[AsrError] = []
    manifests = called(prepare_ljspeech, LAYOUT, problems, source)
    normalized = {s.id: s.custom["normalized_text"] for s in manifests["supervisions"]}
    spoken = [replace(u, text=normalized[u.id]) for u in utterances(manifests, None, speaker="ljspeech")]
    return assemble(target, ORIGIN, spoken, problems)


def download(folder: Path) -> Path:
    """Fetch the archive (2.6 GB)."""
    return download_ljspeech(folder)
