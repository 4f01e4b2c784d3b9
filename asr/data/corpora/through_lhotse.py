"""Calling Lhotse's own corpus preparers, and their manifests as utterances."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from lhotse import Recording, RecordingSet, SupervisionSet
from lhotse.utils import fastcopy

from asr.data.audio import SUFFIXES
from asr.data.corpora.utterance import Utterance
from asr.errors import AsrError, DataError
from asr.progress import track


def called(
    preparer: Callable[..., Any], layout: str, problems: list[AsrError], source: Path, **options: Any
) -> Any:
    """What a Lhotse preparer returns for `source`; its warnings become problems, its prints go to stderr.

    Preparers give up at the first recording that they cannot read. Then they get a copy of the folder, made
    of links, in which silence stands in for such recordings. The manifests name the recordings themselves:
    `assemble` tells what is wrong with them and leaves them out.

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
        If the preparer fails for another reason than unreadable recordings.
    """
    try:
        return _watched(preparer, source, source, problems, options)
    except Exception as e:  # preparers raise whatever goes wrong inside them
        reason = e
    bad, rate = _unreadable(source)
    if bad:
        with tempfile.TemporaryDirectory() as scratch:
            # the same name, as some preparers look at it
            copy = Path(scratch).resolve() / Path(os.path.abspath(source)).name
            _link(source, copy, bad, rate)
            try:
                return _renamed(_watched(preparer, copy, source, problems, options), copy, source)
            except Exception as e:
                reason = e
    what = f"Lhotse's preparer refused it ({type(reason).__name__}{': ' if str(reason) else ''}{reason})"
    raise DataError(what, path=source, fix=f"check that it is laid out as {layout}") from reason


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
    """Keeps warnings about `folder`, naming it `source`."""

    def __init__(self, folder: Path, source: Path) -> None:
        super().__init__(logging.WARNING)
        self.folder, self.source = folder, source
        self.problems: list[AsrError] = []

    def emit(self, record: logging.LogRecord) -> None:
        what = record.getMessage().replace(str(self.folder), str(self.source))
        self.problems.append(DataError(what, path=self.source))


def _watched(
    preparer: Callable[..., Any],
    folder: Path,
    source: Path,
    problems: list[AsrError],
    options: dict[str, Any],
) -> Any:
    """What a preparer returns for `folder`, which is `source` or stands for it."""
    warnings = _Warnings(folder, source)
    logging.getLogger().addHandler(warnings)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            made = preparer(folder, **options)
    finally:
        logging.getLogger().removeHandler(warnings)
    problems.extend(warnings.problems)
    return made


def _unreadable(source: Path) -> tuple[set[Path], int]:
    """The recordings whose headers Lhotse cannot read, and the usual sample rate of the others."""

    def rate(path: Path) -> int | None:
        try:
            return Recording.from_file(path).sampling_rate
        except Exception:  # of many kinds, as the formats are
            return None

    recordings = [path for path in _files(source) if path.suffix.lower() in SUFFIXES]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        rates = list(track(pool.map(rate, recordings), "looking for unreadable audio", len(recordings)))
    known = Counter(found for found in rates if found)
    usual = known.most_common(1)[0][0] if known else 16000
    return {path for path, found in zip(recordings, rates, strict=True) if not found}, usual


def _files(source: Path) -> Iterator[Path]:
    """All files below `source`, through links too, but not through one that leads back to where it lies."""
    # the real paths of the folders above each; a folder that two links lead to is no circle and comes twice
    above: dict[str, frozenset[str]] = {str(source): frozenset()}
    for folder, folders, names in os.walk(source, followlinks=True):
        yield from (Path(folder, name) for name in names)
        way = above.pop(folder) | {os.path.realpath(folder)}
        below = {name: os.path.join(folder, name) for name in folders}
        folders[:] = [name for name, path in below.items() if os.path.realpath(path) not in way]
        above |= {below[name]: way for name in folders}


def _link(source: Path, copy: Path, silent: Set[Path], rate: int) -> None:
    """Make `copy` a folder like `source`, of links, with a second of silence for the `silent` recordings."""
    for path in _files(source):
        link = copy / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        if path in silent:
            kind = path.suffix[1:].upper()
            kind = kind if kind in soundfile.available_formats() else "WAV"
            soundfile.write(link, np.zeros(rate), rate, format=kind)
        else:
            link.symlink_to(path.resolve())


def _renamed(manifests: Any, copy: Path, source: Path) -> Any:
    """Manifests in dictionaries, the recordings below `source` where they are below `copy`."""
    if isinstance(manifests, dict):
        return {key: _renamed(value, copy, source) for key, value in manifests.items()}
    if not isinstance(manifests, RecordingSet):
        return manifests
    return RecordingSet.from_recordings(
        fastcopy(r, sources=[fastcopy(s, source=_original(s.source, copy, source)) for s in r.sources])
        for r in manifests
    )


def _original(audio: str, copy: Path, source: Path) -> str:
    path = Path(audio)
    # the folder may have been reached through another link; the file itself is one
    path = path.parent.resolve() / path.name
    return str(source / path.relative_to(copy)) if path.is_relative_to(copy) else audio
