"""The design of an experiment, as a bench file has it: corpora × recipes × hours × texts × seeds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from asr.cell import NAME, NAME_FIX, Cell, recipe_settings
from asr.config import Settings, load_yaml, parse, resource
from asr.data.corpora import FILES, preparer
from asr.data.corpora.assemble import own_lexicon
from asr.data.corpus import Corpus
from asr.errors import ConfigError, DataError, UsageError
from asr.files import content_hash

PARTS = (8, 4, 2)  # of the train split, where no hours are given; then all of it

Hours = tuple[float | Literal["all"], ...]


class CorpusSettings(Settings):
    """A corpus of a bench file: prepared where it is absent."""

    # as for `asr prepare`
    name: str
    # its raw data; the embedded corpus needs none
    source: Path | None = None
    # arguments of its preparation
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    # where it is prepared; by default below data/, other options in another folder
    folder: Path | None = None
    # instead of the hours of the bench
    hours: Hours | None = None

    def where(self) -> Path:
        """The folder it is, or is to be, prepared in; UsageError where an option names a file that is not."""
        if self.folder is not None:
            return self.folder
        # what is read of a text or a lexicon that they name counts, not only its path
        digest = content_hash(json.dumps([str(self.source), self.options], sort_keys=True), *self._files())
        return Path("data") / f"{self.name}-{digest[:6]}"

    def _files(self) -> list[Path]:
        """The texts and lexicons that options name; UsageError where one is not there."""
        files = [Path(str(self.options[name])) for name in FILES if self.options.get(name) is not None]
        if missing := next((f for f in files if not os.path.isfile(f)), None):
            fix = "correct the path, or name a folder that was prepared from it with `folder:`"
            raise UsageError("corpora: an option names no file", path=missing, fix=fix)
        return files

    def check(self) -> None:
        """Raise what can be told before anything is prepared or trained.

        Raises
        ------
        ConfigError
            If it does not take one of the options.
        UsageError
            If no such corpus is known, it needs raw data and none are named, or an option names no file.
        DataError
            If its raw data are not there, or nothing is known to pronounce its language.
        """
        if self.folder is not None and (self.folder / "corpus.json").exists():
            return
        entry = preparer(self.name)
        if unknown := sorted(set(self.options) - set(entry.options)):
            takes = ", ".join(entry.options) or "none"
            raise ConfigError(f"corpus.options: {unknown[0]!r} is unknown", fix=f"{self.name} takes: {takes}")
        if not isinstance(language := self.options.get("language", ""), str):
            raise ConfigError(
                f"corpus.options: language is {language!r}, no text", fix="write its code in quotes"
            )
        self._files()
        if (self.where() / "corpus.json").exists():
            return
        # a Kaldi folder may hold the lexicon
        if self.name != "kaldi" and "language" in self.options and self.options.get("lexicon") is None:
            own_lexicon(None, language)
        if self.source is None and not entry.embedded:
            raise UsageError(f"corpora: no source of {self.name} named", fix="add `source:`, its raw data")
        if self.source is not None and not self.source.exists():
            raise DataError(
                f"corpora: no such source of {self.name}", path=self.source, fix="correct `source:`"
            )

    def prepared(self) -> Path:
        """The prepared folder, made now if need be."""
        self.check()
        folder = self.where()
        if not (folder / "corpus.json").exists():
            preparer(self.name).prepare(self.source, folder, **self.options)
        return folder


class Variant(Settings):
    """A recipe with other settings, for a curve of its own: transfer, two tasks, another language model."""

    # the recipe's name or path; what `set` of the bench says of it holds here, too
    of: str
    # `a.b=c` assignments
    set: tuple[str, ...] = pydantic.Field(min_length=1)


class BenchSettings(Settings):
    """A bench file: what is compared on what."""

    # each with table, page and answer of its own; none where the command line names prepared folders
    corpora: tuple[CorpusSettings, ...] = ()
    # recipe names, paths of recipe.yaml files, or names of `variants`
    recipes: tuple[str, ...]
    # name → what it is
    variants: dict[str, Variant] = pydantic.Field(default_factory=dict)
    # hours of training audio; "all" for the whole train split. None: an eighth, a quarter, half and all of it
    hours: Hours | None = None
    seeds: tuple[Annotated[int, pydantic.Field(ge=0)], ...] = (0,)
    # words of text for the language model; "all" for the whole lm.txt, or the corpus' own model
    texts: tuple[int | Literal["all"], ...] = ("all",)
    # what is scored; dev to choose between settings, so that test stays unseen
    split: Literal["dev", "test"] = "test"
    # cells at a time; each gets its share of the cores
    jobs: int = pydantic.Field(1, ge=1)
    # whether to find out which stage lost the words, by more searches of that split
    stages: bool = False
    # `a.b=c` overrides under the name of a recipe, or under `all`
    set: dict[str, tuple[str, ...]] = pydantic.Field(default_factory=dict)

    @pydantic.field_validator("set", mode="before")
    @classmethod
    def _names_recipes(cls, value: Any) -> Any:
        lists = isinstance(value, dict) and all(isinstance(some, list | tuple) for some in value.values())
        if not lists or not all(isinstance(one, str) for some in value.values() for one in some):
            what = "settings are lists under a recipe's name or all, as in {all: [model.width=64]}"
            raise ValueError(what)
        return value

    def cells(self, corpus: Path, hours: Hours | None = None) -> list[Cell]:
        """The cells on a prepared corpus: the cheap budgets first, so that a curve shows early.

        Parameters
        ----------
        corpus
            Its folder.
        hours
            Instead of those of the bench.

        Raises
        ------
        DataError
            If no hours are given and the corpus has no training audio.
        """
        wanted = hours or self.hours or _doubling(corpus)
        budgets = sorted(wanted, key=lambda h: math.inf if h == "all" else h)
        return [
            Cell(
                corpus,
                self.base(recipe),
                None if hours == "all" else hours,
                seed,
                self.overrides(recipe),
                None if words == "all" else words,
                self.split,
            )
            for hours in budgets
            # cells that share a training lie apart: side by side, one would wait for the other
            for words in self.texts
            for recipe in self.recipes
            for seed in self.seeds
        ]

    def base(self, name: str) -> str:
        """Name or path of the recipe behind one of `recipes`."""
        return self.variants[name].of if name in self.variants else name

    def overrides(self, name: str) -> tuple[str, ...]:
        """The assignments for one of `recipes`."""
        given = [*self.set.get("all", ()), *self.set.get(self.base(name), ())]
        if name in self.variants:
            given += [f"recipe={name}", *self.variants[name].set, *self.set.get(name, ())]
        return tuple(
            reversed(dict.fromkeys(reversed(given)))
        )  # what is said twice, as on the command line, once


def _doubling(corpus: Path) -> Hours:
    """Budgets that double up to all of the train split, with two digits; before it is prepared only all."""
    if not (corpus / "corpus.json").exists():
        return ("all",)
    hours = Corpus.open(corpus).splits.get("train", {}).get("hours", 0.0)
    if not hours:
        raise DataError("no training audio", path=corpus, fix="look at it with `asr check`")
    return (*(float(f"{hours / part:.2g}") for part in PARTS), "all")


def load_bench(conf: str | Path, overrides: Sequence[str] | None = None, **changes: Any) -> BenchSettings:
    """Settings of a bench file, by path or by the name of one that the toolkit brings (``quick``).

    Parameters
    ----------
    conf
        Path or name.
    overrides
        ``a.b=c`` assignments for every recipe, after those of the file.
    changes
        Fields to replace; None leaves a field as the file has it.

    Raises
    ------
    ConfigError
        If the file, a field, a recipe or one of its settings is unusable, a budget is not positive, or two
        recipes have one name.
    """
    path = Path(conf)
    if path.suffix not in (".yaml", ".yml"):
        try:
            path = resource("conf", f"bench/{conf}.yaml")
        except ConfigError as e:
            names = ", ".join(sorted(p.stem for p in resource("conf", "bench").glob("*.yaml")))
            raise ConfigError(
                f"no bench {str(conf)!r}", fix=f"name one of {names}, or a .yaml file of your own"
            ) from e
    value = load_yaml(path) | {k: v for k, v in changes.items() if v is not None}
    settings = parse(BenchSettings, value, path)
    if changes.get("hours") is not None:
        corpora = tuple(c.model_copy(update={"hours": None}) for c in settings.corpora)
        settings = settings.model_copy(update={"corpora": corpora})
    lists = {name: getattr(settings, name) for name in ("recipes", "hours", "seeds", "texts")}
    own = {f"corpora.{n}.hours": c.hours for n, c in enumerate(settings.corpora)}
    for name, given in (lists | own).items():
        where = path if changes.get(name) is None else None  # else from the command line
        if given is not None and (not given or len(set(given)) < len(given)):
            raise ConfigError(f"{name}: empty, or a value appears twice", path=where)
        if name not in ("recipes", "seeds") and any(x != "all" and not x > 0 for x in given or ()):
            raise ConfigError(f"{name}: not above zero", path=where)
    if changes.get("recipes") is None:
        known = {"all", *settings.recipes, *map(settings.base, settings.recipes)}
        if unknown := next((name for name in settings.set if name not in known), None):
            raise ConfigError(f"set: {unknown!r} is no recipe of this bench", path=path, fix="or write `all`")
        if odd := next((name for name in settings.variants if not NAME.fullmatch(name)), None):
            raise ConfigError(f"variants: {odd!r} cannot be a name", path=path, fix=NAME_FIX)
        if unknown := next((name for name in settings.variants if name not in settings.recipes), None):
            raise ConfigError(f"variants: {unknown!r} is not among `recipes`", path=path, fix="list it there")
    if overrides:
        extended = {name: settings.set.get(name, ()) + tuple(overrides) for name in settings.recipes}
        settings = settings.model_copy(update={"set": dict(settings.set) | extended})
    named: dict[str, str] = {}
    for recipe in settings.recipes:
        cell = recipe_settings(settings.base(recipe), settings.overrides(recipe))
        name = cell.recipe
        if cell.lm.words is not None:  # curves are of one text, and this recipe would be left out of them
            raise ConfigError(f"{recipe}: sets lm.words", fix="give words of text by `texts`")
        if recipe in settings.variants and name != recipe:
            raise ConfigError(f"variants: {recipe!r} is given another name, {name!r}", path=path)
        if name in named:  # table and curves know recipes by name: the two would be taken for seeds of one
            raise ConfigError(
                f"recipes: {named[name]} and {recipe} are both named {name!r}",
                path=path,
                fix="give one of them another `recipe:`",
            )
        named[name] = recipe
    return settings
