"""The command line in this process: what it prints and its exit code."""

import signal
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from asr.cli.main import main
from asr.decode.align import Alignment, Segment
from asr.decode.hypothesis import Hypothesis, Word
from asr.errors import LexiconError
from asr.text.lexicon import Lexicon


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys):
    """Call ``run("transcribe", ...)`` as a shell would call `asr transcribe ...`."""

    def call(*arguments) -> Done:
        monkeypatch.setattr(sys, "argv", ["asr", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return Done(stopped.value.code, captured.out, captured.err)

    return call


@pytest.fixture
def terminable():
    """Let a command be stopped by a signal, and give back the handlers that it set."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background may ignore
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class BeepSystem:
    """A recogniser of beeps: each loud stretch of the audio is the word BEEP."""

    sample_rate = 16000
    language = "en"
    longest_s = 30.0
    lexicon = Lexicon({"BEEP": [("B", "IY")]}, {"BEEP": (1.0,)})
    tokens = ("B", "IY")

    def __init__(self) -> None:
        self.heard: list[int] = []

    def changed(self, assignments, one_pass):
        self.changes = (assignments, one_pass)
        return self

    def transcribe(self, waveforms, sample_rate):
        assert sample_rate == self.sample_rate
        return [self._beeps(waveform) for waveform in waveforms]

    def _beeps(self, waveform):
        assert waveform.dtype == np.float32 and waveform.ndim == 1
        self.heard.append(waveform.size)
        loud = np.flatnonzero(np.abs(waveform) > 0.1)
        first = loud[np.diff(loud, prepend=-10000) > 800]
        last = loud[np.diff(loud, append=loud[-1:] + 10000) > 800] if loud.size else loud
        rate = self.sample_rate
        return Hypothesis(
            tuple(Word("BEEP", a / rate, (b + 1 - a) / rate, 0.75) for a, b in zip(first, last, strict=True))
        )

    def align(self, waveform, sample_rate, text):
        words = text.upper().split()
        if "XYZZY" in words:
            raise LexiconError("word 'XYZZY' is not in the lexicon")
        beeps = self._beeps(waveform).words
        parts = [Segment(w, b.start_s, b.duration_s) for w, b in zip(words, beeps, strict=True)]
        halves = [
            Segment(t, p.start_s + i * p.duration_s / 2, p.duration_s / 2)
            for p in parts
            for i, t in enumerate(self.tokens)
        ]
        none = np.zeros(0, np.int32)
        sure = (0.75,) * len(parts)
        return Alignment(tuple(parts), tuple(halves), (), none, none, (), none, -12.5, sure)


@pytest.fixture
def system(monkeypatch):
    """The fake recogniser in place of the one a model folder would hold."""
    fake = BeepSystem()
    # align first: it takes load_system from transcribe when it is imported, and must take the real one
    for module in ("align", "transcribe"):
        monkeypatch.setattr(f"asr.cli.{module}.load_system", lambda *_: fake)
    return fake


def beeps(at, seconds, rate=16000, channels=1):
    """Quiet noise with a beep of 0.2 s at each of the times; (samples, channels)."""
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.001, round(seconds * rate))
    for start in at:
        a = round(start * rate)
        n = round(0.2 * rate)
        sound[a : a + n] = 0.5 * np.sin(2 * np.pi * 440 / rate * np.arange(n) + np.pi / 4)
    return np.repeat(sound[:, None], channels, axis=1).astype(np.float32)


@pytest.fixture
def record():
    """Write a recording with beeps: ``record(path, at=[0.5], seconds=1.0, rate=16000, channels=1)``."""

    def write(path, at=(0.5,), seconds=1.0, rate=16000, channels=1, **how):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, beeps(at, seconds, rate, channels), rate, **how)
        return path

    return write
