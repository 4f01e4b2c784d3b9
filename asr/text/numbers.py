"""English numerals as words."""

from __future__ import annotations

import re

_SMALL = (
    "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN "
    "SEVENTEEN EIGHTEEN NINETEEN"
).split()
_TENS = "_ _ TWENTY THIRTY FORTY FIFTY SIXTY SEVENTY EIGHTY NINETY".split()
_SCALES = {10**12: "TRILLION", 10**9: "BILLION", 10**6: "MILLION", 1000: "THOUSAND", 100: "HUNDRED"}
_ORDINALS = {
    "ONE": "FIRST",
    "TWO": "SECOND",
    "THREE": "THIRD",
    "FIVE": "FIFTH",
    "EIGHT": "EIGHTH",
    "NINE": "NINTH",
    "TWELVE": "TWELFTH",
}
# not those that mark a word (%UH, @NAME)
_AT = re.compile(r"(?<=\S)@|@(?!\S)")
_PERCENT = re.compile(r"%(?![^\W\d_])")
_CURRENCIES = {"$": "DOLLAR", "£": "POUND", "€": "EURO"}
_NUMERAL = re.compile(
    r"""(?:(?<!\S)(?P<minus>[-−])(?=[$£€]?\.?\d))?     # only where a word starts: 3-5 is none
        (?P<currency>[$£€])?
        (?:(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)|(?<![\w.])(?=\.\d))
        (?P<decimals>\.\d+)?
        (?P<suffix>(?:ST|ND|RD|TH|'?S)(?![^\W\d_]))?
        (?(currency)(?P<scale>\s(?:HUNDRED|THOUSAND|(?:M|B|TR)ILLION)\b)?(?P<named>\s(?:DOLLAR|POUND|EURO)S?\b)?
                   |(?(suffix)|(?P<behind>\s?[$£€](?!\.?\d))?))
        (?P<percent>\s?%)?""",
    re.VERBOSE,
)


def spell_numbers(text: str) -> str:
    """Upper-case English text with its numerals as words.

    Cardinals up to 10^15 (``1,234``), negatives, decimals digit by digit, ordinals (``21ST``), decades and
    plurals (``1990S``), per cent, ``$`` ``£`` ``€`` before or behind (``$5 MILLION``), ``&``; and ``@`` and
    ``%`` that mark no word (``%UH``). Four digits from 1100 to 1999 and 2010 to 2099 read as years (``1984``
    NINETEEN EIGHTY FOUR), for that is what they mostly are. A leading zero or more than 15 digits read digit
    by digit. Dates, times and fractions are read as the numbers they are made of.
    """
    if "&" in text:
        text = text.replace("&", " AND ")
    if any(map(str.isdigit, text)):
        text = _NUMERAL.sub(_spell, text)  # with their own per cent
    return _PERCENT.sub(" PERCENT ", _AT.sub(" AT ", text))


def _spell(match: re.Match[str]) -> str:
    part = match.groupdict()
    digits = (part["whole"] or "").replace(",", "")
    currency = part["currency"] or (part["behind"] or "").strip()
    bare = digits == part["whole"] and len(digits) == 4 and not (part["decimals"] or currency)
    words = _year(int(digits)) if bare else []
    words = words or (_integer(digits) if digits else [])
    suffix = "" if currency else part["suffix"] or ""  # $5S are five dollars
    if part["decimals"]:
        words = [
            *words,
            "POINT",
            *_one_by_one(part["decimals"][1:]),
            *([suffix.strip("'")] if suffix else []),
        ]
    elif suffix.endswith("S"):
        words[-1] = _plural(words[-1])
    elif suffix:
        words[-1] = _ordinal(words[-1])
    words += (part["scale"] or "").split()
    if currency:
        name, named = _CURRENCIES[currency], (part["named"] or "").strip()
        if named.rstrip("S") != name:  # $3 MILLION DOLLARS has its dollars
            words.append(name + ("" if words == ["ONE"] else "S"))
        words += named.split()
    if part["minus"]:
        words = ["MINUS", *words]
    if part["percent"]:
        words.append("PERCENT")
    return f" {' '.join(words)} "


def _integer(digits: str) -> list[str]:
    if (len(digits) > 1 and int(digits[0]) == 0) or len(digits) > 15:
        return _one_by_one(digits)
    return _cardinal(int(digits))


def _one_by_one(digits: str) -> list[str]:
    return [_SMALL[int(d)] for d in digits]


def _cardinal(n: int) -> list[str]:
    if n < 20:
        return [_SMALL[n]]
    if n < 100:
        return [_TENS[n // 10], *([_SMALL[n % 10]] if n % 10 else [])]
    scale, name = next(s for s in _SCALES.items() if n >= s[0])
    return [*_cardinal(n // scale), name, *(_cardinal(n % scale) if n % scale else [])]


def _year(n: int) -> list[str]:
    century, rest = divmod(n, 100)
    if not (1100 <= n <= 1999 or 2010 <= n <= 2099):
        return []
    if rest == 0:
        return [*_cardinal(century), "HUNDRED"]
    return [*_cardinal(century), *(["OH"] if rest < 10 else []), *_cardinal(rest)]


def _ordinal(word: str) -> str:
    return _ORDINALS.get(word) or (word[:-1] + "IETH" if word.endswith("Y") else word + "TH")


def _plural(word: str) -> str:
    if word.endswith("Y"):
        return word[:-1] + "IES"
    return word + ("ES" if word == "SIX" else "S")
