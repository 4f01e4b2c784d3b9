"""Utterances of the embedded corpus: utterance i of a split and seed is always the same, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import soxr

from asr.data import augment
from asr.data.events import Span, times
from asr.data.grammar import sentence, vocabulary
from asr.data.voices import SPEAKERS, Voice, voices
from asr.errors import DataError
from asr.espeak import Espeak

SAMPLE_RATE = 16000
SNR_DB = (5.0, 30.0)
T60_S = (0.1, 0.6)
DIRECT_DB = (0.0, 12.0)
"""Direct sound against reverberation."""
LEVEL_DB = (-32.0, -20.0)
"""Root mean square of the speech against full scale."""
SILENCE_S = (0.05, 0.25)
"""Before and after the speech."""
PEAK = 0.95
TALKERS = 24
"""Sentences that babble is mixed from."""
TRIES = 20
"""Sentences of a given text that are tried in turn, if espeak-ng runs words of one into each other."""
_STREAMS = {split: i for i, split in enumerate((*SPEAKERS, "talkers", "lm", "order"))}


@dataclass(frozen=True)
class Spoken:
    """One synthesised utterance.

    Attributes
    ----------
    text
        Upper-case words.
    speaker
        The voice's name.
    samples
        (samples,) float32 at SAMPLE_RATE.
    words, phones
        Spans of samples; phones as the voice spoke them, in ARPAbet where it has a symbol.
    noise, snr_db, t60_s
        What was added; None in a clean corpus.
    """

    text: str
    speaker: str
    samples: np.ndarray
    words: list[Span]
    phones: list[Span]
    noise: str | None = None
    snr_db: float | None = None
    t60_s: float | None = None


class Synthesiser:
    """Speaks the utterances of one split.

    Parameters
    ----------
    espeak
        A running worker.
    split
        ``train``, ``dev`` or ``test``: each has voices of its own.
    seed
        Chooses sentences, voices, rooms and noises.
    clean
        Without rooms and noises; sentences, voices and times stay the same.
    texts
        Sentences to speak, lower case, all of them before one is spoken again; of the grammar where there are
        none.
    """

    def __init__(
        self, espeak: Espeak, split: str, seed: int, clean: bool = False, texts: Sequence[str] = ()
    ) -> None:
        self.espeak, self.split, self.seed, self.clean = espeak, split, seed, clean
        self.texts = texts
        self.words = tuple(dict.fromkeys(word for text in texts for word in text.split())) or vocabulary()
        self.voices = voices(split, seed)

    def utterance(self, i: int) -> Spoken:
        """The i-th utterance.

        Raises
        ------
        DataError
            If espeak-ng's times fit none of many sentences of a given text.
        """
        random = np.random.default_rng([self.seed, _STREAMS[self.split], i])
        voice = self.voices[i % len(self.voices)]
        text, (samples, words, phones) = self._some_sentence(voice, random, i)
        lead, tail = (int(s * SAMPLE_RATE) for s in random.uniform(*SILENCE_S, size=2))
        samples = np.pad(samples, (lead, tail))
        words, phones = (
            [Span(s.symbol.upper(), s.start + lead, s.end + lead) for s in spans] for spans in (words, phones)
        )
        active = slice(words[0].start, words[-1].end)
        samples *= 10 ** (random.uniform(*LEVEL_DB) / 20) / np.sqrt(np.mean(samples[active] ** 2))
        kind = snr = t60 = None
        if not self.clean:
            t60, direct, snr = (float(random.uniform(*r)) for r in (T60_S, DIRECT_DB, SNR_DB))
            samples = augment.reverberate(samples, augment.room(t60, direct, SAMPLE_RATE, random))
            kind, noise = augment.noise(len(samples), SAMPLE_RATE, self._talkers, random)
            samples = augment.add_noise(samples, noise, snr, active)
        samples *= min(1.0, PEAK / np.abs(samples).max())
        return Spoken(text.upper(), voice.name, samples, words, phones, kind, snr, t60)

    def _some_sentence(
        self, voice: Voice, random: np.random.Generator, i: int | None = None
    ) -> tuple[str, tuple[np.ndarray, list[Span], list[Span]]]:
        """The i-th sentence or any, or another if espeak-ng cannot time it, and what `_speak` makes of it."""
        if not self.texts:
            text = sentence(random)
            return text, self._speak(text, voice, random)
        chosen = int(random.integers(len(self.texts))) if i is None else self._in_order(i)
        for tried in range(1, TRIES + 1):
            text = self.texts[chosen]
            chosen = int(random.integers(len(self.texts)))
            try:
                return text, self._speak(text, voice, random)
            except DataError:
                if tried == TRIES:
                    raise
        raise AssertionError

    def _in_order(self, i: int) -> int:
        """Which sentence is spoken i-th: each once, then all again in another order."""
        turn, place = divmod(i, len(self.texts))
        if turn not in self._orders:
            random = np.random.default_rng([self.seed, _STREAMS["order"], _STREAMS[self.split], turn])
            self._orders[turn] = random.permutation(len(self.texts))
        return int(self._orders[turn][place])

    def _speak(
        self, text: str, voice: Voice, random: np.random.Generator
    ) -> tuple[np.ndarray, list[Span], list[Span]]:
        """Samples and spans at SAMPLE_RATE; pace and pitch vary a little from sentence to sentence."""
        pitch = int(np.clip(voice.pitch + random.integers(-6, 7), 0, 99))
        rate = int(voice.rate * random.uniform(0.92, 1.08))
        closed = text + str(random.choice((".", "?", "!", "")))
        speech = self.espeak.speak(closed, voice.espeak, rate, pitch, voice.pitch_range)
        spans = times(speech, text.split(), self._isolated(voice))
        ratio = SAMPLE_RATE / speech.sample_rate
        samples = soxr.resample(speech.samples.astype(np.float32) / 32768, speech.sample_rate, SAMPLE_RATE)
        words, phones = (
            [Span(s.symbol, round(s.start * ratio), round(s.end * ratio)) for s in some] for some in spans
        )
        return samples, words, phones

    def _isolated(self, voice: Voice) -> dict[str, int]:
        """How many phones each word has in the accent of a voice."""
        accent = voice.espeak.partition("+")[0]
        if accent not in self._lengths:
            spoken = self.espeak.phonemes(self.words, accent)
            self._lengths[accent] = {w: len(p.split()) for w, p in zip(self.words, spoken, strict=True)}
        return self._lengths[accent]

    @cached_property
    def _orders(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _lengths(self) -> dict[str, dict[str, int]]:
        return {}

    @cached_property
    def _talkers(self) -> list[np.ndarray]:
        """Sentences by voices of this split, for babble."""
        drawn = []
        for i in range(TALKERS):
            random = np.random.default_rng([self.seed, _STREAMS["talkers"], _STREAMS[self.split], i])
            _, (samples, _, _) = self._some_sentence(self.voices[i % len(self.voices)], random)
            drawn.append(samples)
        return drawn


def lm_sentences(seed: int, count: int) -> list[str]:
    """Sentences for a language model, upper case, independent of those that are spoken.

    At least `count`, and as many more as it takes until every word of the vocabulary has occurred.
    """
    random = np.random.default_rng([seed, _STREAMS["lm"]])
    found: list[str] = []
    missing = set(vocabulary())
    while len(found) < count or missing:
        text = sentence(random)
        missing.difference_update(text.split())
        found.append(text.upper())
    return found
