"""Files written whole or not at all, and content hashes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

UMASK = os.umask(0)  # can only be read by setting it
os.umask(UMASK)
DAY_S = 86400
_PARTIAL = ".partial-"  # begins the names of files that are not whole yet


def run_below(folder: Path) -> Path | None:
    """The first finished run in a folder of runs, as `asr bench` leaves it; None where there is none."""
    return min((record.parent for record in folder.glob("*/record.json")), default=None)


def system_folder(folder: Path) -> Path:
    """The ``system`` folder of a run folder; any other folder as it is."""
    return folder / "system" if (folder / "system" / "system.json").exists() else folder


def has_system(folder: Path) -> bool:
    """Whether a run folder, or a ``system`` folder itself, holds a system."""
    return (system_folder(folder) / "system.json").exists()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    The temporary name keeps the suffixes of `path`, so that writers that look at them (``.gz``) work. What a
    link leads to is replaced, not the link; a pipe or a device (``/dev/null``) is written to as it is.

    Raises
    ------
    OSError
        If it cannot be written; names `path`.
    """
    path = Path(path)
    real = Path(os.path.realpath(path))
    if real.exists() and not (real.is_file() or real.is_dir()):
        yield real
        return
    temporary = handle = None
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        # no longer than any name may be
        suffix = "".join(path.suffixes[-2:])[-16:]
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, suffix=suffix, dir=real.parent)
        temporary = Path(name)
        with contextlib.suppress(OSError):  # where there are no locks, what a kill leaves stays
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield temporary
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        os.chmod(temporary, real.stat().st_mode & 0o777 if real.exists() else 0o666 & ~UMASK)
        os.replace(temporary, real)
    except OSError as e:
        if e.errno is not None and (temporary is None or e.filename in (None, str(temporary))):
            raise OSError(e.errno, e.strerror, str(path)) from e
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text to `path` through a temporary name."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` through a temporary name."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def alone(folder: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder, which the system releases however the process ends.

    Where another process holds it, `busy` is called, and if that returns, the other's end is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def discard_partial(folder: Path, *below: str) -> None:
    """Delete what `replacing` began and a kill left; what is being written is locked, and stays.

    `below` are glob patterns of the parts of `folder`: "." is itself, "**" all folders in it, too.
    """
    for pattern in below:
        for path in folder.glob(f"{pattern}/{_PARTIAL}*"):
            with contextlib.suppress(OSError), open(path, "rb") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


class Tail:
    """Lines that another process adds to a file, as they come; what is there already is passed over.

    Parameters
    ----------
    path
        Need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        """The whole lines since the last call."""
        try:
            with open(self.path, "rb") as f:
                f.seek(self._read)
                new = f.read()
        except FileNotFoundError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()


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


def touch(*paths: Path) -> None:
    """Say that cached files were used now, for `keep_recent`; where that is not allowed, nothing happens."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.utime(path)


def keep_recent(folder: Path, limit: int) -> None:
    """Delete the entries of a cache folder that were not used for longest, until `limit` bytes are left.

    An entry is all files of one stem. The latest is never deleted, however big it is. Other processes may
    read, write and delete here at the same time, so a reader must take a missing file for one never written.
    """
    files: defaultdict[str, list[tuple[float, int, Path]]] = defaultdict(list)
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            facts = path.stat()
            if not path.name.startswith("."):
                files[path.stem].append((facts.st_mtime, facts.st_size, path))
            elif time.time() - facts.st_mtime > DAY_S:  # of a process that was killed
                path.unlink()
    held = 0
    latest_first = sorted(files.values(), key=lambda entry: max(entry)[0], reverse=True)
    for place, entry in enumerate(latest_first):
        held += sum(size for _, size, _ in entry)
        if held > limit and place:
            for _, _, path in entry:
                with contextlib.suppress(OSError):
                    path.unlink()
