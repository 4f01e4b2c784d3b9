"""`asr transcribe`: recordings to text, subtitles and time-marked words."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr.cli.search import OnePass, SearchChanges
from asr.errors import AsrError, AudioError, SearchError, UsageError
from asr.files import write_text
from asr.progress import bar, console, waiting

if TYPE_CHECKING:
    from asr.decode.hypothesis import Word
    from asr.formats import Layout
    from asr.system import System

POOLED_S = 120  # recognised together: two minutes tell a model of the voice, and memory stays small

OutputFormat = StrEnum("OutputFormat", ["txt", "srt", "vtt", "tsv", "json", "ctm", "textgrid", "all"])
Device = StrEnum("Device", ["auto", "cpu", "cuda"])
OnDevice = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto is a GPU if the model can use one.")
]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Processor cores to use; 0 for all of them.")]
Truth = Literal["True", "False"]  # whisper's flags take a value


@dataclass(frozen=True)
class Recording:
    """An audio file, and its name below the output folder without suffix."""

    path: Path
    name: str


def transcribe(
    audio: Annotated[
        list[Path], typer.Argument(help="Recordings (wav, flac, ogg, mp3, ...) and folders of them.")
    ],
    model: Annotated[Path, typer.Option("--model", help="A run folder, or the system folder inside it.")],
    output_format: Annotated[
        OutputFormat,
        typer.Option(
            "--output_format", "-f", case_sensitive=False, help="What to write; all writes every format."
        ),
    ] = OutputFormat.txt,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output_dir",
            "-o",
            file_okay=False,
            help="Folder for one file a recording and format; without it: stdout.",
        ),
    ] = None,
    device: OnDevice = Device.auto,
    threads: Threads = 0,
    verbose: Annotated[
        Truth,
        typer.Option(
            "--verbose",
            case_sensitive=False,
            help="Whether to show segments with their times on stderr as they are recognised.",
        ),
    ] = "False",
    word_timestamps: Annotated[
        Truth,
        typer.Option(
            "--word_timestamps",
            case_sensitive=False,
            help="Whether JSON holds the words of each segment with their times and probabilities.",
        ),
    ] = "True",
    max_line_width: Annotated[
        int, typer.Option("--max_line_width", min=1, help="Characters in a line of subtitles.")
    ] = 42,
    max_line_count: Annotated[
        int | None,
        typer.Option(
            "--max_line_count",
            min=1,
            help="Lines in a subtitle; when left out 2, or 1 with --max_words_per_line.",
        ),
    ] = None,
    max_words_per_line: Annotated[
        int | None,
        typer.Option(
            "--max_words_per_line", min=1, help="Words in a line of subtitles; all that fit when left out."
        ),
    ] = None,
    phonemes: Annotated[
        bool,
        typer.Option(
            "--phonemes", help="Write phonemes instead of words, by a run of phoneme_ctc; see its README."
        ),
    ] = False,
    sets: SearchChanges = None,
    one_pass: OnePass = False,
) -> None:
    """Write down what is said in recordings of any length, rate and channel count.

    A recording that cannot be read is named on stderr, the others are done, and the exit code is 1.
    """
    from asr.formats import FORMATS, Layout

    if output_dir is None and output_format is OutputFormat.all:
        raise UsageError("-f all writes several files", fix="name their folder with -o DIR")
    found, failed = recordings(audio, to_files=output_dir is not None)
    if output_dir is None and len(found) > 1 and not FORMATS[output_format].joinable:
        raise UsageError(
            f"{output_format} documents of several recordings do not fit in one stream",
            fix="name a folder for them with -o DIR",
        )
    layout = Layout(
        line_width=max_line_width,
        line_count=max_line_count or (1 if max_words_per_line else 2),
        words_per_line=max_words_per_line,
        word_times=word_timestamps == "True",
    )
    for error in failed:
        complain(error)
    if found:
        system = load_system(model, device, threads)
        if phonemes:
            system = system.of_phonemes()
        system = system.changed(sets or [], one_pass)
        tier = "phones" if phonemes else "words"
        job = Job(system, tier, output_format, output_dir, layout, verbose == "True", named=len(found) > 1)
        with bar() as progress:
            task = progress.add_task("transcribing", total=len(found))
            for recording in found:
                try:
                    job.run(recording, functools.partial(progress.update, task))
                except (AudioError, SearchError) as e:
                    e.path = e.path or recording.path
                    failed.append(e)
                    complain(e)
                except BrokenPipeError:
                    raise
                except OSError as e:
                    if output_dir is None:
                        raise
                    what = f"its transcript cannot be written ({e.strerror})"
                    failed.append(AudioError(what, path=recording.path, fix="see the folder named by -o"))
                    complain(failed[-1])
                progress.advance(task)
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Job:
    """What is done with every recording.

    Attributes
    ----------
    system, tier
        The recogniser, and what it finds: ``words`` or ``phones``.
    output_format, output_dir, layout
        What to write and where; None is stdout.
    verbose
        Whether to show segments on stderr as they are recognised.
    named
        Whether lines of text on stdout begin with the recording's path, as there are several.
    """

    system: System
    tier: str
    output_format: OutputFormat
    output_dir: Path | None
    layout: Layout
    verbose: bool
    named: bool

    def run(self, recording: Recording, progress: Callable[..., None]) -> None:
        """Transcribe one recording and call `progress` with a description of how far it is.

        Text on stdout comes segment by segment; files come whole, at the end.
        """
        from asr.formats import FORMATS, Transcript, clock, segments

        live = self.output_dir is None and self.output_format is OutputFormat.txt
        duration_s = 0.0
        progress(description=recording.path.name)

        def spoken() -> Iterator[Word]:
            nonlocal duration_s
            for done_s, some in recognise(self.system, recording.path):
                duration_s = done_s
                progress(description=f"{recording.path.name} {clock(done_s)[:-4]}")
                yield from some

        words: list[Word] = []
        for segment in segments(spoken()):
            words += segment
            text = " ".join(word.text for word in segment)
            if self.verbose:
                times = (
                    f"{clock(segment[0].start_s)} --> {clock(segment[-1].start_s + segment[-1].duration_s)}"
                )
                console.print(f"[{times}] {text}", markup=False, soft_wrap=True)
            if live:
                print(f"{recording.path}: {text}" if self.named else text, flush=True)
        if not words and live:
            console.print(f"asr: {recording.path}: no {self.tier} found", soft_wrap=True, markup=False)
            if self.named:
                print(f"{recording.path}: ", flush=True)
        if live:
            return
        transcript = Transcript(recording.name, tuple(words), duration_s, self.system.language, self.tier)
        for name in FORMATS if self.output_format is OutputFormat.all else [self.output_format]:
            document = FORMATS[name].write(transcript, self.layout)
            if self.output_dir is None:
                print(document, end="", flush=True)
            else:
                write_text(self.output_dir / (recording.name + FORMATS[name].suffix), document)


def load_system(folder: Path, device: Device, threads: int) -> System:
    """Open a trained system for use on `device` with so many cores (0: all)."""
    with waiting(f"loading {folder}"):
        import torch

        from asr.models.ctc.model import Ctc
        from asr.system import System

        if device is Device.cuda and not torch.cuda.is_available():
            raise UsageError("--device cuda: torch sees no GPU here", fix="use --device cpu")
        if threads:
            torch.set_num_threads(threads)
        system = System.load(folder)
    if isinstance(system.model, Ctc):
        if device is not Device.cpu and torch.cuda.is_available():
            system.model.to("cuda")
    elif device is Device.cuda:
        console.print(f"asr: {system.name} stays on the CPU", soft_wrap=True, markup=False)
    return system


def recordings(audio: Iterable[Path], to_files: bool) -> tuple[list[Recording], list[AsrError]]:
    """The audio files named and those in folders named, once each; and what was named but is not there.

    Files in a folder keep their place below it. Two that would have the same name keep their suffixes too.
    Where that does not help they are refused if transcripts go `to_files`, else called by their paths.
    """
    from asr.data.audio import SUFFIXES, UNREADABLE

    sounds = (*SUFFIXES, *UNREADABLE)
    places: dict[Path, tuple[Path, Path]] = {}  # by real path, so that no file is done twice
    failed: list[AsrError] = []
    for path in audio:
        found = [Path(path.name)]
        if path.is_dir():
            inside = (p.relative_to(path) for p in sorted(path.rglob("*")) if p.suffix.lower() in sounds)
            found = [p for p in inside if not any(part.startswith(".") for part in p.parts)]
            if not found:
                failed.append(AudioError("no recordings in this folder", path=path, fix="check the path"))
        for place in found:
            file = path / place if path.is_dir() else path
            places.setdefault(file.resolve(), (file, place))
    readable = {place.with_suffix("") for _, place in places.values() if place.suffix.lower() in SUFFIXES}
    # what was converted, as advised, is done
    places = {
        k: (file, place)
        for k, (file, place) in places.items()
        if file in audio or place.suffix.lower() not in UNREADABLE or place.with_suffix("") not in readable
    }
    stems = Counter(place.with_suffix("") for _, place in places.values())
    listed: dict[str, Recording] = {}
    for file, place in places.values():
        stem = place.with_suffix("")
        name = (stem if stems[stem] == 1 else place).as_posix()
        if name in listed and not to_files:
            name = file.as_posix()
        if name in listed:
            both = f"{listed[name].path} and {file}"
            raise UsageError(f"{both} have the same name", fix="name the folder above them instead")
        listed[name] = Recording(file, name)
    return list(listed.values()), failed


def recognise(system: System, path: Path) -> Iterator[tuple[float, tuple[Word, ...]]]:
    """The seconds of a recording done so far and the words newly found, their times from its start."""
    from asr.decode.hypothesis import within
    from asr.segment import pieces

    rate = system.sample_rate
    waiting = pieces(path, rate, system.longest_s)
    while batch := list(itertools.islice(waiting, round(POOLED_S / system.longest_s))):
        hypotheses = system.transcribe([piece.samples for piece in batch], rate)
        for piece, hypothesis in zip(batch, hypotheses, strict=True):
            start_s, end_s = piece.start / rate, (piece.start + piece.samples.size) / rate
            yield end_s, tuple(within(w, start_s, end_s) for w in hypothesis.words)


def complain(error: AsrError) -> None:
    """One line on stderr about an input that failed while others go on."""
    console.print(f"asr: error: {error}", style="red", soft_wrap=True, markup=False)
