"""Errors a user can act on: what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class AsrError(Exception):
    """Base of every error the toolkit raises for bad input or bad settings.

    Parameters
    ----------
    what
        What is wrong, one clause without a full stop.
    path
        The file it is wrong in, if any.
    line
        The 1-based line of that file, if any.
    utterance
        The utterance id concerned, if any.
    fix
        What the user can do, an imperative clause.
    """

    def __init__(
        self,
        what: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        utterance: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.path = path
        self.line = line
        self.utterance = utterance
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        where = ""
        if self.path is not None:
            where = f"{self.path}:{self.line}: " if self.line is not None else f"{self.path}: "
        if self.utterance is not None:
            where += f"utterance {self.utterance}: "
        return f"{where}{self.what}" + (f"; {self.fix}" if self.fix else "")


class UsageError(AsrError):
    """The command was called wrongly: exit code 2."""


class ConfigError(UsageError):
    """A setting is unknown, missing or out of range: exit code 2."""


class DataError(AsrError):
    """A corpus, manifest, transcript or text file is unusable."""


class AudioError(DataError):
    """A recording cannot be read or holds no usable samples."""


class LexiconError(DataError):
    """A lexicon line or a pronunciation is unusable."""


class LanguageModelError(DataError):
    """An ARPA file or an n-gram estimate is unusable."""


class ModelError(AsrError):
    """A saved model or run folder is unusable, or training broke down."""


class SearchError(AsrError):
    """A graph could not be built or an utterance could not be decoded."""
