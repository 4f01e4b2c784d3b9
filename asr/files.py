"""Files written whole or not at all, and content hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    The temporary name keeps the suffixes of `path`, so that writers that look at them (``.gz``) work.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix="-" + path.name, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text to `path` through a temporary name."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` through a temporary name."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def content_hash(*parts: bytes | str | Path) -> str:
    """SHA-256 (hex) over byte strings, texts and the contents of files, in order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            piece = hashlib.sha256(part.read_bytes()).digest()
        else:
            piece = hashlib.sha256(part.encode() if isinstance(part, str) else part).digest()
        digest.update(piece)
    return digest.hexdigest()


def cache_folder(kind: str) -> Path:
    """Folder for re-creatable files of one kind: ``$ASR_CACHE`` or ``~/.cache/asr``."""
    root = Path(os.environ.get("ASR_CACHE", Path.home() / ".cache" / "asr"))
    folder = root / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder
