"""One utterance as a corpus describes it, before its audio was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr.errors import AsrError, DataError

Span = tuple[str, float, float]
"""A word or phoneme with its start and duration in seconds from the start of the utterance."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("dev", "valid", "validation", "val", "development"), "dev"),
    **dict.fromkeys(("test", "tst", "eval", "evaluation"), "test"),
}
"""What corpora call their splits, and what we call them."""


@dataclass(frozen=True)
class Utterance:
    """A stretch of a recording and what was said in it.

    Attributes
    ----------
    id
        Unique in the corpus.
    audio
        The recording.
    text
        Transcript as the corpus spells it.
    speaker
        None where the corpus does not tell.
    split
        None where the corpus does not tell.
    start, duration
        Seconds in the recording; a duration of None reaches to its end.
    channel
        Of the recording, from 0; None for the average of all.
    words, phone_times
        Time-aligned words and phonemes, if any.
    phones
        Reference phonemes, if any.
    where
        File and line that describe the utterance, for error messages.
    """

    id: str
    audio: Path
    text: str
    speaker: str | None = None
    split: str | None = None
    start: float = 0.0
    duration: float | None = None
    channel: int | None = None
    words: tuple[Span, ...] = ()
    phone_times: tuple[Span, ...] = ()
    phones: tuple[str, ...] = ()
    where: tuple[Path, int | None] = (Path(), None)

    def error(self, what: str, fix: str | None = None) -> DataError:
        """An error that names this utterance and the line it came from."""
        path, line = self.where
        return DataError(what, path=path if path.name else None, line=line, utterance=self.id, fix=fix)


def numbered_lines(path: Path, problems: list[AsrError]) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, with their 1-based numbers.

    A line that is not UTF-8 becomes a problem and is left out.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise DataError(f"cannot be read ({e.strerror})", path=path) from e
    for i, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            problems.append(DataError("not UTF-8", path=path, line=i, fix="convert the file to UTF-8"))
            continue
        if text:
            yield i, text


def keyed_lines(path: Path, problems: list[AsrError]) -> dict[str, tuple[int, str]]:
    """A file of ``key value...`` lines, as Kaldi has many: key to line number and value (may be empty)."""
    found: dict[str, tuple[int, str]] = {}
    for i, line in numbered_lines(path, problems):
        key, *rest = line.split(maxsplit=1)
        if key in found:
            problems.append(DataError(f"{key!r} stands here twice", path=path, line=i, fix="remove one line"))
        else:
            found[key] = (i, rest[0] if rest else "")
    return found
