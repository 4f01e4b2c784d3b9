"""Calling Lhotse's own corpus preparers, and their manifests as utterances."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lhotse import RecordingSet, SupervisionSet

from asr.data.audio import SUFFIXES, inspect_audio
from asr.data.corpora.utterance import Utterance
from asr.errors import AsrError, DataError


def called(
    preparer: Callable[..., Any], layout: str, problems: list[AsrError], source: Path, **options: Any
) -> Any:
    """What a Lhotse preparer returns for `source`; its warnings become problems, its prints go to stderr.

    Parameters
    ----------
    preparer
        A ``prepare_...`` function of ``lhotse.recipes``.
    layout
        What the folder should look like, for the error message.
    problems
        Gets one entry for each warning.
    source
        Folder of the corpus.
    options
        Further arguments of the preparer.

    Raises
    ------
    DataError
        If the preparer fails; names the recordings that cannot be read, where they are the reason.
    """
    warnings = _Warnings(source)
    logging.getLogger().addHandler(warnings)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return preparer(source, **options)
    except Exception as e:  # preparers raise whatever goes wrong inside them
        bad = [str(error) for error in _unreadable(source)]
        what = "; ".join(bad[:3]) + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")
        what = what or f"Lhotse's preparer refused it ({type(e).__name__}{': ' if str(e) else ''}{e})"
        fix = "remove these files" if bad else f"check that it is laid out as {layout}"
        raise DataError(what, path=source, fix=fix) from e
    finally:
        logging.getLogger().removeHandler(warnings)
        problems.extend(warnings.problems)


def utterances(
    manifests: dict[str, Any], split: str | None, speaker: str | None = None
) -> Iterator[Utterance]:
    """The utterances of a pair of Lhotse manifests, one supervision each.

    Parameters
    ----------
    manifests
        ``recordings`` and ``supervisions``, as preparers return them.
    split
        Split to put them in.
    speaker
        Who speaks, where the manifests do not tell.
    """
    recordings: RecordingSet = manifests["recordings"]
    supervisions: SupervisionSet = manifests["supervisions"]
    audio = {r.id: Path(r.sources[0].source) for r in recordings}
    whole = {r.id: r.duration for r in recordings}
    for s in supervisions:
        times = {
            kind: tuple((item.symbol, item.start - s.start, item.duration) for item in items)
            for kind, items in (s.alignment or {}).items()
        }
        yield Utterance(
            id=s.id,
            audio=audio[s.recording_id],
            text=s.text or "",
            speaker=s.speaker or speaker,
            split=split,
            start=s.start,
            duration=None if s.start == 0 and s.duration == whole[s.recording_id] else s.duration,
            words=times.get("word", ()),
            phone_times=times.get("phone", ()),
            where=(audio[s.recording_id], None),
        )


class _Warnings(logging.Handler):
    def __init__(self, source: Path) -> None:
        super().__init__(logging.WARNING)
        self.source = source
        self.problems: list[AsrError] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.problems.append(DataError(record.getMessage(), path=self.source))


def _unreadable(source: Path) -> Iterator[AsrError]:
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            try:
                inspect_audio(path)
            except AsrError as e:
                yield e
