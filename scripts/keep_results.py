"""Keep what finished cells of a bench recognised in the repository, and give it back to a bench.

What is kept is enough to count, compare and draw everything again: record.json of each cell and its
hypotheses as trn, the format that sclite reads; and note.txt, what whoever ran the cell or its bench has
to say of its figures. References and audio stay in the corpus, weights in the run.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote

import typer

from asr.cell import Cell
from asr.data.budget import Budget
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError
from asr.files import content_hash, write_text
from asr.record import RunRecord, note_path
from asr.score import score_texts
from asr.score.files import read_decoded, read_transcripts
from asr.stages import stages_path

ROOT = Path(__file__).parents[1] / "recipes" / "results"

app = typer.Typer(add_completion=False, help=__doc__)


def when(record: RunRecord) -> datetime:
    """The time at which a cell was finished."""
    return datetime.strptime(record.provenance["date"], "%Y-%m-%d %H:%M:%S %z")


def keep_run(run: Path, to: Path) -> Path:
    """Record, hypotheses and, where known, lost words of a run, below `to`; the folder they are kept in.

    Of several runs of a cell with the same overrides, as of recipes that have changed, the latest is kept.
    """
    record = RunRecord.load(run)
    row = record.row
    name = run.name.rsplit("-", 1)[0]  # without the hash of all settings, which every new one changes
    words = record.config["lm"]["words"]
    if row["setting"] or words is not None:
        name += f"-{content_hash(row['setting'], str(words))[:6]}"
    kept = to / row["corpus"] / name
    texts = read_decoded(run, row["split"]).texts
    if (kept / "record.json").exists():
        before, now = (when(r) for r in (RunRecord.load(kept), record))
        if before > now:
            return kept
        if before < now:  # what the same run was kept with before, as a note, stays
            shutil.rmtree(kept)
    record.save(kept)
    # ids may hold blanks and brackets, which trn has no way to write
    write_text(kept / "hyp.trn", "".join(f"{text} ({quote(name)})\n" for name, text in texts.items()))
    for also in (stages_path(run, row["split"]), note_path(run)):
        if also.exists():
            write_text(kept / also.name, also.read_text(encoding="utf-8"))
    return kept


def give_back(kept: Path, corpus: Corpus, to: Path) -> Path:
    """A run folder below `to` that a bench takes for finished; the inverse of `keep_run`.

    Raises
    ------
    ConfigError
        If its recipe has other settings by now.
    DataError
        If the corpus is not the one that the cell was trained and scored on.
    """
    record = RunRecord.load(kept)
    cell = Cell.of(record, corpus.folder)
    row = record.row
    run = to / cell.folder_name()
    if (run / "record.json").exists():  # a bench's own run holds more than what is kept
        return run
    train = Budget(cell.hours, cell.seed).select(corpus.cuts("train").to_eager())
    texts = {unquote(i): text for i, text in read_transcripts(kept / "hyp.trn").texts.items()}
    said = {cut.id: cut.supervisions[0] for cut in corpus.cuts(row["split"])}
    same = Budget.digest(train) == record.budget["sha256"] and said.keys() == texts.keys()
    if same:
        scores = score_texts({i: s.text for i, s in said.items()}, texts).scores
        found = (scores.substitutions, scores.deletions, scores.insertions, scores.reference)
        same = found == tuple(row[k] for k in ("sub", "del", "ins", "words"))
    if not same:
        raise DataError("was trained or scored on another state of the corpus", path=kept, fix="run it again")
    lines = []
    for i, s in said.items():
        entry = {"id": i, "text": texts[i], "reference": s.text, "speaker": s.speaker}
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    write_text(run / "decode" / row["split"] / "hyp.jsonl", "".join(lines))
    for also in (stages_path(run, row["split"]), run / "note.txt"):
        if (kept / also.name).exists():
            write_text(also, (kept / also.name).read_text(encoding="utf-8"))
    record.save(run)
    return run


def each(folders: Sequence[Path], work: Callable[[Path], Path]) -> None:
    """Do it for every folder; what fails is named, the rest goes on, and the exit code tells."""
    failed = not folders
    for folder in folders:
        try:
            typer.echo(work(folder))
        except AsrError as e:
            typer.echo(f"keep-results: {folder}: {e}", err=True)
            failed = True
    if not folders:
        typer.echo("keep-results: no finished cell there", err=True)
    raise typer.Exit(int(failed))


def cells_below(folders: Sequence[Path]) -> list[Path]:
    """The folders of finished cells."""
    return [record.parent for folder in folders for record in sorted(folder.glob("*/record.json"))]


@app.command()
def keep(
    benches: Annotated[list[Path], typer.Argument(help="Folders of benches; unfinished ones will do.")],
) -> None:
    """Write recipes/results/CORPUS/CELL from the finished cells of benches."""
    each(cells_below(benches), lambda run: keep_run(run, ROOT))


@app.command()
def restore(
    data: Annotated[Path, typer.Argument(help="The prepared corpus.")],
    to: Annotated[Path, typer.Argument(help="Folder of a bench, which then goes on from these cells.")],
) -> None:
    """Give a bench the cells that are kept of its corpus, but for those whose recipe has changed since."""
    corpus = Corpus.open(data)
    each(cells_below([ROOT / corpus.name]), lambda kept: give_back(kept, corpus, to))


if __name__ == "__main__":
    try:
        app(standalone_mode=True)
    except AsrError as e:
        sys.exit(f"keep-results: {e}")
