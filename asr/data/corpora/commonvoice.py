"""Mozilla Common Voice: short sentences read by volunteers in many languages (Ardila et al., LREC 2020; CC0).

Through Lhotse, from an unpacked release (LANGUAGE/{train,dev,test}.tsv, LANGUAGE/clips/*.mp3).
"""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path

from lhotse.recipes.commonvoice import download_commonvoice, prepare_commonvoice

from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.through_lhotse import called, utterances
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
    splits = [split for split in SPLITS if (root / language / f"{split}.tsv").exists()]
    if "train" not in splits:
        have = ", ".join(sorted(p.parent.name for p in root.glob("*/train.tsv"))) or "none"
        what = f"no {language}/train.tsv (languages here: {have})"
        raise DataError(what, path=root, fix=f"lay it out as {LAYOUT} and name the --language")
    own = own_lexicon(lexicon, language)
    with tempfile.TemporaryDirectory() as scratch:
        # only the folder of the language: a release may hold others
        manifests = called(
            lambda folder: prepare_commonvoice(
                folder.parent, scratch, languages=language, splits=splits, num_jobs=os.cpu_count() or 1
            ),
            LAYOUT,
            problems,
            root / language,
        )[language]
        spoken = [u for split in splits for u in utterances(manifests[split], split)]
    for split in splits:
        problems.extend(_left_out(root / language / f"{split}.tsv", spoken))
    origin = Origin(f"commonvoice_{language}", language, "CC0 1.0", "Mozilla Common Voice")
    return assemble(target, origin, spoken, problems, lexicon=own, text=text)


def download(folder: Path, *, language: str = "en") -> Path:
    """Fetch one language of Lhotse's default release."""
    download_commonvoice(folder, languages=language, release=RELEASE)
    return folder / RELEASE


def _left_out(table: Path, spoken: list[Utterance]) -> list[AsrError]:
    """Lhotse passes over missing clips in silence: name them."""
    known = {u.id for u in spoken}
    with open(table, encoding="utf-8", newline="") as f:
        names = [row["path"] for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return [
        DataError(f"no clip {name}", path=table, line=i, fix="unpack the archive again")
        for i, name in enumerate(names, 2)
        if Path(name).stem not in known
    ]
