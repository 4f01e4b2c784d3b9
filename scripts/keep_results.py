"""Keep what finished cells of a bench recognised in the repository, and give it back to a bench.

What is kept is enough to count, compare and draw everything again: record.json of each cell and its
hypotheses as trn, the format that sclite reads. References and audio stay in the corpus, weights in the run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from asr.config import parse
from asr.data.corpus import Corpus
from asr.errors import AsrError, ConfigError, DataError
from asr.experiment import Cell, ExperimentSettings
from asr.files import write_text
from asr.record import RunRecord
from asr.score.files import read_decoded, read_transcripts

ROOT = Path(__file__).parents[1] / "recipes" / "results"

app = typer.Typer(add_completion=False, help=__doc__)


def keep_run(run: Path, to: Path) -> Path:
    """The record and the hypotheses of a run folder, below `to`; the folder they are kept in."""
    record = RunRecord.load(run)
    row = record.row
    texts = read_decoded(run, row["split"]).texts
    kept = to / row["corpus"] / run.name
    record.save(kept)
    write_text(kept / "hyp.trn", "".join(f"{text} ({name})\n" for name, text in texts.items()))
    return kept


def cell_of(record: RunRecord, corpus: Path) -> Cell:
    """The cell of a bench on a prepared corpus that a record is of.

    Raises
    ------
    ConfigError
        If that cell has other settings by now.
    """
    row = record.row
    cell = Cell(
        corpus,
        row["recipe"],
        record.budget["hours"],
        row["seed"],
        tuple((row["setting"] or "").split()),
        record.config["lm"]["words"],
    )
    # a setting that came since then is at its default there
    if cell.settings() != parse(ExperimentSettings, record.config):
        raise ConfigError("the recipe has other settings by now", fix="run the cell again")
    return cell


def give_back(kept: Path, corpus: Corpus, to: Path) -> Path:
    """A run folder below `to` that a bench takes for finished; the inverse of `keep_run`."""
    record = RunRecord.load(kept)
    cell = cell_of(record, corpus.folder)
    split = record.row["split"]
    texts = read_transcripts(kept / "hyp.trn").texts
    lines = []
    for cut in corpus.cuts(split):
        if cut.id not in texts:
            raise DataError("not in the corpus it is said to be of", path=kept / "hyp.trn", utterance=cut.id)
        said = cut.supervisions[0]
        entry = {"id": cut.id, "text": texts[cut.id], "reference": said.text, "speaker": said.speaker}
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    run = to / cell.folder_name()
    write_text(run / "decode" / split / "hyp.jsonl", "".join(lines))
    record.save(run)
    return run


@app.command()
def keep(
    benches: Annotated[list[Path], typer.Argument(help="Folders of benches; unfinished ones will do.")],
) -> None:
    """Write recipes/results/CORPUS/CELL from the finished cells of benches."""
    for bench in benches:
        for record in sorted(bench.glob("*/record.json")):
            typer.echo(keep_run(record.parent, ROOT))


@app.command()
def restore(
    data: Annotated[Path, typer.Argument(help="The prepared corpus.")],
    to: Annotated[Path, typer.Argument(help="Folder of a bench, which then goes on from these cells.")],
) -> None:
    """Give a bench the cells that are kept of its corpus, but for those whose recipe has changed since."""
    corpus = Corpus.open(data)
    for record in sorted((ROOT / corpus.name).glob("*/record.json")):
        try:
            typer.echo(give_back(record.parent, corpus, to))
        except ConfigError as e:
            typer.echo(f"{record.parent}: left out: {e}", err=True)


if __name__ == "__main__":
    try:
        app(standalone_mode=True)
    except AsrError as e:
        sys.exit(f"keep-results: {e}")
