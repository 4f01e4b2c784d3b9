"""`asr prepare`: a corpus as cuts, lexicon and language model text."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lhotse.cut import Cut

    from asr.data.corpus import Corpus

from asr.data.corpora import PREPARERS

SHOWN = 20  # problems and words printed; the rest is counted and stands in corpus.json and oov.txt


def prepare(
    name: Annotated[str | None, typer.Argument(help="A corpus or format of the list above.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Folder (or manifest) of the corpus.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write; data/NAME when left out.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the corpus into --from first.")] = False,
    language: Annotated[
        str | None,
        typer.Option(
            help="Language code (ISO 639) of commonvoice, librispeech and your own data; en when left out."
        ),
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option(
            help="Pronunciations for these, a word and its phonemes on each line; "
            "words that it lacks get CMUdict's, or guesses."
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            help="More text for their language model, a sentence a line; or English that synth shall speak."
        ),
    ] = None,
    tier: Annotated[
        str | None,
        typer.Option(
            help="Tiers of the sentences in TextGrid and eaf files of a folder; `all` if each is a speaker's."
        ),
    ] = None,
    hours: Annotated[float | None, typer.Option(help="Hours of training audio of synth.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of synth.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Make synth without rooms and noises.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the corpora and formats.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Prepare a corpus for training: check the audio, normalise the texts, complete the lexicon.

    Utterances that cannot be used are named and left out; the exit code is then 1.
    """
    from asr.data.corpora import preparer
    from asr.data.corpus import SPLITS
    from asr.data.doubts import doubts
    from asr.errors import DataError, UsageError
    from asr.progress import console

    if listing:
        for key, entry in PREPARERS.items():
            typer.echo(f"{key:<18}{entry.about}{' (--download)' if entry.downloads else ''}")
        return
    if name is None:
        raise UsageError("no corpus named", fix="name one of " + ", ".join(PREPARERS))
    entry = preparer(name)
    given = {
        "language": language,
        "lexicon": lexicon,
        "text": text,
        "tier": tier,
        "hours": hours,
        "seed": seed,
        "clean": clean or None,
    }
    options = {key: value for key, value in given.items() if value is not None}
    for key in options:
        if key not in entry.options:
            raise UsageError(f"{name} knows no --{key}", fix="leave it out")
    if download:
        if not entry.downloads:
            able = ", ".join(key for key, other in PREPARERS.items() if other.downloads)
            raise UsageError(f"{name} cannot be downloaded from here", fix=f"--download works for {able}")
        try:
            source = entry.download(source or Path("data") / "raw" / name, **options)
        except OSError as e:
            raise DataError(
                f"{name} cannot be downloaded ({e})", fix="try again, or give it by --from"
            ) from e
    target = to or Path("data") / name
    _spare(target, [path for path in (lexicon, text) if path is not None])
    corpus = entry.prepare(source, target, **options)
    for problem in corpus.problems[:SHOWN]:
        console.print(problem, style="yellow", soft_wrap=True, markup=False)
    if len(corpus.problems) > SHOWN:
        rest = f"... and {len(corpus.problems) - SHOWN} more problems, all in {corpus.folder / 'corpus.json'}"
        console.print(rest, style="yellow", soft_wrap=True, markup=False)
    cuts = {split: list(corpus.cuts(split)) for split in corpus.splits}
    summary = _summary(corpus)
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False) if as_json else _table(corpus, cuts))
    for doubt in doubts(corpus, cuts):
        console.print(f"asr: {doubt}", style="yellow", soft_wrap=True, markup=False)
    if absent := [split for split in SPLITS if split not in corpus.splits]:
        few = f"asr: too few utterances for {' and '.join(absent)}, and a recipe needs train, dev and test"
        console.print(few, style="yellow", soft_wrap=True, markup=False)
    if not as_json:
        finds = "which finds silence, doubles and audio that is too short for its text"
        console.print(f"next: `asr check {corpus.folder}`, {finds}", soft_wrap=True, markup=False)
    if corpus.problems:
        raise typer.Exit(1)


prepare.__doc__ = f"{inspect.cleandoc(prepare.__doc__ or '')}\n\n" + "\n".join(
    f"  {key}: {entry.about}" for key, entry in PREPARERS.items()
)


def _spare(target: Path, given: Sequence[Path]) -> None:
    """Refuse to write over files that are no preparation's, or that this one reads."""
    from asr.errors import UsageError

    names = ("lexicon.txt", "lm.txt", "lm.arpa.gz", "oov.txt")
    there = [*target.glob("cuts_*.jsonl.gz"), *(target / name for name in names if (target / name).exists())]
    if (target / "corpus.json").exists():
        read = {path.resolve() for path in given}
        there = [path for path in there if path.resolve() in read]
    if there:
        raise UsageError(f"{there[0]} would be written over", fix="name another folder with --to")


def _summary(corpus: Corpus) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "folder": str(corpus.folder),
        "language": corpus.language,
        "splits": corpus.splits,
        "oov": dict(_oov(corpus)),
        "problems": corpus.problems,
    }


def _oov(corpus: Corpus) -> list[tuple[str, int]]:
    """The words whose pronunciation was generated, most frequent first."""
    path = corpus.folder / "oov.txt"
    rows = (
        [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )
    return [(word, int(count)) for word, count in rows]


def _voices(cuts: Mapping[str, Sequence[Cut]]) -> list[str]:
    """Whether dev and test hold voices that training has heard: error rates are then lower than of others."""
    if "train" not in cuts:
        return []
    speakers = {split: [cut.supervisions[0].speaker for cut in some] for split, some in cuts.items()}
    known, lines = set(filter(None, speakers["train"])), []
    for split in (s for s in cuts if s != "train"):
        others = set(filter(None, speakers[split]))
        shared = len(others & known)
        said = "none" if not shared else "all" if shared == len(others) else f"{shared} of {len(others)}"
        if not known or not others:
            lines.append(f"{split} may hold voices of train: no speakers are named")
            continue
        both = [*speakers["train"], *speakers[split]]
        unnamed = sum(not speaker for speaker in both)
        but = f", but {unnamed:,} of their {len(both):,} utterances name none" if unnamed else ""
        lines.append(f"{said} of {split}'s speakers also speak in train{but}")
    return lines


def _table(corpus: Corpus, cuts: Mapping[str, Sequence[Cut]]) -> str:
    rows: list[tuple[str, ...]] = [("split", "utterances", "speakers", "hours", "words", "OOV words")]
    for split, n in corpus.splits.items():
        counts = (n["utterances"], n["speakers"], n["hours"], n["words"], n["oov"])
        rows.append((split, *(f"{c:.2f}" if isinstance(c, float) else f"{c:,}" for c in counts)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"{corpus.name}: {corpus.folder}, language {corpus.language}"]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    oov = _oov(corpus)
    if oov:
        some = ", ".join(f"{word} {count}" for word, count in oov[:SHOWN])
        more = f", ... (all in {corpus.folder / 'oov.txt'})" if len(oov) > SHOWN else ""
        what = "1 word is in no lexicon, its pronunciation is a guess"
        if len(oov) > 1:
            what = f"{len(oov)} words are in no lexicon, their pronunciations are guesses"
        lines.append(f"{what}: {some}{more}")
    lines += _voices(cuts)
    if corpus.lm_path is not None:
        lines.append(f"language model of its own: {corpus.lm_path.name}")
    if corpus.problems:
        many = "s" if len(corpus.problems) > 1 else ""
        lines.append(f"{len(corpus.problems)} problem{many}: what could not be used was left out")
    return "\n".join(lines)
