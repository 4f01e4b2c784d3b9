"""`asr align`: when each word and phoneme of a known text was spoken."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.transcribe import Device, OnDevice, Threads, load_system
from asr.errors import DataError, LexiconError, SearchError
from asr.files import write_text

if TYPE_CHECKING:
    from asr.decode.align import Alignment

OutputFormat = StrEnum("OutputFormat", ["textgrid", "ctm", "json"])


def align(
    audio: Annotated[Path, typer.Argument(help="A recording (wav, flac, ogg, mp3, ...).")],
    text: Annotated[str, typer.Argument(help="What is said in it, or a .txt file that holds that.")],
    model: Annotated[Path, typer.Option("--model", help="A run folder, or the system folder inside it.")],
    output_format: Annotated[
        OutputFormat, typer.Option("--output_format", "-f", case_sensitive=False, help="What to write.")
    ] = OutputFormat.textgrid,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output_dir", "-o", file_okay=False, help="Folder for the file; without it: stdout."),
    ] = None,
    device: OnDevice = Device.auto,
    threads: Threads = 0,
) -> None:
    """Find the times of the words of a text, and of their phonemes or characters, in a recording.

    CTM and JSON tell how likely each word was said there: a text of something else aligns, too. Times are
    good to about 20 ms with mfcc_hmm; a network tells when it recognised a phoneme, not how long it lasted.
    """
    from asr.data.audio import read_audio
    from asr.decode.hypothesis import within
    from asr.files import system_folder
    from asr.formats import FORMATS
    from asr.text.normalize import normalize

    said, path = _said(text)
    system = load_system(model, device, threads)
    if not normalize(said, system.language):
        raise DataError("the text holds no words", path=path, fix="write down what is said")
    waveform = read_audio(audio, system.sample_rate)
    try:
        alignment = system.align(waveform, system.sample_rate, said)
    except (LexiconError, SearchError) as e:
        if isinstance(e, LexiconError):
            # the way its other lines are written
            line = "`WORD 1.0 P1 P2 ...`" if system.lexicon.probabilities else "`WORD P1 P2 ...`"
            e.fix = f"add a line {line} to {system_folder(model) / 'lexicon.txt'} or correct the text"
        e.path = e.path or audio
        raise
    duration_s = waveform.size / system.sample_rate
    words = tuple(within(word, 0.0, duration_s) for word in alignment.words)
    tokens = tuple(within(token, 0.0, duration_s) for token in alignment.tokens)
    alignment = replace(alignment, words=words, tokens=tokens)
    document = _document(alignment, output_format, audio.stem, duration_s)
    if output_dir is None:
        print(document, end="")
    else:
        write_text(output_dir / (audio.stem + FORMATS[output_format].suffix), document)


def _said(text: str) -> tuple[str, Path | None]:
    """The text itself, or what the .txt file of that name holds, and that file."""
    if not text.lower().endswith(".txt"):
        return text, None
    path = Path(text)
    try:
        return path.read_text(encoding="utf-8-sig"), path
    except UnicodeDecodeError as e:
        raise DataError("not UTF-8", path=path, fix="convert the file to UTF-8") from e
    except OSError as e:
        raise DataError(f"cannot be read ({e.strerror})", path=path, fix="check the path") from e


def _document(alignment: Alignment, output_format: OutputFormat, name: str, duration_s: float) -> str:
    """An alignment in one of the formats."""
    from asr.decode.hypothesis import Word
    from asr.formats import Layout, Transcript, ctm, textgrid_tiers
    from asr.text.units import WORD_END

    if output_format is OutputFormat.ctm:
        words = tuple(
            Word(w.text, w.start_s, w.duration_s, sure)
            for w, sure in zip(alignment.words, alignment.confidences, strict=True)
        )
        return ctm(Transcript(name, words, duration_s), Layout())
    # only the spelling of a word has a mark for its end
    kind = "characters" if any(t.text == WORD_END for t in alignment.tokens) else "phones"
    tiers = {
        tier: [(s.start_s, s.start_s + s.duration_s, s.text) for s in some]
        for tier, some in (("words", alignment.words), (kind, alignment.tokens))
    }
    if output_format is OutputFormat.textgrid:
        return textgrid_tiers(tiers, duration_s)
    listed = {
        tier: [{"text": t, "start": round(a, 3), "end": round(b, 3)} for a, b, t in rows]
        for tier, rows in tiers.items()
    }
    for word, sure in zip(listed["words"], alignment.confidences, strict=True):
        word["probability"] = round(sure, 4)
    head = {"file": name, "duration": round(duration_s, 3), "log_score": round(float(alignment.score), 3)}
    return json.dumps({**head, **listed}, ensure_ascii=False) + "\n"
