"""Which utterances are emitted together."""

from __future__ import annotations

from lhotse import CutSet, MonoCut, SupervisionSegment

from asr.data.pool import POOL_S, speaker_batches


def test_speakers_are_pooled_and_the_unknown_are_alone():
    def cut(name: str, speaker: str | None, seconds: float) -> MonoCut:
        return MonoCut(name, 0.0, seconds, 0, [SupervisionSegment(name, name, 0.0, seconds, speaker=speaker)])

    most = POOL_S / 3
    cuts = [cut("e", None, 1.0), cut("d", "A", most), cut("b", "A", most), cut("f", "B", 1.0)]
    cuts += [cut("c", "A", most), cut("a", None, 1.0), cut("g", "A", most)]
    found = [[c.id for c in batch] for batch in speaker_batches(CutSet.from_cuts(cuts))]
    assert found == [["b", "c", "d"], ["g"], ["f"], ["a"], ["e"]]
