"""`asr evaluate`: score a trained run on a split of a corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.search import OnePass, SearchChanges
from asr.errors import UsageError

if TYPE_CHECKING:
    from asr.data.corpus import Corpus


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder of `asr train` or `asr bench`.")],
    data: Annotated[Path, typer.Option("--data", help="A corpus folder made by `asr prepare`.")],
    split: Annotated[str, typer.Option(help="The split to score.")] = "test",
    sets: SearchChanges = None,
    one_pass: OnePass = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Decode one split with a trained run and count its errors.

    Writes hyp.jsonl, scores.json and errors.txt (alignments of every utterance) to RUN/decode/SPLIT. What is
    there of the run's own results stays: a split that they are of goes to SPLIT@again beside it, another
    corpus than the run's own to SPLIT@CORPUS, another search to a folder that is named after the changes.
    Audio that cannot be read is named and counts as deleted; the exit code is then 1.
    """
    from asr.cli.train import result_line
    from asr.data.corpus import Corpus
    from asr.experiment import evaluate_split, full_lexicon
    from asr.progress import console
    from asr.system import System

    if (run / "system.json").exists() and (run.parent / "config.yaml").exists():
        raise UsageError("the system folder of a run", path=run, fix=f"name the run, {run.parent}")
    changes = sets or []
    system = System.load(run).changed(changes, one_pass)
    corpus = Corpus.open(data)
    lexicon = full_lexicon(corpus)  # of what is said there, which is what phonemes are counted in
    searched = [*(["one-pass"] if one_pass else []), *(c.strip() for c in changes)]
    name = ",".join([_where(run, split, corpus, bool(searched)), *searched])
    where = run / "decode" / name
    figures = evaluate_split(system, corpus, lexicon, split, where)
    console.print(f"hypotheses and alignments: {where}", markup=False, soft_wrap=True)
    typer.echo(json.dumps(figures, indent=2) if as_json else result_line({"split": split, **figures}))
    if figures["unreadable"]:
        raise typer.Exit(1)


def _where(run: Path, split: str, corpus: Corpus, changed: bool) -> str:
    """The folder of a split's results, unless the search was changed: those of its record must stay."""
    from asr.data.corpus import text_of
    from asr.record import RunRecord
    from asr.score import read_decoded

    row = RunRecord.load(run).row if (run / "record.json").exists() else None
    if (run / "decode" / split / "hyp.jsonl").exists():
        before = read_decoded(run, split).references
        own = before == {c.id: text_of(c) for c in corpus.cuts(split)}
    else:
        own = row is None or row["corpus"] == corpus.name
    if not own:
        return f"{split}@{corpus.name}"
    return f"{split}@again" if row is not None and row["split"] == split and not changed else split
