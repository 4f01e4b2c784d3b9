"""Train, dev and test for corpora that do not bring all three."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from asr.data.corpora.utterance import Utterance

HELD_OUT = 0.1
MIN_SPEAKERS = 10


def divided(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The same utterances in the same order, each with a split.

    A corpus without test or without dev loses a tenth of its train for each: whole speakers where train has
    at least ten of them, else single utterances. Who goes where follows from a hash of the names alone, so
    it is the same on every machine.

    Parameters
    ----------
    utterances
        Those whose split is None count as train; of one whose speaker is None the id counts.
    """
    divided = [replace(u, split=u.split or "train") for u in utterances]
    by_speaker = len({u.speaker for u in divided if u.split == "train"}) >= MIN_SPEAKERS

    def unit(u: Utterance) -> str:
        return (u.speaker or u.id) if by_speaker else u.id

    for split in ("test", "dev"):
        if any(u.split == split for u in divided):
            continue
        names = {unit(u) for u in divided if u.split == "train"}
        if len(names) < 2:
            continue
        ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        chosen = set(ordered[: max(1, round(HELD_OUT * len(names)))])
        divided = [
            replace(u, split=split) if u.split == "train" and unit(u) in chosen else u for u in divided
        ]
    return divided
