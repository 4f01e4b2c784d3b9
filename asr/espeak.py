"""espeak-ng in a worker process of its own: spoken text with event times, and phonemes of words."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from asr.errors import AsrError, DataError


@dataclass(frozen=True)
class Speech:
    """What espeak-ng said and when.

    Attributes
    ----------
    samples
        (samples,) int16.
    sample_rate
        In Hz.
    words
        (first character in the text, number of characters, first sample) of each word event. Words that
        espeak's dictionary merges ("on the") have one event.
    phones
        (IPA symbol with its stress mark, first character of its word, first sample) of each phoneme event;
        the symbol of a pause is empty. The silence before the burst of a stop precedes its event.
    """

    samples: np.ndarray
    sample_rate: int
    words: list[tuple[int, int, int]]
    phones: list[tuple[str, int, int]]


class Espeak:
    """A running worker; a context manager. The same call always gives the same answer, in any process."""

    def __init__(self) -> None:
        try:
            import espeakng_loader

            library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
        except (ImportError, RuntimeError) as e:
            raise AsrError(f"espeak-ng is missing ({e})", fix="install espeakng-loader with pip") from e
        worker = str(Path(__file__).with_name("espeak_worker.py"))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", worker, library, data], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.sample_rate: int = self._answer()[0]["sample_rate"]

    def __enter__(self) -> Espeak:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # the worker may be gone already
                    pipe.close()
        self._process.wait()

    def speak(self, text: str, voice: str, rate: int = 175, pitch: int = 50, pitch_range: int = 50) -> Speech:
        """Say a text.

        Parameters
        ----------
        text
            Plain text.
        voice
            espeak-ng's name, such as ``en-us`` or ``en+f2`` (Great Britain, second female variant).
        rate
            Words per minute, 80 to 450.
        pitch
            0 to 99.
        pitch_range
            0 (monotone) to 99.

        Raises
        ------
        DataError
            If espeak-ng knows no such voice or cannot speak the text.
        """
        request = {"text": text, "voice": voice, "rate": rate, "pitch": pitch, "range": pitch_range}
        header, payload = self._ask(request)
        samples = np.frombuffer(payload, dtype=np.int16)
        words = [(first, length, sample) for first, length, sample in header["words"]]
        phones = [(symbol, first, sample) for symbol, first, sample in header["phones"]]
        return Speech(samples, self.sample_rate, words, phones)

    def phonemes(self, words: Sequence[str], voice: str = "en-us") -> list[str]:
        """IPA of each word: phonemes separated by spaces, stress marks before the vowels.

        Raises
        ------
        DataError
            If espeak-ng knows no such voice.
        """
        # lower case, because espeak spells upper-case words that it takes for abbreviations
        return self._ask({"texts": [w.lower() for w in words], "voice": voice})[0]["phonemes"]

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as e:
            raise AsrError("the espeak-ng worker has ended", fix="run the command again") from e
        return self._answer()

    def _answer(self) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise AsrError("the espeak-ng worker has ended", fix="run the command again")
        header = json.loads(line)
        if "error" in header:
            raise DataError(f"espeak-ng: {header['error']}")
        return header, self._process.stdout.read(header["bytes"])


def phonemes(words: Sequence[str], voice: str = "en-us") -> list[str]:
    """IPA of each word through a worker of its own, as `Espeak.phonemes`.

    Raises
    ------
    AsrError
        If espeak-ng cannot be started or knows no such voice.
    """
    with Espeak() as espeak:
        return espeak.phonemes(words, voice)
