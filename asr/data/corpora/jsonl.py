"""JSON lines, one utterance a line: NeMo's manifests and those of our own data folders.

``audio_filepath`` (or ``audio``, ``path``) and ``text`` are needed; ``id``, ``speaker``, ``split``,
``channel``, ``offset``, ``duration`` or ``end``, ``word_align`` and ``phones`` may stand beside them, under
any of the names that `asr.data.corpora.rows.field_of` knows; others are named and not used. A folder holds
either ``train.jsonl``, ``dev.jsonl`` and ``test.jsonl`` (or .json, as NeMo calls them) or one file with
everything; one file may also be given by itself. Relative paths start at the folder of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.rows import channel_numbers, field_of, tell_unused, utterance
from asr.data.corpora.utterance import SPLIT_NAMES, Utterance, numbered_lines
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError


def read_manifest(path: Path, problems: list[AsrError], split: str | None = None) -> Iterator[Utterance]:
    """The utterances of a JSON lines file; each bad line becomes a problem."""
    rows: list[tuple[int, dict[str, Any]]] = []
    for i, line in numbered_lines(path, problems):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as e:
            what = f"not JSON ({e.msg} at column {e.colno})"
            problems.append(DataError(what, path=path, line=i, fix="write one JSON object a line"))
            continue
        if not isinstance(row, dict):
            what = f"a JSON {type(row).__name__}, not an object"
            problems.append(DataError(what, path=path, line=i, fix="write one JSON object a line"))
            continue
        rows.append((i, row))
    tell_unused(dict.fromkeys(key for _, row in rows for key in row if field_of(key) is None), path)
    channels = channel_numbers((row for _, row in rows), path)
    for i, row in rows:
        try:
            yield utterance(row, path.parent, (path, i), split, channels)
        except DataError as e:
            problems.append(e)


def tables(source: Path, suffixes: tuple[str, ...]) -> list[tuple[Path, str | None]]:
    """The files of a folder (or the one file given) with the split that their names tell.

    Where some are named by split, the others are not looked at.

    Raises
    ------
    DataError
        If there is no such file, or several that are not named by split.
    """
    if source.is_file():
        return [(source, None)]
    found = sorted(p for p in source.glob("*") if p.suffix.lower() in suffixes)
    if not found:
        raise DataError(
            f"no {' or '.join(suffixes)} file", path=source, fix="give the file itself with --from"
        )
    named = [(p, SPLIT_NAMES.get(p.stem.lower())) for p in found]
    by_split: list[tuple[Path, str | None]] = [(p, split) for p, split in named if split]
    if by_split:
        return by_split
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        fix = f"name them train{suffixes[0]}, dev{suffixes[0]}, test{suffixes[0]} or give one with --from"
        raise DataError(f"several files ({names}), none named by split", path=source, fix=fix)
    return named


def prepare(
    source: Path, target: Path, *, language: str = "en", lexicon: Path | None = None, text: Path | None = None
) -> Corpus:
    """Prepare a corpus described by JSON lines."""
    problems: list[AsrError] = []
    own = own_lexicon(lexicon, language)
    utterances = [
        u for path, split in tables(source, (".jsonl", ".json")) for u in read_manifest(path, problems, split)
    ]
    return assemble(target, Origin(target.name, language), utterances, problems, lexicon=own, text=text)
