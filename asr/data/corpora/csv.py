"""A CSV or TSV table with a header: a column for the audio and one for the text, speaker and split if known.

The columns may have any of the names in `asr.data.corpora.rows.NAMES`; the separator (comma, semicolon, tab
or bar) is found from the header. A folder holds one table, or train, dev and test tables.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.jsonl import tables
from asr.data.corpora.rows import NAMES, utterance
from asr.data.corpora.utterance import Utterance
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError


def read_table(path: Path, problems: list[AsrError], split: str | None = None) -> Iterator[Utterance]:
    """The utterances of a table; each bad row becomes a problem.

    Raises
    ------
    DataError
        If the file cannot be read or its header lacks a column for the audio or the text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        line = path.read_bytes()[: e.start].count(b"\n") + 1
        raise DataError("not UTF-8", path=path, line=line, fix="convert the file to UTF-8") from e
    except OSError as e:
        raise DataError(f"cannot be read ({e.strerror})", path=path) from e
    header = text.split("\n", 1)[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=header.count))
    names = [name.strip().lower() for name in next(table, [])]
    for needed in ("audio", "text"):
        if not set(NAMES[needed]) & set(names):
            what = f"no column for the {needed}: the header has {', '.join(names) or 'nothing'}"
            raise DataError(what, path=path, line=1, fix=f"name it one of {', '.join(NAMES[needed])}")
    for cells in table:
        line = table.line_num
        if not any(cells):
            continue
        if len(cells) != len(names):
            what = f"{len(cells)} cells under {len(names)} columns"
            problems.append(DataError(what, path=path, line=line, fix="put texts with separators in quotes"))
            continue
        try:
            yield utterance(
                dict(zip(names, map(str.strip, cells), strict=True)), path.parent, (path, line), split
            )
        except DataError as e:
            problems.append(e)


def prepare(source: Path, target: Path, *, language: str = "en") -> Corpus:
    """Prepare a corpus described by a table."""
    problems: list[AsrError] = []
    utterances = [
        u for path, split in tables(source, (".csv", ".tsv")) for u in read_table(path, problems, split)
    ]
    return assemble(target, Origin(target.name, language), utterances, problems)
