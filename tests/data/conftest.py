"""Tiny recordings for generated copies of corpora."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Record = Callable[..., Path]


@pytest.fixture
def record() -> Record:
    """A function that writes noise, different for each path, and returns the path."""

    def write(path: Path, seconds: float = 1.0, rate: int = 16000, **options: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(zlib.crc32(str(path).encode())).uniform(
            -0.3, 0.3, round(seconds * rate)
        )
        soundfile.write(path, noise, rate, **options)
        return path

    return write


@pytest.fixture
def shared_data() -> Path:
    """The folder of real corpora; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("ASR_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real corpora in {folder}: set ASR_DATA")
    return folder.resolve()
