"""Recordings of single utterances, small enough to stand in a page, and when their words were recognised."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import soundfile

from asr.data.audio import load_cut
from asr.data.corpus import Corpus
from asr.errors import AudioError

RATE = 16_000
COMPRESSION = 0.9  # of MP3: about 24 kbit/s at this rate, 3 kB for a second of speech
MOST_BYTES = 1_200_000  # of all recordings in a page; encoded they take a third more


def recordings(corpus: Corpus, split: str, ids: Collection[str]) -> dict[str, str]:
    """Utterance id → data address of its audio as MP3, as many as fit; unreadable ones are left out."""
    found: dict[str, str] = {}
    spent = 0
    for cut in corpus.cuts(split):
        if cut.id not in ids:
            continue
        data = io.BytesIO()
        try:
            soundfile.write(
                data, load_cut(cut, RATE), RATE, format="MP3", subtype="MPEG_LAYER_III",
                bitrate_mode="CONSTANT", compression_level=COMPRESSION,
            )  # fmt: skip
        except AudioError:  # named when it was decoded
            continue
        if spent + len(data.getvalue()) > MOST_BYTES:
            continue
        spent += len(data.getvalue())
        found[cut.id] = "data:audio/mpeg;base64," + base64.b64encode(data.getvalue()).decode()
    return found


def word_times(run: Path, split: str, ids: Collection[str]) -> Mapping[str, list[float]]:
    """Utterance id → seconds at which each recognised word starts, where the run wrote them down."""
    found: dict[str, list[float]] = {}
    with open(run / "decode" / split / "hyp.jsonl", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["id"] in ids and "words" in entry:
                found[entry["id"]] = [start for _, start, *_ in entry["words"]]
    return found
