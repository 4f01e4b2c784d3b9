"""What the network is taught to write: phonemes or spelling."""

from __future__ import annotations

from typing import Literal

from lhotse.cut import Cut

from asr.data.corpus import phones_of, text_of
from asr.errors import DataError
from asr.text.lexicon import Lexicon
from asr.text.units import BLANK, WORD_END, Units


class Targets:
    """From the transcript of a cut to labels of the output layer.

    Parameters
    ----------
    kind
        ``phonemes``: the supervision's reference ``phones`` where the corpus brings them, else the first
        pronunciation of each word. ``characters``: the letters of each word and a word end.
    lexicon
        Gives the units, and the pronunciations.

    Attributes
    ----------
    units
        Blank first, then the symbols in sorted order.
    """

    def __init__(self, kind: Literal["phonemes", "characters"], lexicon: Lexicon) -> None:
        self.kind, self.lexicon = kind, lexicon
        if kind == "phonemes":
            symbols = sorted(lexicon.phones())
        else:
            symbols = [*sorted({c for word in lexicon.entries for c in word}), WORD_END]
        self.units = Units([BLANK, *symbols])

    def encode(self, cut: Cut) -> list[int]:
        """Labels of a cut.

        Raises
        ------
        DataError
            If the text is empty or holds a word without a pronunciation, or a character or phoneme that is
            no unit.
        """
        words = text_of(cut).split()
        if not words:
            raise DataError("has no transcript", utterance=cut.id)
        if self.kind == "characters":
            symbols = [c for word in words for c in (*word, WORD_END)]
        else:
            symbols = phones_of(cut) or self.lexicon.pronounce(" ".join(words))
        unknown = sorted({s for s in symbols if s not in self.units})
        if unknown:
            fix = "add words that use it to the lexicon, or correct the transcript"
            raise DataError(
                f"{self.kind} hold {unknown[0]!r}, which the lexicon never uses", utterance=cut.id, fix=fix
            )
        return self.units.encode(symbols)
