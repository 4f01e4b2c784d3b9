"""`asr train`: one recipe on one hour budget."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml


def train(
    recipe: Annotated[
        str, typer.Argument(help="mfcc_hmm, mfcc_hybrid, phoneme_ctc, raw_ctc, or the path of a recipe.yaml.")
    ],
    data: Annotated[Path, typer.Option("--data", help="A corpus folder made by `asr prepare`.")],
    hours: Annotated[
        float | None, typer.Option(min=0, help="Hours of training audio; all of it when left out.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the budget, the initial weights and the batch order.")
    ] = 0,
    split: Annotated[
        Literal["dev", "test"],
        typer.Option(help="What is scored; dev to choose between settings, so that test stays unseen."),
    ] = "test",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as in model.dropout=0.2."),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            help="Begin with the network of another run, of any units and corpus.",
        ),
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="Folder that run folders are made in.")] = Path("runs"),
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the resolved settings, look for what they name, and stop."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a recipe, tune its scales on dev, score test once, or dev.

    The same command after an interruption goes on from the last checkpoint; after the end it prints the
    result again. Audio that cannot be read for scoring is named and counts as deleted; the exit code is
    then 1.
    """
    from asr.cell import Cell
    from asr.data.budget import Budget
    from asr.data.corpus import Corpus
    from asr.experiment import CHECKPOINTS, require, run_cell
    from asr.progress import ALARM, console
    from asr.record import RunRecord

    given = tuple(settings or ())
    if init_from is not None:
        given += (f"{_network(recipe, given)}.init_from={json.dumps(str(init_from), ensure_ascii=False)}",)
    cell = Cell(data, recipe, hours, seed, given, split=split)
    folder = to / cell.folder_name()
    if dry_run:
        typer.echo(f"# {folder}")
        resolved = cell.settings()
        typer.echo(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False), nl=False)
        if (data / "corpus.json").exists():  # a dry run may come before the preparation
            Budget(hours, seed).select(Corpus.open(data).cuts("train"))
        if not (folder / "record.json").exists():
            require(resolved, folder, folder / CHECKPOINTS)
        return
    Corpus.open(data)  # before a folder is spoken of
    console.print(f"run folder {folder}", markup=False)
    kept = (folder / "record.json").exists()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a scheduler stops it with
    try:
        row = run_cell(cell, folder, lambda stage: console.print(f"{recipe}: {stage}", markup=False))
    except KeyboardInterrupt:
        console.print("stopped: the same command goes on from here", soft_wrap=True)
        raise typer.Exit(130) from None
    alarms = RunRecord.load(folder).alarms
    for alarm in alarms:  # hours ago, perhaps
        console.print(ALARM + alarm, style="yellow", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"run": str(folder), **row, "alarms": alarms}, indent=2))
    else:
        typer.echo(result_line(row))
        typer.echo(f"listen: asr transcribe AUDIO --model {folder}")
    if row.get("unreadable"):
        # the scoring names it as it goes; a finished run is not scored again
        name_unreadable(data, row["split"], [folder] if kept else [])
        raise typer.Exit(1)


def _network(recipe: str, settings: Sequence[str]) -> str:
    """Where a recipe's settings of its network are; UsageError if it has none."""
    from asr.cell import recipe_settings
    from asr.errors import UsageError
    from asr.models.gmmhmm.settings import GmmHmmSettings

    model = recipe_settings(recipe, settings).model
    if not isinstance(model, GmmHmmSettings):
        return "model"
    if model.acoustic != "network":
        raise UsageError(f"--init-from: {recipe} has no network", fix="leave it out")
    return "model.network"


def name_unreadable(corpus: Path, split: str, runs: Sequence[Path]) -> None:
    """Name on stderr the audio that some runs could not read, and say how to score them anew."""
    from asr.cli.transcribe import complain
    from asr.progress import console
    from asr.report.unreadable import unreadable_audio

    for problem in unreadable_audio(corpus, split, runs) if runs else []:
        complain(problem)
    console.print(
        f"once the audio is repaired, remove record.json and decode/{split} of the run folder and run again",
        markup=False,
        soft_wrap=True,
    )


def result_line(row: dict) -> str:
    """The figures of one row of results.csv in a sentence."""
    line = f"{row['split']} WER -"  # without reference words there is no rate
    if row["wer"] is not None:
        line = f"{row['split']} WER {row['wer']:.2f}%"
    if row["wer_low"] is not None:
        line += f" (95% interval {row['wer_low']:.2f} to {row['wer_high']:.2f} over utterances)"
    line += (
        f" [{row['sub'] + row['del'] + row['ins']} / {row['words']}: "
        f"{row['sub']} sub, {row['del']} del, {row['ins']} ins]"
    )
    for column, name in (
        ("lm_per", "n-gram PER"),
        ("per", "greedy PER"),
        ("greedy_wer", "greedy WER"),
        ("greedy_cer", "greedy CER"),
    ):
        if row.get(column) is not None:
            line += f", {name} {row[column]:.2f}%"
    if row.get("unreadable"):
        line += f", {row['unreadable']} of {row['utterances']} utterances unreadable and counted as deleted"
    # a run from before this was measured does not know
    return line if row["decode_rtf"] is None else line + f", real-time factor {row['decode_rtf']:.4f}"
