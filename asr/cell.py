"""One cell of a comparison: a recipe on an hour budget of a corpus with a seed, and its resolved settings."""

from __future__ import annotations

import contextlib
import difflib
import functools
import gzip
import hashlib
import itertools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from asr import record
from asr.config import Settings, load_yaml, override, parse, resource
from asr.data.corpus import Corpus
from asr.decode.search import SearchSettings
from asr.errors import ConfigError, DataError
from asr.files import content_hash
from asr.models.factory import ModelSettings

NAME = re.compile(r"[^\W\d_][\w.+-]*")  # of a recipe or a variant of one
NAME_FIX = "begin with a letter and use letters, digits and _ . + - only: folders are named after it"


class LmSettings(Settings):
    """The n-gram estimated from the corpus' lm.txt; a corpus with a language model of its own uses that."""

    # 0: without language model, every word of it equally probable
    order: int = Field(3, ge=0)
    # running words of lm.txt to estimate it from, whether the corpus has a model of its own or not
    words: int | None = Field(None, ge=1)


class ExperimentSettings(Settings):
    """A recipe, fully resolved."""

    recipe: str
    model: ModelSettings
    lm: LmSettings = LmSettings()
    search: SearchSettings = SearchSettings()
    # dev utterances the scales are tuned on
    tune_utterances: int = Field(200, ge=1)

    @field_validator("recipe")
    @classmethod
    def _names_folders(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a name; {NAME_FIX}")
        return name


@dataclass(frozen=True)
class Cell:
    """One training: what on, by which recipe, with what changed.

    Attributes
    ----------
    corpus
        Prepared folder.
    recipe
        Name, or path of a YAML file.
    hours
        Of training audio; None for all.
    seed
        Of the budget and the training.
    overrides
        ``a.b=c`` assignments.
    words
        Of text for the language model; None for what the recipe says, usually all.
    split
        What is scored: ``test``, or ``dev`` to choose between settings without a look at test.
    """

    corpus: Path
    recipe: str
    hours: float | None = None
    seed: int = 0
    overrides: tuple[str, ...] = ()
    words: int | None = None
    split: Literal["dev", "test"] = "test"

    @classmethod
    def of(cls, found: record.RunRecord, corpus: Path) -> Cell:
        """The cell of a bench on a prepared corpus that a record is of.

        Raises
        ------
        ConfigError
            If that cell has other settings by now.
        """
        row = found.row
        # a setting that came since then is at its default there
        settings = parse(ExperimentSettings, found.config)
        # assignments with a blank between them, and perhaps some in their values
        overrides = tuple(re.split(r"\s(?=[\w.]+=)", row["setting"])) if row["setting"] else ()
        # a variant is known by a name of its own, not by its recipe's
        recipes = recipe_names() if f"recipe={row['recipe']}" in overrides else [row["recipe"]]
        hours = found.budget["hours"]
        # words of text are a part of the cell, or of its recipe
        for recipe, words in itertools.product(recipes, dict.fromkeys((None, settings.lm.words))):
            cell = cls(corpus, recipe, hours, row["seed"], overrides, words, row["split"])
            measured = (
                cell if hours is not None else replace(cell, hours=round(found.budget["seconds"] / 3600, 5))
            )
            with contextlib.suppress(ConfigError):  # a setting of another recipe
                if measured.settings() == settings:
                    return cell
        raise ConfigError("the recipe has other settings by now", fix="run the cell again")

    def settings(self) -> ExperimentSettings:
        """The resolved settings; ConfigError names an unknown recipe or key.

        Whether a network's batches are masked twice and whether it learns characters besides, where a recipe
        leaves that to the hours, is decided, but for all hours of a corpus that is not prepared yet.
        """
        text = () if self.words is None else (f"lm.words={self.words}",)
        settings = recipe_settings(self.recipe, (*self.overrides, *text))
        hours = self.hours
        if hours is None and (self.corpus / "corpus.json").exists():
            hours = Corpus.open(self.corpus).splits.get("train", {}).get("hours")
        if hours is None:
            return settings
        return settings.model_copy(update={"model": settings.model.for_hours(hours)})

    def training(self) -> str:
        """Hash of everything that its acoustic training depends on."""
        model = self.settings().model.trained.model_dump_json()
        return content_hash(model, corpus_digest(self.corpus), str(self.hours), str(self.seed))

    def folder_name(self) -> str:
        """Name of the run folder: what the cell is, and a hash of everything that decides the outcome."""
        hours = "all" if self.hours is None else f"{self.hours:g}h"
        text = "" if self.words is None else f"-{self.words}w"
        split = "" if self.split == "test" else f"-{self.split}"
        settings = self.settings()
        digest = content_hash(settings.model_dump_json(), corpus_digest(self.corpus))[:6]
        return f"{settings.recipe}-{hours}{text}{split}-s{self.seed}-{digest}"


def corpus_digest(folder: Path) -> str:
    """SHA-256 (hex) of a corpus folder's path and, once it is prepared, of all that it holds.

    Cuts name their recordings, whose samples are not looked at.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    parts = [str(folder.resolve())]
    if not (folder / "corpus.json").exists():
        return content_hash(*parts)
    names = ("corpus.json", "lexicon.txt", "lm.txt", "lm.arpa.gz")
    files = [*(folder / n for n in names if (folder / n).exists()), *sorted(folder.glob("cuts_*.jsonl.gz"))]
    for file in files:
        stat = file.stat()
        parts += [file.name, _file_digest(file, stat.st_mtime_ns, stat.st_size)]
    return content_hash(*parts)


@functools.lru_cache(maxsize=64)
def _file_digest(path: Path, changed: int, size: int) -> str:
    """Of what a file holds, unpacked: a packed one also tells when it was packed. Every cell asks for it."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
            return digest.hexdigest()
    except (OSError, EOFError, zlib.error) as e:
        raise DataError(f"cannot be read ({e})", path=path, fix="run `asr prepare` again") from e


def recipe_settings(recipe: str, overrides: Sequence[str] = ()) -> ExperimentSettings:
    """Settings of a recipe given by name or by the path of a YAML file."""
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        try:
            path = resource("recipes", f"{recipe}/recipe.yaml")
        except ConfigError as e:
            raise ConfigError(f"no recipe {recipe!r}", fix=nearest_recipe(recipe)) from e
    written = load_yaml(path)
    try:
        return parse(
            ExperimentSettings, override(written, overrides), f"{recipe} with {', '.join(overrides)}"
        )
    except ConfigError:
        parse(ExperimentSettings, written, path)  # if that fails already, the file is to blame
        raise


def recipe_names() -> list[str]:
    """Recipes this installation brings."""
    root = resource("recipes", "mfcc_hmm/recipe.yaml").parents[1]
    return sorted(p.parent.name for p in root.glob("*/recipe.yaml"))


def nearest_recipe(name: str) -> str:
    """What to write instead of the name of no recipe."""
    near = difflib.get_close_matches(name, recipe_names(), n=1)
    return f"did you mean {near[0]!r}?" if near else f"the recipes are {', '.join(recipe_names())}"
