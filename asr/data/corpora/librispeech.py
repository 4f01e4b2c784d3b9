"""LibriSpeech: 1,000 hours of read English audio books (Panayotov et al., ICASSP 2015; OpenSLR 12 and 31).

Through Lhotse. LibriSpeech: every train-* part is train; dev-clean and test-clean are dev and test, dev-other
and test-other stand beside them as dev_other and test_other. Mini LibriSpeech: train-clean-5 is train less a
tenth of its speakers, which are dev; dev-clean-2, on which its results are published, is test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lhotse.recipes.librispeech import (
    LIBRISPEECH,
    MINI_LIBRISPEECH,
    download_librispeech,
    prepare_librispeech,
)

from asr.data.corpora.assemble import Origin, assemble, own_lexicon
from asr.data.corpora.through_lhotse import called, utterances
from asr.data.corpora.utterance import Utterance
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError, UsageError
from asr.text.normalize import base_language

LAYOUT = "LibriSpeech/PART/SPEAKER/CHAPTER/*.flac"


def prepare(
    source: Path, target: Path, *, language: str = "en", lexicon: Path | None = None, text: Path | None = None
) -> Corpus:
    """Prepare the parts of LibriSpeech that are there, or of another corpus that is laid out as it is."""
    problems: list[AsrError] = []
    origin = Origin("librispeech", "en", "CC BY 4.0", "OpenSLR 12")
    if base_language(language) != "en":
        origin = Origin(target.name, language)
    own = own_lexicon(lexicon, language)
    spoken = list(_parts(source, LIBRISPEECH, problems))
    return assemble(target, origin, spoken, problems, lexicon=own, text=text)


def prepare_mini(source: Path, target: Path) -> Corpus:
    """Prepare Mini LibriSpeech."""
    problems: list[AsrError] = []
    spoken = list(_parts(source, MINI_LIBRISPEECH, problems))
    return assemble(target, Origin("mini_librispeech", "en", "CC BY 4.0", "OpenSLR 31"), spoken, problems)


def download(folder: Path, *, language: str = "en") -> Path:
    """Fetch all parts of LibriSpeech (60 GB); UsageError for another language."""
    if base_language(language) != "en":
        raise UsageError("LibriSpeech is English", fix="leave out --language, or --download")
    return download_librispeech(folder, "librispeech")


def download_mini(folder: Path) -> Path:
    """Fetch Mini LibriSpeech (0.5 GB)."""
    return download_librispeech(folder, "mini_librispeech")


def _parts(source: Path, parts: tuple[str, ...], problems: list[AsrError]) -> Iterator[Utterance]:
    root = source / "LibriSpeech" if (source / "LibriSpeech").is_dir() else source
    present = [part for part in parts if (root / part).is_dir()]
    if not present:
        raise DataError(f"none of {', '.join(parts)}", path=root, fix=f"lay it out as {LAYOUT}")
    manifests = called(prepare_librispeech, LAYOUT, problems, root, dataset_parts=present)
    for part in present:
        yield from utterances(manifests[part], _split(part, present))


def _split(part: str, present: list[str]) -> str:
    kind, _, rest = part.partition("-")
    if part == "dev-clean-2":
        return "test"
    # a lone dev-other or test-other is better than none
    return kind if kind == "train" or rest == "clean" or f"{kind}-clean" not in present else f"{kind}_{rest}"
