"""The corpora that `asr prepare` knows, each in a module with one prepare function."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import DataError, UsageError

if TYPE_CHECKING:
    from asr.data.corpus import Corpus


@dataclass(frozen=True)
class Preparer:
    """How one corpus is prepared; its module is imported when it is used, not before.

    Attributes
    ----------
    about
        One line for the list of corpora.
    module
        Module below ``asr.data.corpora``.
    suffix
        Its functions are called ``prepare`` + suffix and ``download`` + suffix.
    options
        Names of the keyword arguments that they take beyond the folders.
    downloads
        Whether there is a download function.
    embedded
        Whether it is made here, from nothing.
    """

    about: str
    module: str
    suffix: str = ""
    options: tuple[str, ...] = ()
    downloads: bool = False
    embedded: bool = False

    def prepare(self, source: Path | None, target: Path, **options: Any) -> Corpus:
        """Prepare the corpus in `source`, None for an embedded one, and write it to `target`."""
        # a bench file has paths as texts
        options = {key: Path(value) if key in FILES else value for key, value in options.items()}
        if self.embedded:
            return self._function("prepare")(target, **options)
        if source is None:
            raise UsageError("no source named", fix="give its folder with --from")
        if not source.exists():
            raise DataError("no such file or folder", path=source, fix="correct --from")
        return self._function("prepare")(source, target, **options)

    def download(self, folder: Path, **options: Any) -> Path:
        """Fetch the corpus, in the language named, and return the folder that `prepare` wants."""
        wanted = {key: value for key, value in options.items() if key == "language"}
        return self._function("download")(folder, **wanted)

    def _function(self, name: str) -> Callable[..., Any]:
        return getattr(importlib.import_module(f"asr.data.corpora.{self.module}"), name + self.suffix)


FILES = ("lexicon", "text")  # options that name a file
OWN = ("language", *FILES)
PREPARERS = {
    "synth": Preparer(
        "embedded: sentences of a grammar or yours, by espeak-ng in noisy rooms, any number of hours",
        "synth",
        options=("hours", "seed", "clean", "text", "dev_hours", "test_hours"),
        embedded=True,
    ),
    "speechocean762": Preparer("English read by Mandarin speakers, 5.6 h (OpenSLR 101)", "speechocean762"),
    "fsdd": Preparer("spoken digits, 6 speakers, official split, 0.4 h (github.com/Jakobovski)", "fsdd"),
    "fsdd_disjoint": Preparer("the same digits, test speakers not in train", "fsdd", "_disjoint"),
    "grid": Preparer("six-word commands of a fixed grammar, word times, 28 h (Zenodo 3625687)", "grid"),
    "an4": Preparer("spelled and spoken census answers, 0.9 h", "an4"),
    "librispeech": Preparer(
        "English audio books, 960 h, 60 GB; others laid out so", "librispeech", "", OWN, True
    ),
    "mini_librispeech": Preparer("five hours of LibriSpeech", "librispeech", "_mini", downloads=True),
    "commonvoice": Preparer("Mozilla Common Voice, any language", "commonvoice", "", OWN, True),
    "timit": Preparer("American sentences with phoneme times, 5 h", "timit", downloads=True),
    "ljspeech": Preparer("one woman reading non-fiction, 24 h", "ljspeech", downloads=True),
    "yesno": Preparer("yes and no in Hebrew, 6 minutes", "yesno", downloads=True),
    "kaldi": Preparer("your Kaldi data folder, or train, dev and test ones", "kaldi", "", OWN),
    "jsonl": Preparer(
        "your JSON lines: audio_filepath, text, perhaps speaker, split, offset", "jsonl", "", OWN
    ),
    "csv": Preparer("your CSV or TSV: path, text, perhaps speaker, split", "csv", "", OWN),
    "folder": Preparer(
        "your folder of recordings, each with a .txt, .lab, .TextGrid or .eaf beside it",
        "folder",
        "",
        (*OWN, "tier"),
    ),
}


def preparer(name: str) -> Preparer:
    """The entry of a corpus.

    Raises
    ------
    UsageError
        If there is none of that name; names the nearest.
    """
    if name not in PREPARERS:
        near = difflib.get_close_matches(name, PREPARERS, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "see `asr prepare --list`"
        raise UsageError(f"unknown corpus {name!r}", fix=fix)
    return PREPARERS[name]
