"""A folder of recordings, each with its transcript beside it: ``hello.flac`` and ``hello.txt``.

Or ``hello.lab``, as for the Montreal Forced Aligner, or ``hello.TextGrid`` of Praat, ``hello.eaf`` of ELAN or
a label track of Audacity as ``hello.txt``, whose stretches are one utterance each. Sub-folders name the
speakers; folders called train, dev and test at the top are splits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asr.data.audio import SUFFIXES as SOUNDS
from asr.data.audio import UNREADABLE
from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.tiers import SUFFIXES, Annotation, read_labels, read_tiers
from asr.data.corpora.utterance import SPLIT_NAMES, Utterance
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError

TEXTS = (".txt", ".lab")
_TIMED_LABEL = re.compile(r"\s*\d+\s+\d+\s+\S")  # as HTK writes them
ABOUT = ("readme", "license", "licence")  # texts that are no transcripts


def read_folder(source: Path, problems: list[AsrError], tier: str | None = None) -> Iterator[Utterance]:
    """The recordings below a folder that have a transcript; one without the other becomes a problem.

    Parameters
    ----------
    source
        The folder.
    problems
        Gets what is wrong.
    tier
        Of TextGrids and eaf files, as for `read_tiers`.

    Raises
    ------
    DataError
        If there is no recording at all.
    """
    files = sorted(p for p in source.rglob("*") if p.is_file())
    recordings = [p for p in files if p.suffix.lower() in SOUNDS]
    known = {p.with_suffix("") for p in recordings}
    # of what cannot be read the reason is told
    others = [p for p in files if p.suffix.lower() in UNREADABLE and p.with_suffix("") not in known]
    recordings += others
    if not recordings:
        raise DataError("no audio files", path=source, fix=f"known are {' '.join(SOUNDS)}")
    known |= {p.with_suffix("") for p in others}
    folders = {p.parent for p in recordings}
    texts = (p for p in files if p.suffix in (*TEXTS, *SUFFIXES) and p.stem.lower() not in ABOUT)
    for path in texts:
        if path.parent in folders and path.with_suffix("") not in known:
            problems.append(DataError("no recording beside it", path=path, fix="add it, or remove the text"))
    called: dict[str, Path] = {}
    for audio in recordings:
        below = audio.relative_to(source).with_suffix("")
        parts = below.parts
        split = SPLIT_NAMES.get(parts[0].lower()) if len(parts) > 1 else None
        speakers = parts[1:-1] if split else parts[:-1]
        beside = (audio.with_suffix(suffix) for suffix in (*TEXTS, *SUFFIXES))
        transcript = next((path for path in beside if path.is_file()), audio.with_suffix(TEXTS[0]))
        name = "-".join("_".join(part.split()) for part in parts)
        if (other := called.setdefault(name, audio)) != audio:
            what, fix = f"its name is that of {other.relative_to(source)}", "rename one of them"
            if other.with_suffix("") == audio.with_suffix(""):
                what, fix = f"{transcript.name} is also the transcript of {other.name}", "remove one of them"
            problems.append(DataError(what, path=audio, fix=fix))
            continue
        speaker = speakers[0] if speakers else None
        if transcript.suffix in SUFFIXES:
            try:
                found = read_tiers(transcript, tier)
                yield from (_utterance(s, transcript, audio, name, speaker, split) for s in found)
            except DataError as e:
                problems.append(e)
            continue
        try:
            text = transcript.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as e:
            what = (
                "no transcript beside it" if isinstance(e, FileNotFoundError) else f"{transcript.name}: {e}"
            )
            problems.append(DataError(what, path=audio, fix=f"write its words to {transcript.name} in UTF-8"))
            continue
        if labels := read_labels(text):
            yield from (
                _utterance(s, transcript, audio, name, speaker, split) for s in labels if s.text.strip()
            )
            continue
        if transcript.suffix == ".lab" and _TIMED_LABEL.match(text):
            what = f"{transcript.name} holds times of labels, not words"
            problems.append(DataError(what, path=audio, fix="write its words alone, or a TextGrid"))
            continue
        yield Utterance(
            id=name,
            audio=audio,
            text=text,
            speaker=speaker,
            split=split,
            where=(transcript, None),
        )


def _utterance(
    s: Annotation, path: Path, audio: Path, name: str, speaker: str | None, split: str | None
) -> Utterance:
    """A stretch of a recording; a speaker that its file names is the same in all folders."""
    who = f"-{'_'.join(s.speaker.split())}" if s.speaker else ""
    return Utterance(
        id=f"{name}-{round(s.start * 1000):07d}{who}",
        audio=audio,
        text=s.text,
        speaker=s.speaker or speaker,
        split=split,
        start=s.start,
        duration=s.end - s.start,
        where=(path, None),
    )


def prepare(
    source: Path,
    target: Path,
    *,
    language: str = "en",
    lexicon: Path | None = None,
    text: Path | None = None,
    tier: str | None = None,
) -> Corpus:
    """Prepare a folder of recordings with transcripts."""
    problems: list[AsrError] = []
    own = own_lexicon(lexicon, language)
    utterances = list(read_folder(source, problems, tier))
    return assemble(target, Origin(target.name, language), utterances, problems, lexicon=own, text=text)
