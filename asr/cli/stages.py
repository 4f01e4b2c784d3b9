"""`asr stages`: which stage of a recogniser lost the words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def stages(
    run: Annotated[Path, typer.Argument(help="A run folder of `asr train` or `asr bench`.")],
    data: Annotated[Path, typer.Option("--data", help="The corpus folder it was made on.")],
    split: Annotated[
        str | None, typer.Option(help="A split that the run decoded; when left out the one it was scored on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Repair one stage after another and count the word errors that each repair saves.

    Search, vocabulary, language model, acoustics, and last what the lexicon itself cannot tell apart: the
    errors of the stages add up to those the run was scored with, and a repair that does harm counts below
    zero. Keeps RUN/decode/SPLIT/stages.json, which the page of `asr bench` draws.
    """
    from rich.console import Console
    from rich.table import Table

    from asr.data.corpus import Corpus
    from asr.record import scored_split
    from asr.stages import attribute

    losses = attribute(run, Corpus.open(data), split or scored_split(run))
    if as_json:
        figures = {"words": losses.words, "errors": losses.errors, "stages": losses.stages}
        typer.echo(json.dumps(figures, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "word errors", "points of WER"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage, errors in (*losses.stages.items(), ("all", losses.errors)):
        table.add_row(stage, str(errors), f"{100 * errors / max(1, losses.words):.1f}")
    Console(highlight=False).print(table)
