"""A folder of recordings, each with its transcript beside it: ``hello.flac`` and ``hello.txt``.

Sub-folders name the speakers; folders called train, dev and test at the top are splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.data.audio import SUFFIXES, UNREADABLE
from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.utterance import SPLIT_NAMES, Utterance
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError

ABOUT = ("readme", "license", "licence")  # texts that are no transcripts


def read_folder(source: Path, problems: list[AsrError]) -> Iterator[Utterance]:
    """The recordings below a folder that have a transcript; one without the other becomes a problem.

    Raises
    ------
    DataError
        If there is no recording at all.
    """
    files = sorted(p for p in source.rglob("*") if p.is_file())
    recordings = [p for p in files if p.suffix.lower() in SUFFIXES]
    known = {p.with_suffix("") for p in recordings}
    # of what cannot be read the reason is told
    others = [p for p in files if p.suffix.lower() in UNREADABLE and p.with_suffix("") not in known]
    recordings += others
    if not recordings:
        raise DataError("no audio files", path=source, fix=f"known are {' '.join(SUFFIXES)}")
    known |= {p.with_suffix("") for p in others}
    folders = {p.parent for p in recordings}
    texts = (p for p in files if p.suffix == ".txt" and p.stem.lower() not in ABOUT)
    for path in texts:
        if path.parent in folders and path.with_suffix("") not in known:
            problems.append(DataError("no recording beside it", path=path, fix="add it, or remove the text"))
    called: dict[str, Path] = {}
    for audio in recordings:
        below = audio.relative_to(source).with_suffix("")
        parts = below.parts
        split = SPLIT_NAMES.get(parts[0].lower()) if len(parts) > 1 else None
        speakers = parts[1:-1] if split else parts[:-1]
        transcript = audio.with_suffix(".txt")
        name = "-".join("_".join(part.split()) for part in parts)
        if (other := called.setdefault(name, audio)) != audio:
            what, fix = f"its name is that of {other.relative_to(source)}", "rename one of them"
            if other.with_suffix("") == audio.with_suffix(""):
                what, fix = f"{transcript.name} is also the transcript of {other.name}", "remove one of them"
            problems.append(DataError(what, path=audio, fix=fix))
            continue
        try:
            text = transcript.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as e:
            what = (
                "no transcript beside it" if isinstance(e, FileNotFoundError) else f"{transcript.name}: {e}"
            )
            problems.append(DataError(what, path=audio, fix=f"write its words to {transcript.name} in UTF-8"))
            continue
        yield Utterance(
            id=name,
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
