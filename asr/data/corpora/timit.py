"""TIMIT: 6,300 sentences by 630 American speakers with phoneme times (Garofolo et al., LDC93S1).

Through Lhotse, with its usual 50-speaker dev and 24-speaker core test. The two SA sentences, which every
speaker reads, are left out, as everywhere. Phonemes are folded to the 39 of Lee and Hon, "Speaker-independent
phone recognition using hidden Markov models", IEEE TASSP 37, 1989, in times and lexicon alike.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lhotse.recipes.timit import download_timit, get_phonemes, prepare_timit

from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.through_lhotse import called, utterances
from asr.data.corpora.utterance import Utterance, numbered_lines
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError
from asr.text.lexicon import Lexicon
from asr.text.normalize import normalize

ORIGIN = Origin("timit", "en", "LDC User Agreement", "LDC93S1")
LAYOUT = "TRAIN/DR1/SPEAKER/SX1.WAV with .TXT, .WRD and .PHN beside it, and TEST the same"
FOLDED = {**get_phonemes(39), "q": ""}


def prepare(source: Path, target: Path) -> Corpus:
    """Prepare a copy of the LDC's disc."""
    problems: list[AsrError] = []
    root = next((p for p in (source, *source.glob("*"), *source.glob("*/*")) if (p / "TRAIN").is_dir()), None)
    if root is None:
        raise DataError("no folder TRAIN", path=source, fix=f"lay it out as {LAYOUT} (upper case)")
    for audio in sorted(root.glob("T*/*/*/*.WAV")):
        missing = [s for s in (".TXT", ".WRD", ".PHN") if not audio.with_suffix(s).exists()]
        if missing:
            problems.append(
                DataError(f"no {' or '.join(missing)} beside it", path=audio, fix="copy it again")
            )
    with tempfile.TemporaryDirectory() as scratch:

        def prepare_copy(folder: Path) -> Any:
            # Lhotse looks for the parts in a folder called data, as one of the copies on the net has it
            data = Path(scratch, "data")
            data.unlink(missing_ok=True)
            data.symlink_to(folder.resolve(), target_is_directory=True)
            return prepare_timit(scratch, num_phones=60)

        # Lhotse logs missing companions without their names: they were named above
        manifests = called(prepare_copy, LAYOUT, [], root)
        spoken = [
            _folded(u)
            for part in ("TRAIN", "DEV", "TEST")
            for u in utterances(manifests[part], part.lower())
            if not u.audio.name.upper().startswith("SA")
        ]
    lexicon = _lexicon(root, problems) or _folded_cmudict(spoken)
    return assemble(target, ORIGIN, spoken, problems, lexicon=lexicon)


def download(folder: Path) -> Path:
    """Fetch the copy that Lhotse knows; TIMIT itself is licensed by the LDC."""
    return download_timit(folder)


def _folded(u: Utterance) -> Utterance:
    """The utterance with folded phonemes, words in upper case and the audio without the symbolic link."""
    times = tuple(
        (FOLDED[p].upper(), start, d) for p, start, d in u.phone_times if FOLDED[p] not in ("", "sil")
    )
    words = tuple((word.upper(), start, d) for word, start, d in u.words)
    audio = u.audio.resolve()
    phones = tuple(p for p, _, _ in times)
    return replace(u, words=words, phone_times=times, phones=phones, audio=audio, where=(audio, None))


def _lexicon(root: Path, problems: list[AsrError]) -> Lexicon | None:
    """TIMITDIC.TXT, lines such as ``able  /ey1 b el/``, with folded phonemes; None if it is absent."""
    path = next((p for base in (root, root.parent) for p in base.glob("DOC/TIMITDIC.TXT")), None)
    if path is None:
        return None
    return Lexicon(dict(_entries(path, problems)))


def _folded_cmudict(spoken: list[Utterance]) -> Lexicon:
    """CMUdict's words of the corpus with folded phonemes, for copies without the disc's DOC folder."""
    words = {word for u in spoken for word in normalize(u.text).split()}
    known = Lexicon.cmudict().restricted(sorted(words))
    return Lexicon(
        {
            word: [tuple(FOLDED[p.lower()].upper() for p in some) for some in all_]
            for word, all_ in known.entries.items()
        }
    )


def _entries(path: Path, problems: list[AsrError]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    entries: dict[str, list[tuple[str, ...]]] = {}
    for i, line in numbered_lines(path, problems):
        if line.startswith(";"):
            continue
        match = re.fullmatch(r"(\S+)\s+/(.+)/", line)
        phones = [re.sub(r"\d", "", phone) for phone in match[2].split()] if match else []
        unknown = [phone for phone in phones if phone not in FOLDED]
        if match is None or unknown:
            what = f"unknown phonemes {' '.join(unknown)}" if unknown else "not `word /phonemes/`"
            problems.append(DataError(what, path=path, line=i, fix="correct the line"))
            continue
        # homographs have their part of speech behind a tilde: live~adj, live~v
        word = match[1].partition("~")[0].upper()
        folded = tuple(FOLDED[phone].upper() for phone in phones if FOLDED[phone])
        entries.setdefault(word, []).append(folded)
    yield from entries.items()
