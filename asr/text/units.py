"""Ordered symbols: the columns of Emissions and the targets of networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asr.errors import DataError
from asr.files import write_text

BLANK = "<blk>"
WORD_END = "|"


class Units(Sequence[str]):
    """An ordered set of symbols; the index of a symbol is its column in Emissions.

    Raises
    ------
    DataError
        If a symbol is empty, holds white space or appears twice.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols = tuple(symbols)
        self._index = {symbol: i for i, symbol in enumerate(self.symbols)}
        if len(self._index) != len(self.symbols):
            twice = next(s for s in self.symbols if self.symbols.count(s) > 1)
            raise DataError(f"unit {twice!r} appears twice")
        for symbol in self.symbols:
            if not symbol or symbol.split() != [symbol]:
                raise DataError(f"unit {symbol!r} is empty or holds white space")

    def __len__(self) -> int:
        return len(self.symbols)

    def __iter__(self) -> Iterator[str]:
        return iter(self.symbols)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        return self.symbols[i]

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Units) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def id(self, symbol: str) -> int:
        """Index of `symbol`; KeyError if it is unknown."""
        return self._index[symbol]

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """Indices of several symbols; KeyError names the first unknown one."""
        return [self._index[s] for s in symbols]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Symbols at several indices."""
        return [self.symbols[i] for i in ids]

    def save(self, path: str | Path) -> None:
        """Write one symbol a line."""
        write_text(path, "".join(s + "\n" for s in self.symbols))

    @classmethod
    def load(cls, path: str | Path) -> Units:
        """Read one symbol a line."""
        return cls(Path(path).read_text(encoding="utf-8").split("\n")[:-1])
