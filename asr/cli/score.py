"""`asr score`: count the errors of a hypothesis file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from asr.score import Result


LONGEST_PHONEME = 3  # characters, on average


def score(
    ref: Annotated[Path, typer.Argument(help="References: trn, jsonl, ctm, stm or Kaldi's text.")],
    hyp: Annotated[Path, typer.Argument(help="Hypotheses; of stm references a ctm.")],
    unit: Annotated[
        Literal["word", "character", "phoneme"], typer.Option("--unit", "-u", help="What to count.")
    ] = "word",
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Upper-case, drop punctuation and spell numbers out first.")
    ] = False,
    language: Annotated[
        str, typer.Option(help="Of --normalize: the language code (ISO 639) of both files.")
    ] = "en",
    sclite: Annotated[
        bool, typer.Option("--sclite", help="Align as NIST's sclite does (weights 4, 3, 3), not as jiwer.")
    ] = False,
    alignments: Annotated[
        Path | None, typer.Option("--alignments", help="Write every utterance's alignment to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts, rate and interval as JSON.")] = False,
) -> None:
    """Count substitutions, deletions and insertions, with a 95% interval.

    A reference without a hypothesis counts as deleted, a hypothesis without a reference is not counted; each
    is named, and the exit code is 1. Of a run's hyp.jsonl as REF, the references in it count. By the
    segments of an stm the words of a ctm are cut as sclite does it: each belongs to the first that ends after
    its middle.
    """
    from asr.errors import DataError, UsageError
    from asr.files import write_text
    from asr.progress import console
    from asr.score import read_transcripts, score_texts

    if sclite and unit == "character":
        raise UsageError("--sclite aligns words or phonemes, not characters")
    references, hypotheses = read_transcripts(ref), read_transcripts(hyp)
    if references.segments:
        if not hypotheses.words:
            raise DataError("no times", path=hyp, fix="segments of an .stm need the hypotheses as .ctm")
        hypotheses = hypotheses.within(references.segments)
    speakers = references.speakers or hypotheses.speakers
    # a run's hyp.jsonl holds what was said beside what it recognised
    run = references.references.keys() == references.texts.keys()
    texts = references.references if run else references.texts, hypotheses.texts
    if normalize:
        from asr.text.normalize import normalize as spell

        texts = tuple({i: spell(t, language) for i, t in some.items()} for some in texts)  # type: ignore[assignment]
    result = score_texts(*texts, unit=unit, speakers=speakers, method="sclite" if sclite else "jiwer")
    if alignments is not None:
        write_text(alignments, result.report())
    if as_json:
        typer.echo(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(result.scores.kaldi(result.rate_name))
        _print_table(result)
    if unit == "word" and not normalize and _differs_in_case(texts, result.scores.errors):
        console.print("asr: most errors are of letter case alone; try --normalize", style="yellow")
    said = [token for text in texts[0].values() for token in text.split()]
    if unit == "phoneme" and sum(map(len, said)) > LONGEST_PHONEME * len(said):
        console.print("asr: these look like words, not phonemes; leave out -u phoneme", style="yellow")
    for i in result.missing:
        _name(hyp, i, "no hypothesis, counted as deleted")
    for i in result.unknown:
        _name(hyp, i, "no reference, not counted")
    if result.missing or result.unknown:
        raise typer.Exit(1)


def _differs_in_case(texts: tuple[dict[str, str], dict[str, str]], errors: int) -> bool:
    """Whether more than half of so many word errors are of letter case alone."""
    from asr.score import score_texts

    said, found = ({i: text.upper() for i, text in some.items()} for some in texts)
    return 2 * score_texts(said, found).scores.errors < errors


def _name(path: Path, utterance: str, what: str) -> None:
    from asr.errors import DataError
    from asr.progress import console

    error = DataError(what, path=path, utterance=utterance)
    console.print(f"asr: {error}", style="yellow", markup=False, soft_wrap=True)


def _print_table(result: Result) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    s = result.scores
    cells = {
        "utterances": len(result.utterances),
        f"{result.unit}s": s.reference,
        "sub": s.substitutions,
        "del": s.deletions,
        "ins": s.insertions,
        f"{result.rate_name} %": "-" if s.rate is None else f"{s.rate:.2f}",
        "95% interval": result.interval,
    }
    if result.speaker_interval.low is not None:
        cells[f"over {len(result.speakers)} speakers"] = result.speaker_interval
    for name in cells:
        table.add_column(name, justify="right")
    table.add_row(*map(str, cells.values()))
    Console(highlight=False).print(table)
