"""yesno: one man saying yes and no in Hebrew, sixty recordings of eight words (OpenSLR 1).

Through Lhotse. The lexicon is Kaldi's: a word is a phoneme. Dev is a tenth of train, by hash.
"""

from __future__ import annotations

from pathlib import Path

from lhotse.recipes.yesno import download_yesno, prepare_yesno

from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.through_lhotse import called, utterances
from asr.data.corpus import Corpus
from asr.errors import AsrError
from asr.text.lexicon import Lexicon

ORIGIN = Origin("yesno", "he", "see OpenSLR 1", "OpenSLR 1")
LAYOUT = "60 files named like 0_1_1_0_0_1_0_1.wav"


def prepare(source: Path, target: Path) -> Corpus:
    """Prepare the unpacked archive."""
    problems: list[AsrError] = []
    root = source / "waves_yesno" if (source / "waves_yesno").is_dir() else source
    manifests = called(prepare_yesno, LAYOUT, problems, root)
    spoken = [u for split in ("train", "test") for u in utterances(manifests[split], split, speaker="yesno")]
    lexicon = Lexicon({"YES": [("Y",)], "NO": [("N",)]})
    return assemble(target, ORIGIN, spoken, problems, lexicon=lexicon)


def download(folder: Path) -> Path:
    """Fetch the archive (4.5 MB)."""
    return download_yesno(folder)
