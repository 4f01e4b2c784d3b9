"""One spelling of every text: for training, language model text, references and hypotheses alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

import langcodes

from asr.text.numbers import spell_numbers

# Before NFKC, which would turn the acute accent into a space and a combining mark.
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛`´′＇", "'"))
_LETTER = "\N{MODIFIER LETTER APOSTROPHE}"  # of a glottal stop or an ejective, but some write it for `'`
_ELIDING = frozenset(
    "af be bg br bs ca co cs cy da de el en eo es et eu fi fo fr fur ga gd gl gv hr ht hu id is it kw lb lt "
    "lv mk ms mt nb nl nn no oc pl pt rm ro ru sc sk sl sq sr sv sw tl tr uk uz vi wa".split()
)
_TURKISH = str.maketrans({"i": "İ", "ı": "I"})
_TURKISH_LOWER = str.maketrans({"İ": "i", "I": "ı"})
# Which picture or shape of the character before them is meant, as in emoji.
_VARIATION = frozenset(
    map(chr, (0x34F, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
# Tones and length as letters write them; to Unicode they are symbols.
_TONES = frozenset(map(chr, (*range(0x2E5, 0x2EA), *range(0xA700, 0xA717), 0xA789, 0xA78A)))
# NFKC would glue them to the number before them.
_RAISED = re.compile(r"(?<=\d)(?=[²³¹⁰⁴-⁹₀-₉¼-¾⅐-⅟↉①-⑳])")
_FRACTIONS = {"½": "A HALF", "¼": "A QUARTER", "¾": "THREE QUARTERS", "⅓": "A THIRD", "⅔": "TWO THIRDS"}
_FRACTION = re.compile(rf"(\d\s?)?([{''.join(_FRACTIONS)}])")
# Between letters they are part of a word: Catalan's l·l, Hebrew's geresh and gershayim.
_OUTER_DOT = re.compile(r"(?<!L)·|·(?!L)|(?<![^\W\d_])[׳״]|[׳״](?![^\W\d_])")
SOME_WORDS = 5  # that are named of many
_OUTSIDE_ASCII = re.compile(r"[^A-Z0-9']+")


def normalize(text: str, language: str = "en") -> str:
    """Upper-cased words separated by one space; applying it twice changes nothing.

    NFKC; typographic apostrophes become ``'`` and stay only between two letters, but U+02BC, the letter of
    glottal stops and ejectives, stays where a language has no apostrophe to be taken for; format characters
    (soft hyphen, joiners, byte order mark, variation selectors) vanish; letters and digits of any script stay
    with their marks, and tone letters; everything else, hyphens included, separates words. English numerals
    are spelled out (see `spell_numbers`), common fractions (½) as such; in other languages they stay, so that
    the OOV report shows them instead of the text silently losing them.

    Parameters
    ----------
    text
        Any text, one sentence or many.
    language
        ISO 639 code, a region may follow (``en-GB``).
    """
    english = base_language(language) == "en"
    if not text.isascii():
        if english:
            text = _FRACTION.sub(_fraction, text)
        text = _RAISED.sub(" ", text)
    text = uppercase(text, language)
    if english:
        text = spell_numbers(text)
    if text.isascii():
        text = _OUTSIDE_ASCII.sub(" ", text)
    else:
        # letters meet their marks where a format character stood between them
        text = unicodedata.normalize("NFKC", _OUTER_DOT.sub(" ", _words(text)))
    if "'" in text:
        text = _inner_apostrophes(text)
    return " ".join(text.split())


def _fraction(match: re.Match[str]) -> str:
    """``3½`` as THREE AND A HALF."""
    before, sign = match.groups()
    return f"{before.strip()} AND {_FRACTIONS[sign]} " if before else f"{_FRACTIONS[sign]} "


def uppercase(text: str, language: str = "en") -> str:
    """Upper case in NFKC with plain apostrophes, as words are written in lexicons and language models."""
    turkish = _dotless(language)
    if text.isascii() and not turkish:
        return text.replace("`", "'").upper()
    eliding = base_language(language) in _ELIDING

    def plain(text: str) -> str:
        text = text.translate(_APOSTROPHES)
        return text.replace(_LETTER, "'") if eliding else text

    text = unicodedata.normalize("NFKC", plain(text))
    if turkish:
        # an i with a second dot is what lower-casing without knowing the language makes of İ
        text = text.replace("i\N{COMBINING DOT ABOVE}", "i").translate(_TURKISH)
    # Upper-casing can decompose and un-compose (ŉ, ΐ, a combining iota), hence once more.
    # ß stays one letter, for the vowel before it is longer than before SS.
    return plain(unicodedata.normalize("NFKC", text.replace("ß", "ẞ").upper()))


def lowercase(text: str, language: str = "en") -> str:
    """Lower case of what `uppercase` made, with the dotless i of Turkish and Azerbaijani."""
    return (text.translate(_TURKISH_LOWER) if _dotless(language) else text).lower()


def _dotless(language: str) -> bool:
    return base_language(language) in ("tr", "az")


@cache
def language_tag(language: str) -> str:
    """A language's shortest code, a region may follow: ``es`` for ``spa``, ``en-gb`` for ``eng_GB``."""
    try:
        return langcodes.standardize_tag(language, macro=True).lower()
    except langcodes.LanguageTagError:  # of a kind of one's own
        return language.lower().replace("_", "-")


def base_language(language: str) -> str:
    """The code of a language without its region: ``en`` for ``en-GB``, ``en_US`` and ``eng``."""
    return language_tag(language).split("-")[0]


def characters(words: Iterable[str]) -> tuple[str, ...]:
    """The distinct characters of some words, sorted; white space is none."""
    return tuple(sorted({c for word in words for c in word if not c.isspace()}))


def unknown_characters(text: str, alphabet: Iterable[str]) -> tuple[str, ...]:
    """The characters of `text` that `alphabet` lacks, in order of appearance, white space aside."""
    known = frozenset(alphabet)
    return tuple(dict.fromkeys(c for c in text if c not in known and not c.isspace()))


def wrong_case(text: str, language: str = "en") -> str:
    """The first words of a text with letters that its language would write otherwise in capitals."""
    cased = {c for c in unknown_characters(text, uppercase(text, language)) if c.upper() != c}
    words = [word for word in text.split() if not cased.isdisjoint(word)]
    return " ".join(words[:SOME_WORDS]) + (" ..." if len(words) > SOME_WORDS else "")


def _words(text: str) -> str:
    """What is part of words, and spaces; a mark whose letter or digit is gone is not."""
    kept = [" "]
    for c in text:
        if not (_is_mark(c) and kept[-1] in " '·׳״"):
            kept += _keep(c)
    return "".join(kept)


@cache
def _keep(c: str) -> str:
    """`c` if it is part of a word, nothing for format characters, else a space."""
    category = unicodedata.category(c)
    if category in ("Cf", "Me") or c in _VARIATION or c == "\N{ARABIC TATWEEL}":
        return ""
    return c if c in "'·׳״" or c in _TONES or category[0] in "LM" or category in ("Nd", "Nl") else " "


@cache
def _is_mark(c: str) -> bool:
    return unicodedata.category(c)[0] == "M"


def _inner_apostrophes(text: str) -> str:
    """Keep apostrophes between two word characters, turn the others into spaces."""
    padded = f" {text} "
    return "".join(
        " " if c == "'" and (_apart(padded[i]) or _apart(padded[i + 2])) else c for i, c in enumerate(text)
    )


def _apart(c: str) -> bool:
    return c == "'" or c.isspace()
