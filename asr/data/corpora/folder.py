"""A folder of recordings, each with its transcript beside it: ``hello.flac`` and ``hello.txt``.

Sub-folders name the speakers; folders called train, dev and test at the top are splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.data.audio import SUFFIXES
from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.utterance import SPLIT_NAMES, Utterance
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError


def read_folder(source: Path, problems: list[AsrError]) -> Iterator[Utterance]:
    """The recordings below a folder that have a transcript; those that have none become problems.

    Raises
    ------
    DataError
        If there is no recording at all.
    """
    recordings = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not recordings:
        raise DataError("no audio files", path=source, fix=f"known are {' '.join(SUFFIXES)}")
    for audio in recordings:
        below = audio.relative_to(source).with_suffix("")
        parts = below.parts
        split = SPLIT_NAMES.get(parts[0].lower()) if len(parts) > 1 else None
        speakers = parts[1:-1] if split else parts[:-1]
        transcript = audio.with_suffix(".txt")
        try:
            text = transcript.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as e:
            what = (
                "no transcript beside it" if isinstance(e, FileNotFoundError) else f"{transcript.name}: {e}"
            )
            problems.append(DataError(what, path=audio, fix=f"write its words to {transcript.name} in UTF-8"))
            continue
        yield Utterance(
            id="-".join(parts),
            audio=audio,
            text=text,
            speaker=speakers[0] if speakers else None,
            split=split,
            where=(transcript, None),
        )


def prepare(
    source: Path, target: Path, *, language: str = "en", lexicon: Path | None = None, text: Path | None = None
) -> Corpus:
    """Prepare a folder of recordings with transcripts."""
    problems: list[AsrError] = []
    own = own_lexicon(lexicon, language)
    utterances = list(read_folder(source, problems))
    return assemble(target, Origin(target.name, language), utterances, problems, lexicon=own, text=text)
