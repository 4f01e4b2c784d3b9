"""A CSV or TSV table with a header: a column for the audio and one for the text, speaker and split if known.

The columns may have any of the names that `asr.data.corpora.rows.field_of` knows, others are named and not
used; the separator (comma, semicolon, tab or bar) is found from the header. A folder holds one table, or
train, dev and test tables.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.jsonl import tables
from asr.data.corpora.rows import LISTS, NAMES, channel_numbers, field_of, tell_unused, utterance
from asr.data.corpora.utterance import Utterance
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError


def read_table(
    path: Path, problems: list[AsrError], split: str | None = None, clips: Path | None = None
) -> Iterator[Utterance]:
    """The utterances of a table; each bad row becomes a problem.

    Parameters
    ----------
    path
        The table.
    problems
        Gets what is wrong with rows.
    split
        Of rows that name none.
    clips
        Common Voice's folder of audio, whose tables put nothing in quotes; else paths start at the table's.

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
    lines = list(io.StringIO(text, newline=""))
    separator = max(",;\t|", key=header.count)
    if clips is None:
        table = _rows(lines, separator)
    else:
        table = ((i, line.rstrip("\r\n").split(separator)) for i, line in enumerate(lines, 1))
    _, head = next(table, (1, []))
    names = [name.strip() for name in head] if isinstance(head, list) else []
    # a cell cannot hold a list
    known = {name: field if (field := field_of(name)) not in LISTS else None for name in names}
    for needed in ("audio", "text"):
        if needed not in known.values():
            what = f"no column for the {needed}: the header has {', '.join(names) or 'nothing'}"
            fix = f"the first line names the columns: call it one of {', '.join(NAMES[needed])}"
            raise DataError(what, path=path, line=1, fix=fix)
    if clips is None:
        tell_unused((name for name, field in known.items() if name and field is None), path)
    rows: list[tuple[int, dict[str, str]]] = []
    for line, cells in table:
        if isinstance(cells, _Fault):
            problems.append(DataError(cells.what, path=path, line=line, fix=cells.fix))
            continue
        if not any(cells):
            continue
        if len(cells) != len(names):
            what, fix = f"only {len(cells)} of {len(names)} cells", "give each column one"
            if len(cells) > len(names):
                what = f"{len(cells)} cells under {len(names)} columns"
                fix = "put texts with separators in quotes"
            problems.append(DataError(what, path=path, line=line, fix=fix))
            continue
        cells_of = zip(names, cells, strict=True)
        rows.append((line, {name: cell.strip() for name, cell in cells_of if known[name]}))
    channels = channel_numbers((row for _, row in rows), path)
    for line, row in rows:
        try:
            yield utterance(row, clips or path.parent, (path, line), split, channels)
        except DataError as e:
            problems.append(e)


@dataclass(frozen=True)
class _Fault:
    """What is wrong with a row that cannot be read, and what to do about it."""

    what: str
    fix: str


def _rows(lines: list[str], separator: str) -> Iterator[tuple[int, list[str] | _Fault]]:
    """The rows of a table with the numbers of their first lines; a fault for a line that begins no row.

    Such a line is passed over alone. A reader of the whole file would take all that follows a quote that is
    never closed for its text.
    """
    at, width = 0, 0
    while at < len(lines):
        number = at + 1
        cells: list[str] | _Fault
        # a second line is only read where the first ends within quotes
        reader = csv.reader([lines[at], ""], delimiter=separator)
        try:
            cells = next(reader)
            if reader.line_num > 1:
                rest = (lines[i] for i in range(at, len(lines)))
                # strict: else a quote further down, which opens a cell, would close this one
                reader = csv.reader(rest, delimiter=separator, strict=True)
                cells = next(reader)
                taken = lines[at : at + reader.line_num]
                if width and all(len(_one(line, separator)) == width for line in taken):
                    cells = _Fault("a quotation that takes in the next rows", 'double its quotes ("")')
                else:
                    at += reader.line_num - 1
        except csv.Error as e:
            cells = _fault(e, lines[at], lines[at + reader.line_num - 1], separator)
        if not width and not isinstance(cells, _Fault):
            width = len(cells)
        at += 1
        yield number, cells


def _one(line: str, separator: str) -> list[str]:
    """The cells of a line that is read alone."""
    return next(csv.reader([line], delimiter=separator))


def _fault(error: csv.Error, first: str, last: str, separator: str) -> _Fault:
    """What stopped the reader of a row at its last line."""
    if len(first) > csv.field_size_limit():
        return _Fault(f"a line of {len(first):,} characters", "cut it into utterances")
    # the quote that the reader stopped at may open a cell of a later row
    opens = last.startswith('"') or f'{separator}"' in last
    if "unexpected end" in str(error) or ("expected after" in str(error) and opens):
        return _Fault("a quote that is never closed", 'close it, or double it ("") within a text')
    return _Fault(f"no row of a table ({error})", "correct its quotes")


def prepare(
    source: Path, target: Path, *, language: str = "en", lexicon: Path | None = None, text: Path | None = None
) -> Corpus:
    """Prepare a corpus described by a table."""
    problems: list[AsrError] = []
    own = own_lexicon(lexicon, language)
    utterances = [
        u for path, split in tables(source, (".csv", ".tsv")) for u in read_table(path, problems, split)
    ]
    return assemble(target, Origin(target.name, language), utterances, problems, lexicon=own, text=text)
