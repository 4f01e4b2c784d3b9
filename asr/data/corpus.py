"""A prepared corpus on disk: cuts per split, lexicon and language model text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lhotse import CutSet

from asr.errors import DataError
from asr.files import replacing, write_json, write_text

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Corpus:
    """A folder made by `asr prepare`.

    It holds ``corpus.json`` (written last: present = complete), ``cuts_<split>.jsonl.gz``, ``lexicon.txt``
    (word, white space, phonemes), ``lm.txt`` (one normalised sentence a line) and, where the corpus brings a
    language model of its own, ``lm.arpa.gz``.

    Every cut holds one supervision whose id is the utterance id, with normalised ``text`` and ``speaker``.
    ``supervision.custom`` may hold ``phones`` (list of reference phonemes) and ``supervision.alignment``
    may hold ``word`` and ``phone`` times.
    """

    folder: Path
    name: str
    language: str = "en"
    licence: str = ""
    source: str = ""
    splits: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Open a prepared folder.

        Raises
        ------
        DataError
            If it was never prepared or not to the end.
        """
        folder = Path(folder)
        path = folder / "corpus.json"
        if not path.exists():
            raise DataError(
                "not a prepared corpus (corpus.json is missing)",
                path=folder,
                fix="run `asr prepare NAME --from DIR --to " + str(folder) + "`",
            )
        try:
            value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(folder=folder, **value)
        except (json.JSONDecodeError, TypeError) as e:
            raise DataError(f"damaged ({e})", path=path, fix="run `asr prepare` again") from e

    def cuts(self, split: str) -> CutSet:
        """The cuts of one split, read lazily."""
        path = self.cuts_path(split)
        if not path.exists():
            have = ", ".join(self.splits) or "none"
            raise DataError(f"no split {split!r} (there are: {have})", path=self.folder)
        return CutSet.from_jsonl_lazy(path)

    def cuts_path(self, split: str) -> Path:
        """Path of a split's cuts."""
        return self.folder / f"cuts_{split}.jsonl.gz"

    @property
    def lexicon_path(self) -> Path:
        """Path of the pronunciation lexicon."""
        return self.folder / "lexicon.txt"

    @property
    def lm_text_path(self) -> Path:
        """Path of the language model text."""
        return self.folder / "lm.txt"

    @property
    def lm_path(self) -> Path | None:
        """Path of the language model the corpus brings, or None when one is to be estimated from lm.txt."""
        path = self.folder / "lm.arpa.gz"
        return path if path.exists() else None

    @classmethod
    def write(
        cls,
        folder: str | Path,
        name: str,
        cuts: dict[str, CutSet],
        lexicon: str,
        lm_text: str,
        *,
        language: str = "en",
        licence: str = "",
        source: str = "",
    ) -> Corpus:
        """Write a prepared folder, corpus.json last, and return it opened."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "corpus.json").unlink(missing_ok=True)
        splits: dict[str, dict[str, float]] = {}
        for split, some in cuts.items():
            with replacing(folder / f"cuts_{split}.jsonl.gz") as temporary:
                some.to_file(temporary)
            listed = list(some)
            splits[split] = {
                "utterances": len(listed),
                "speakers": len({c.supervisions[0].speaker for c in listed}),
                "hours": round(sum(c.duration for c in listed) / 3600, 5),
            }
        write_text(folder / "lexicon.txt", lexicon)
        write_text(folder / "lm.txt", lm_text)
        head = {"name": name, "language": language, "licence": licence, "source": source, "splits": splits}
        write_json(folder / "corpus.json", head)
        return cls.open(folder)
