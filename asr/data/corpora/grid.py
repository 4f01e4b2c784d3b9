"""GRID: 34 speakers, 1,000 sentences each of a fixed grammar ("bin blue at f two now").

Cooke, Barker, Cunningham, Shao, "An audio-visual corpus for speech perception and automatic speech
recognition", JASA 120, 2006. Two layouts are read: the official one (recordings in s1/, s2/, ... anywhere
below the folder, alignments as .align files in folders of the same speakers, or beside them) and a folder
with manifest.jsonl. File names spell the sentences; the alignments add word times and are checked against the
names, because the published archive has some speakers' alignments mixed up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asr.data.audio import SUFFIXES
from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.jsonl import read_manifest
from asr.data.corpora.utterance import Span, Utterance, numbered_lines
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError

ORIGIN = Origin("grid", "en", "CC BY 4.0", "Zenodo 3625687")
UNITS_PER_SECOND = 25000
GRAMMAR = (
    {"b": "BIN", "l": "LAY", "p": "PLACE", "s": "SET"},
    {"b": "BLUE", "g": "GREEN", "r": "RED", "w": "WHITE"},
    {"a": "AT", "b": "BY", "i": "IN", "w": "WITH"},
    {letter: letter.upper() for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(zip("z123456789", "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split(), strict=True)),
    {"a": "AGAIN", "n": "NOW", "p": "PLEASE", "s": "SOON"},
)


def prepare(source: Path, target: Path) -> Corpus:
    """Prepare either layout."""
    problems: list[AsrError] = []
    manifest = source / "manifest.jsonl"
    utterances = list(read_manifest(manifest, problems) if manifest.exists() else _official(source, problems))
    return assemble(target, ORIGIN, utterances, problems)


def sentence(stem: str) -> str | None:
    """The sentence that a file name spells: ``bbaf2n`` is BIN BLUE AT F TWO NOW; None if it spells none."""
    words = [choice.get(c, "") for choice, c in zip(GRAMMAR, stem.lower(), strict=False)]
    return " ".join(words) if len(stem) == len(GRAMMAR) and all(words) else None


def _official(source: Path, problems: list[AsrError]) -> Iterator[Utterance]:
    files = {suffix: {} for suffix in (".align", "audio")}  # type: dict[str, dict[tuple[str, str], Path]]
    for path in sorted(source.rglob("*")):
        kind = "audio" if path.suffix.lower() in SUFFIXES else path.suffix.lower()
        speaker = next((p for p in reversed(path.relative_to(source).parts[:-1]) if _is_speaker(p)), None)
        if kind in files and speaker:
            files[kind].setdefault((speaker, path.stem), path)
    if not files["audio"]:
        raise DataError(
            "neither s1/*.wav nor manifest.jsonl", path=source, fix="unpack the audio archives here"
        )
    for (speaker, stem), audio in files["audio"].items():
        text = sentence(stem)
        if text is None:
            problems.append(DataError("its name spells no GRID sentence", path=audio, fix="remove it"))
            continue
        align = files[".align"].get((speaker, stem))
        words = _word_times(align, problems) if align else ()
        if words and " ".join(word for word, _, _ in words) != text:
            said = " ".join(word for word, _, _ in words)
            what = f"aligns {said!r}, but the file name spells {text!r}: its word times are left out"
            problems.append(DataError(what, path=align, fix="use the alignments of the right speaker"))
            words = ()
        yield Utterance(id=f"grid-{speaker}-{stem}", audio=audio, text=text, speaker=speaker, words=words)


def _is_speaker(name: str) -> bool:
    return re.fullmatch(r"s\d+", name) is not None


def _word_times(path: Path, problems: list[AsrError]) -> tuple[Span, ...]:
    """``start end word`` lines in 1/25000 s; silences are left out."""
    spans = []
    for i, line in numbered_lines(path, problems):
        try:
            start, end, word = line.split()
            seconds = int(start) / UNITS_PER_SECOND, (int(end) - int(start)) / UNITS_PER_SECOND
        except ValueError:
            problems.append(DataError(f"not `start end word`: {line!r}", path=path, line=i, fix="remove it"))
            return ()
        if word not in ("sil", "sp"):
            spans.append((word.upper(), *seconds))
    return tuple(spans)
