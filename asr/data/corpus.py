"""A prepared corpus on disk: cuts per split, lexicon and language model text."""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.lazy import LazyManifestIterator

from asr.errors import DataError
from asr.files import replacing, write_json

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Corpus:
    """A folder made by `asr prepare`.

    It holds ``corpus.json`` (written last: present = complete), ``cuts_<split>.jsonl.gz``, ``lexicon.txt``
    (word, white space, phonemes), ``lm.txt`` (one normalised sentence a line), ``oov.txt`` (words whose
    pronunciation was generated, with counts) where there are any and, where the corpus brings a language
    model of its own, ``lm.arpa.gz``.

    Every cut holds one supervision whose id is the utterance id, with normalised ``text`` and ``speaker``.
    ``supervision.custom`` may hold ``phones`` (list of reference phonemes) and ``supervision.alignment``
    may hold ``word`` and ``phone`` times.

    Attributes
    ----------
    splits
        Split name to its numbers of ``utterances``, ``speakers``, ``hours``, ``words`` (running) and ``oov``
        (running words whose pronunciation was generated).
    problems
        One line for each input that was left out, or that could only be used in part.
    """

    folder: Path
    name: str
    language: str = "en"
    licence: str = ""
    source: str = ""
    splits: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

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
            if not folder.exists():
                raise DataError("no such folder", path=folder, fix="name one that `asr prepare` made")
            raise DataError(
                "not a prepared corpus (corpus.json is missing)",
                path=folder,
                fix=f"run `asr prepare FORMAT --from {folder} --to NEW` (`asr prepare --list`), and name NEW",
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
        return CutSet(_Cuts(path))

    def speakers(self, split: str) -> set[str]:
        """Who speaks in one split; utterances of nobody named are left out."""
        return {str(c.supervisions[0].speaker) for c in self.cuts(split) if c.supervisions[0].speaker}

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
        lm: Path | None = None,
        oov: Counter[str] | None = None,
        problems: Sequence[str] = (),
    ) -> Corpus:
        """Write a prepared folder and return it opened.

        All files get temporary names first, so a reader of an older preparation in the same folder sees it
        replaced within milliseconds; corpus.json comes last.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        oov = oov or Counter()
        splits = {split: _numbers(some, oov) for split, some in cuts.items()}
        texts = {"lexicon.txt": lexicon, "lm.txt": lm_text}
        if oov:
            texts["oov.txt"] = "".join(f"{word}\t{count}\n" for word, count in oov.most_common())
        written = {*texts, *(f"cuts_{split}.jsonl.gz" for split in cuts), *(["lm.arpa.gz"] if lm else [])}
        with contextlib.ExitStack() as files:
            for split, some in cuts.items():
                some.to_file(files.enter_context(replacing(folder / f"cuts_{split}.jsonl.gz")))
            for file, text in texts.items():
                files.enter_context(replacing(folder / file)).write_text(text, encoding="utf-8")
            if lm is not None:
                shutil.copyfile(lm, files.enter_context(replacing(folder / "lm.arpa.gz")))
            (folder / "corpus.json").unlink(missing_ok=True)
            for path in (*folder.glob("cuts_*.jsonl.gz"), folder / "lm.arpa.gz", folder / "oov.txt"):
                if path.name not in written:
                    path.unlink(missing_ok=True)
        head = {"name": name, "language": language, "licence": licence, "source": source}
        write_json(folder / "corpus.json", {**head, "splits": splits, "problems": list(problems)})
        return cls.open(folder)


def text_of(cut: Cut) -> str:
    """What was said in a cut, words between blanks."""
    return cut.supervisions[0].text or ""


def phones_of(cut: Cut) -> list[str]:
    """The phonemes that the corpus says were spoken in a cut; none where it does not tell."""
    return list((cut.supervisions[0].custom or {}).get("phones") or ())


class _Cuts(LazyManifestIterator):
    """Cuts read lazily from a file; DataError where it is damaged."""

    def __iter__(self) -> Iterator[Cut]:
        with self._sound():
            for cut in super().__iter__():
                if not cut.supervisions:
                    raise ValueError(f"cut {cut.id} has no text")
                yield cut

    def __len__(self) -> int:
        with self._sound():
            return super().__len__()

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error, ValueError, AttributeError, KeyError, TypeError) as e:
            raise DataError(f"damaged ({e})", path=self.path, fix="run `asr prepare` again") from e


def _numbers(cuts: CutSet, oov: Counter[str]) -> dict[str, float]:
    """The row of `Corpus.splits` for some cuts."""
    segments = [cut.supervisions[0] for cut in cuts]
    words = Counter(word for segment in segments for word in segment.text.split())
    return {
        "utterances": len(segments),
        "speakers": len({segment.speaker for segment in segments} - {None}),
        "hours": round(sum(cut.duration for cut in cuts) / 3600, 5),
        "words": words.total(),
        "oov": sum(count for word, count in words.items() if word in oov),
    }
