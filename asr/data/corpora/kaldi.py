"""A Kaldi data folder (wav.scp, text, utt2spk, perhaps segments), or one with train, dev and test below it.

Kaldi's files are first checked line by line, so that each mistake has its line, and what is sound is then
read by Lhotse's own importer. Audio paths may start at the folder, at any folder above it (Kaldi's recipes
start at the recipe) or at the current one. The lexicon is Kaldi's local/dict/lexicon.txt in the folder or
beside it, if it is there and no other is given.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lhotse.kaldi import load_kaldi_data_dir

from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.utterance import SPLIT_NAMES, Utterance, keyed_lines
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError

NOMINAL_RATE = 16000  # of the import alone: the recordings' own rates are read later


def prepare(
    source: Path, target: Path, *, language: str = "en", lexicon: Path | None = None, text: Path | None = None
) -> Corpus:
    """Prepare one data folder, or its sub-folders train, dev and test."""
    problems: list[AsrError] = []
    kaldis = (folder / "local" / "dict" / "lexicon.txt" for folder in (source, source.absolute().parent))
    own = own_lexicon(lexicon or next((path for path in kaldis if path.is_file()), None), language)
    utterances = [u for folder, split in folders(source) for u in read_folder(folder, problems, split)]
    return assemble(target, Origin(target.name, language), utterances, problems, lexicon=own, text=text)


def folders(source: Path) -> list[tuple[Path, str | None]]:
    """The data folders of a source with their splits: itself, or those below it that are called by a split.

    Raises
    ------
    DataError
        If there is none.
    """
    if (source / "wav.scp").exists():
        return [(source, None)]
    below = sorted(path.parent for path in source.glob("*/wav.scp"))
    named: list[tuple[Path, str | None]] = [
        (folder, SPLIT_NAMES[folder.name.lower()]) for folder in below if folder.name.lower() in SPLIT_NAMES
    ]
    if not named:
        raise DataError("no wav.scp here or in train, dev, test", path=source, fix="give the data folder")
    return named


def read_folder(folder: Path, problems: list[AsrError], split: str | None = None) -> Iterator[Utterance]:
    """The utterances of one Kaldi data folder; each bad line becomes a problem."""

    def bad(what: str, file: str, line: int, utterance: str, fix: str) -> None:
        problems.append(DataError(what, path=folder / file, line=line, utterance=utterance, fix=fix))

    texts = keyed_lines(folder / "text", problems)
    speakers = keyed_lines(folder / "utt2spk", problems) if (folder / "utt2spk").exists() else {}
    segmented = (folder / "segments").exists()
    told = keyed_lines(folder / "segments", problems) if segmented else texts
    recordings: dict[str, Path] = {}
    refused: set[str] = set()  # what lies in them or belongs to them is not told again
    for name, (line, audio) in keyed_lines(folder / "wav.scp", problems).items():
        if not segmented and name not in texts:
            bad("not in text", "wav.scp", line, name, "transcribe it or remove the line")
        elif audio.endswith("|"):
            refused.add(name)
            bad("a pipe", "wav.scp", line, name, "write its output to a file and name that instead")
        elif found := _locate(audio, folder):
            recordings[name] = found
        else:
            refused.add(name)
            bad(f"no such file {audio!r}", "wav.scp", line, name, "correct the path")
    segments = {}
    for name, (line, rest) in told.items():
        if not segmented:
            if name in recordings:
                segments[name] = (name, "0", "-1")
            elif name not in refused:
                bad("not in wav.scp", "text", line, name, "add its recording or remove the line")
            continue
        fields = rest.split()
        if len(fields) != 3 or not _is_span(fields[1], fields[2]):
            bad("not `utterance recording start end`", "segments", line, name, "correct the line")
        elif fields[0] not in recordings:
            if fields[0] not in refused:
                what = f"recording {fields[0]} is not in wav.scp"
                bad(what, "segments", line, name, "add it or remove the line")
        elif name not in texts:
            bad("not in text", "segments", line, name, "transcribe it or remove the line")
        else:
            segments[name] = (fields[0], fields[1], fields[2])
    for name, (line, _) in texts.items():
        if name not in told:
            bad("not in segments", "text", line, name, "say where it is or remove the line")
    for name, (line, speaker) in speakers.items():
        if not speaker:
            bad("no speaker", "utt2spk", line, name, "write one")
    if speakers and (unnamed := [name for name in segments if name not in speakers]):
        what = f"no speaker of {len(unnamed)} utterances, this one first"
        problems.append(DataError(what, path=folder / "utt2spk", utterance=unnamed[0], fix="add their lines"))
    told_by = {name: speaker for name, (_, speaker) in speakers.items() if speaker}
    if not segments:
        return
    with tempfile.TemporaryDirectory() as temporary:
        sound = Path(temporary)
        used = sorted({recording for recording, _, _ in segments.values()})
        # Lhotse would read each header in a process pool; all that counts here is that every segment fits
        _write(sound / "reco2dur", {name: "1e9" for name in used})
        _write(sound / "wav.scp", {name: str(recordings[name]) for name in used})
        _write(sound / "segments", {name: " ".join(fields) for name, fields in segments.items()})
        _write(sound / "text", {name: texts[name][1] for name in segments})
        _write(sound / "utt2spk", {name: told_by.get(name, name) for name in segments})
        _, supervisions, _ = load_kaldi_data_dir(sound, NOMINAL_RATE)
    for s in supervisions or ():
        to_the_end = segments[s.id][2] == "-1"
        yield Utterance(
            id=s.id,
            audio=recordings[s.recording_id],
            text=s.text or "",
            speaker=told_by.get(s.id),
            split=split,
            start=s.start,
            duration=None if to_the_end else s.duration,
            where=(folder / "text", texts[s.id][0]),
        )


def _locate(audio: str, folder: Path) -> Path | None:
    for base in (folder, *folder.resolve().parents, Path.cwd()):
        if (base / audio).is_file():
            return (base / audio).absolute()
    return None


def _is_span(start: str, end: str) -> bool:
    try:
        return 0 <= float(start) < math.inf and (end == "-1" or float(start) < float(end) < math.inf)
    except ValueError:
        return False


def _write(path: Path, lines: dict[str, str]) -> None:
    path.write_text("".join(f"{key} {value}\n" for key, value in lines.items()), encoding="utf-8")
