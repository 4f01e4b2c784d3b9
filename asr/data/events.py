"""From espeak-ng's events to word and phone times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asr.errors import DataError
from asr.espeak import Speech

SILENT = 0.01
"""Amplitude below which a sample is silent, against the loudest one."""
SHORTEST_S = 0.005
"""A silence shorter than this is a zero crossing."""
CODA_S, CODA_SHARE = 0.02, 0.4
"""espeak speaks a final liquid as the end of the vowel: one shorter than CODA_S gets a share of both."""

_ARPABET = """
AA ɑː ɑ a: aː aa; AE æ a; AH ʌ ə ɐ; AO ɔː ɔ ɒ o o: oː; AW aʊ æʊ; AY aɪ əɪ; EH ɛ e;
EY eɪ ei e: eː; OY ɔɪ oɪ; ER ɚ ɜː ɝ ɜ ɜ: əː; IH ɪ ᵻ ɪ̈; IY iː i; OW oʊ əʊ əu ʌʊ ʌʉ; UH ʊ;
UW uː u ʉ ʉː; B b; CH tʃ; D d; DH ð d̪; F f; G ɡ g; HH h; JH dʒ; K k; L l ɫ; M m; N n;
NG ŋ; P p; R ɹ r; S s; SH ʃ; T t ɾ ʔ; TH θ t̪; V v; W w ʍ; Y j ʲ; Z z; ZH ʒ; AH+L əl;
AH+N ən n̩; AH+M əm; AY+ER aɪɚ aɪə; AW+ER aʊɚ aʊə; ER+R əɹ ʌɹ; IH+R ɪɹ ɪə iə;
EH+R ɛɹ eə ɛə; UH+R ʊɹ ʊə; AO+R ɔːɹ oːɹ oɹ ɔə oə; AA+R ɑːɹ ɑə;
"""
ARPABET: dict[str, tuple[str, ...]] = {
    ipa: tuple(phones.split("+"))
    for phones, *some in (row.split() for row in _ARPABET.split(";") if row.strip())
    for ipa in some
}
"""espeak-ng's IPA symbols without stress marks to CMUdict's phonemes."""

STOPS = frozenset("P B T D K G CH JH".split())
VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
LIQUIDS = frozenset("L R".split())
SONORANTS = LIQUIDS | frozenset("M N NG W Y".split())
"""espeak marks a vowel after one of these only when the transition into it is over (synthesize.c)."""


@dataclass(frozen=True)
class Span:
    """A word or phone and the samples [start, end) it takes."""

    symbol: str
    start: int
    end: int


def symbols(ipa: str) -> tuple[str, ...]:
    """An espeak symbol as ARPAbet phonemes; an unknown one stays as it is."""
    bare = ipa.replace("ˈ", "").replace("ˌ", "")
    return ARPABET.get(bare, (bare,))


def times(speech: Speech, words: Sequence[str], isolated: Mapping[str, int]) -> tuple[list[Span], list[Span]]:
    """Word and phone spans of a spoken sentence, in samples of `speech`.

    A stop starts where the silence before its burst does, if that belongs to its word; a vowel after a nasal
    or liquid where the spectrum changes most; any other phone at its event, or at the word's own event
    when sound fills the time between the two. A phone ends where the next one starts or silence begins.

    Parameters
    ----------
    speech
        What espeak-ng said of the words joined by single characters (and perhaps commas before the blanks).
    words
        The words of the sentence, as in the text.
    isolated
        How many phones espeak-ng gives to each word alone: divides what its dictionary merges ("on the").

    Raises
    ------
    DataError
        If the events do not fit the words.
    """
    owners, firsts = _owners(speech, words, isolated)
    events = [(symbols(ipa), sample) for ipa, _, sample in speech.phones if ipa]
    final = max([sample for ipa, _, sample in speech.phones if not ipa] or [0])
    last_sound = _sound_ends(speech.samples, len(speech.samples), events[-1][1])
    final = min(last_sound, final) if final > events[-1][1] else last_sound
    shortest = SHORTEST_S * speech.sample_rate
    starts: list[int] = []
    ends: list[int] = []
    for k, (phones, sample) in enumerate(events):
        before = events[k - 1][1] if k else 0
        quiet = _sound_ends(speech.samples, sample, before)
        opens = k == 0 or owners[k] != owners[k - 1]
        own = firsts.get(owners[k], sample) if opens else before
        gap = sample - quiet >= shortest
        start = sample
        if phones[0] in STOPS and gap:
            start = max(quiet, own)
        elif not gap and k and phones[0] in VOWELS and events[k - 1][0][-1] in SONORANTS:
            start = _turn(speech, before, sample)
        elif opens and not gap and k and own - before > shortest:
            start = own
        starts.append(start)
        if k:
            ends.append(min(start, quiet) if gap else start)
    ends.append(max(final, starts[-1]))
    spans = _coda([[p, s, e] for (p, _), s, e in zip(events, starts, ends, strict=True)], owners, speech)
    found = [
        Span(word, spans[mine[0]][1], spans[mine[-1]][2])
        for i, word in enumerate(words)
        if (mine := [k for k, owner in enumerate(owners) if owner == i])
    ]
    if len(found) != len(words):
        raise DataError(f"espeak-ng's events do not cover {' '.join(words)!r}")
    return found, [span for phones, start, end in spans for span in _shared(phones, start, end)]


def _owners(
    speech: Speech, words: Sequence[str], isolated: Mapping[str, int]
) -> tuple[list[int], dict[int, int]]:
    """The word of each phone event, and the sample of each word event by word."""
    starts = np.cumsum([0] + [len(w) + 1 for w in words])[:-1]

    def word_at(character: int) -> int:
        return max(0, int(np.searchsorted(starts, character, side="right")) - 1)

    firsts: dict[int, int] = {}
    for first, _, sample in speech.words:
        firsts.setdefault(word_at(first), sample)
    owners = [word_at(first) for ipa, first, _ in speech.phones if ipa]
    if not owners or sorted(owners) != owners:
        raise DataError(f"espeak-ng's events are out of order in {' '.join(words)!r}")
    for i in range(len(words) - 1, 0, -1):
        # a word without phones is merged into the one before it: it gets the last of the group's
        if i not in owners:
            group = [k for k, owner in enumerate(owners) if owner == max(o for o in owners if o < i)]
            merged = i - owners[group[0]]
            for k in group[max(merged, len(group) - isolated[words[i]]) :]:
                owners[k] = i
            firsts.pop(i, None)
    return owners, firsts


def _sound_ends(samples: np.ndarray, end: int, start: int) -> int:
    """Where the silence that lasts until `end` begins, at the earliest at `start`."""
    loud = np.flatnonzero(
        np.abs(samples[start:end].astype(np.int32)) > SILENT * np.abs(samples.astype(np.int32)).max()
    )
    return start + int(loud[-1]) + 1 if len(loud) else start


def _turn(speech: Speech, start: int, end: int) -> int:
    """The sample between two at which the spectrum changes most, judged by 15 ms on either side."""
    size, hop = int(0.015 * speech.sample_rate), int(0.0025 * speech.sample_rate)
    samples = np.pad(speech.samples, size)[start : end + 2 * size].astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size)
    spectra = np.log(np.abs(np.fft.rfft(windows)[:, : size // 4]) ** 2 + 1e4)
    apart = size // hop  # window i ends where window i + apart starts, at start + i * hop
    change = np.square(spectra[apart:] - spectra[:-apart]).sum(axis=1)
    first, last = len(change) // 4, len(change) - len(change) // 10  # both phones last a while
    return min(end, start + hop * (first + int(change[first:last].argmax())))


def _coda(spans: list[list], owners: Sequence[int], speech: Speech) -> list[list]:
    """Give liquids that espeak spoke inside the vowel before them their share of it."""
    for k in range(1, len(spans)):
        (phones, start, end), before = spans[k], spans[k - 1]
        same = owners[k] == owners[k - 1] and before[2] == start and before[0][-1] in VOWELS | LIQUIDS
        if same and phones[0] in LIQUIDS and end - start < CODA_S * speech.sample_rate:
            spans[k][1] = before[2] = end - int(CODA_SHARE * (end - before[1]))
    return spans


def _shared(phones: Sequence[str], start: int, end: int) -> list[Span]:
    """A symbol that stands for several phones: equal parts of its time."""
    edges = [start + (end - start) * i // len(phones) for i in range(len(phones) + 1)]
    return [Span(p, a, b) for p, a, b in zip(phones, edges, edges[1:], strict=False)]
