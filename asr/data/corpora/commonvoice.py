"""Mozilla Common Voice: short sentences read by volunteers in many languages (Ardila et al., LREC 2020; CC0).

From an unpacked release: LANGUAGE/{train,dev,test}.tsv, or validated.tsv alone, and LANGUAGE/clips/*.mp3. The
tables are read here, for Lhotse's preparer refuses those of releases with other columns than its own.
"""

from __future__ import annotations

from pathlib import Path

from lhotse.recipes.commonvoice import download_commonvoice

from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.csv import read_table
from asr.data.corpora.utterance import Utterance
from asr.data.corpus import SPLITS, Corpus
from asr.errors import AsrError, DataError

LAYOUT = "LANGUAGE/{train,dev,test}.tsv and LANGUAGE/clips/*.mp3"
RELEASE = "cv-corpus-13.0-2023-03-09"


def prepare(
    source: Path, target: Path, *, language: str = "en", lexicon: Path | None = None, text: Path | None = None
) -> Corpus:
    """Prepare one language of a release."""
    problems: list[AsrError] = []
    root = source.parent if source.name == language and (source / "clips").is_dir() else source
    tables = {split: root / language / f"{split}.tsv" for split in SPLITS}
    there: dict[str | None, Path] = {split: path for split, path in tables.items() if path.exists()}
    whole = root / language / "validated.tsv"  # of new languages there is no more
    if not there and whole.exists():
        there = {None: whole}
    elif "train" not in there:
        have = ", ".join(sorted(p.parent.name for p in root.glob("*/train.tsv"))) or "none"
        what = f"no {language}/train.tsv (languages here: {have})"
        raise DataError(what, path=root, fix=f"lay it out as {LAYOUT} and name the --language")
    own = own_lexicon(lexicon, language)
    clips = root / language / "clips"
    spoken: list[Utterance] = []
    for split, path in there.items():
        for u in read_table(path, problems, split, clips=clips):
            if u.audio.is_file():
                spoken.append(u)
            else:
                problems.append(u.error(f"no clip {u.audio.name}", "unpack the archive again"))
    origin = Origin(f"commonvoice_{language}", language, "CC0 1.0", "Mozilla Common Voice")
    return assemble(target, origin, spoken, problems, lexicon=own, text=text)


def download(folder: Path, *, language: str = "en") -> Path:
    """Fetch one language of Lhotse's default release."""
    download_commonvoice(folder, languages=language, release=RELEASE)
    return folder / RELEASE
