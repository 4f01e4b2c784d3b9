"""Budgets: nested parts of a training set, seeded and speaker-balanced, and of a text."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lhotse import CutSet
from lhotse.cut import Cut

from asr.errors import UsageError
from asr.files import content_hash

TOLERANCE = 0.01


def some_text(sentences: Sequence[str], words: int) -> list[str]:
    """As many sentences, in an order drawn once for all, as come closest to so many running words.

    The part for fewer words is contained in the part for more.

    Raises
    ------
    UsageError
        If there are not as many words, or `words` is not above 0.
    """
    total = sum(len(s.split()) for s in sentences)
    if words <= 0:
        raise UsageError(f"{words} words are no budget", fix="ask for more than 0 words of text")
    if words > total * (1 + TOLERANCE):
        raise UsageError(
            f"{words} words of text are more than the {total} words there are",
            fix="ask for fewer or leave them out to use all",
        )
    chosen: list[str] = []
    spent = 0
    for number in sorted(range(len(sentences)), key=lambda n: content_hash(f"{n}\t{sentences[n]}")):
        length = len(sentences[number].split())
        if chosen and spent + length / 2 > words:
            break
        chosen.append(sentences[number])
        spent += length
    return chosen


@dataclass(frozen=True)
class Budget:
    """So many hours of a corpus.

    For one seed the part for fewer hours is contained in the part for more, so that a learning curve shows
    more data, not other data. Speakers take turns, one utterance each, in an order drawn from the seed; the
    result depends on the set of cuts alone, not on their order.

    Attributes
    ----------
    hours
        Hours of audio; None for all there are.
    seed
        Another seed draws another order.
    """

    hours: float | None
    seed: int = 0

    def select(self, cuts: CutSet) -> CutSet:
        """The cuts of this budget: as many, in the order drawn, as come closest to its hours; at least one.

        Raises
        ------
        UsageError
            If there are not as many hours, or hours is not above 0.
        """
        ordered = self._ordered(cuts)
        if self.hours is None:
            return CutSet.from_cuts(ordered)
        seconds = 3600 * self.hours
        total = sum(cut.duration for cut in ordered)
        if not seconds > 0:
            raise UsageError(f"{self.hours:g} hours is no budget", fix="ask for more than 0 hours")
        if seconds > total * (1 + TOLERANCE):
            what = (
                f"{self.hours:g} hours are more than the {total / 3600:.4g} hours of training audio there are"
            )
            raise UsageError(what, fix="ask for fewer or leave the hours out to use all")
        chosen: list[Cut] = []
        spent = 0.0
        for cut in ordered:
            if chosen and spent + cut.duration / 2 > seconds:
                break
            chosen.append(cut)
            spent += cut.duration
        return CutSet.from_cuts(chosen)

    @staticmethod
    def digest(cuts: CutSet) -> str:
        """SHA-256 (hex) of what is trained on: ids, texts and durations, in any order of the cuts."""
        lines = (f"{cut.id}\t{cut.supervisions[0].text}\t{cut.duration:.4f}\n" for cut in cuts)
        return content_hash("".join(sorted(lines)))

    def _ordered(self, cuts: CutSet) -> list[Cut]:
        """All cuts, speakers taking turns; hashes of seed and names stand for random numbers."""
        by_speaker: defaultdict[str, list[Cut]] = defaultdict(list)
        for cut in cuts:
            by_speaker[str(cut.supervisions[0].speaker)].append(cut)
        ranked = [
            (turn, self._draw("speaker", speaker), cut)
            for speaker, some in by_speaker.items()
            for turn, cut in enumerate(sorted(some, key=lambda cut: (self._draw("cut", cut.id), cut.id)))
        ]
        return [cut for _, _, cut in sorted(ranked, key=lambda item: item[:2])]

    def _draw(self, kind: str, name: str) -> bytes:
        return hashlib.sha256(f"{self.seed}\t{kind}\t{name}".encode()).digest()
