"""n-gram language models: ARPA files, probabilities, perplexity."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from asr.errors import LanguageModelError
from asr.files import replacing
from asr.text.kneser_ney import BOS, EOS, UNKNOWN, Tables, estimate

SUFFIXES = (".arpa", ".arpa.gz", ".lm", ".lm.gz")
MISSING = -100.0  # log10 probability of an unknown word in a model without <unk>, as in kenlm
_COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)$")
_SECTION = re.compile(r"\\(\d+)-grams:$")


class NGram:
    """A back-off n-gram model over words.

    Parameters
    ----------
    probabilities
        For each order, n-gram (words joined by one space) to its log10 probability.
    backoffs
        For each order but the highest, n-gram to its log10 back-off weight; an absent one is 0.
    """

    def __init__(self, probabilities: Tables, backoffs: Tables) -> None:
        self.probabilities = probabilities
        self.backoffs = backoffs

    @property
    def order(self) -> int:
        """The longest n-gram's length."""
        return len(self.probabilities)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, without ``<s>``, ``</s>`` and ``<unk>``, sorted."""
        return tuple(sorted(self.probabilities[0].keys() - {BOS, EOS, UNKNOWN}))

    @classmethod
    def estimate(cls, sentences: Iterable[str], order: int = 3, vocabulary: Iterable[str] = ()) -> NGram:
        """Interpolated modified Kneser-Ney model of normalised sentences, one string each.

        Parameters
        ----------
        sentences
            Words separated by white space; blank ones are skipped.
        order
            1 to 4 in practice; lowered to the longest n-gram that the sentences hold.
        vocabulary
            Words to admit even if no sentence holds them; each gets the probability of ``<unk>``.

        Raises
        ------
        LanguageModelError
            If there is no sentence, or one holds ``<s>``, ``</s>`` or ``<unk>``.

        Reference
        ---------
        Chen and Goodman (1999), equations 26-28; lower orders and ``<s>`` as in Heafield et al. (2013).
        """
        return cls(*estimate(sentences, order, vocabulary))

    @classmethod
    def uniform(cls, words: Iterable[str]) -> NGram:
        """Each of the words, and the end of a sentence, as probable as any other: no language model at all.

        Raises
        ------
        LanguageModelError
            If there is no word.
        """
        known = sorted(set(words) - {BOS, EOS, UNKNOWN})
        if not known:
            raise LanguageModelError("no word for a language model")
        p = -math.log10(len(known) + 1)
        return cls([{BOS: MISSING, EOS: p} | dict.fromkeys(known, p)], [])

    @classmethod
    def read(cls, path: str | Path) -> NGram:
        r"""Read an ARPA file, gzipped if its name ends in ``.gz``.

        Raises
        ------
        LanguageModelError
            If the file cannot be read, a count in ``\data\`` differs from what follows, a line has the wrong
            number of fields or a value that is no log probability, an n-gram appears twice or without its
            prefix, or ``\end\`` is missing; with file and line.
        """
        path = Path(path)
        return cls(*_Arpa(path, _lines(path)).parse())

    def write(self, path: str | Path) -> None:
        """Write an ARPA file, gzipped if the name ends in ``.gz``; the same model gives the same bytes."""
        parts = ["\\data\\\n"]
        parts += [f"ngram {n}={len(table)}\n" for n, table in enumerate(self.probabilities, 1)]
        for n, table in enumerate(self.probabilities, 1):
            parts.append(f"\n\\{n}-grams:\n")
            if n < self.order:
                weights = self.backoffs[n - 1]
                parts += [f"{p:.7g}\t{ngram}\t{weights.get(ngram, 0.0):.7g}\n" for ngram, p in table.items()]
            else:
                parts += [f"{p:.7g}\t{ngram}\n" for ngram, p in table.items()]
        parts.append("\n\\end\\\n")
        data = "".join(parts).encode()
        with replacing(path) as temporary:
            temporary.write_bytes(gzip.compress(data, 6, mtime=0) if Path(path).suffix == ".gz" else data)

    def score(self, words: str | Sequence[str]) -> np.ndarray:
        """log10 probabilities of the words of a sentence and of its end.

        Parameters
        ----------
        words
            One sentence, as a string or as its words.

        Returns
        -------
        np.ndarray
            (words + 1,) log10 P(word | the words before). Unknown words score as ``<unk>``, or `MISSING`
            where the model has none, and are no context for the words after them.
        """
        words = words.split() if isinstance(words, str) else words
        unigrams = self.probabilities[0]
        known = [BOS, *(w if w in unigrams else UNKNOWN for w in words), EOS]
        return np.array([self._score(known, i) for i in range(1, len(known))])

    def _score(self, words: list[str], i: int) -> float:
        """log10 P(words[i] | words before), backing off from the longest context."""
        weight = 0.0
        for start in range(max(0, i - self.order + 1), i):
            p = self.probabilities[i - start].get(" ".join(words[start : i + 1]))
            if p is not None:
                return weight + p
            weight += self.backoffs[i - start - 1].get(" ".join(words[start:i]), 0.0)
        return weight + self.probabilities[0].get(words[i], MISSING)

    def perplexity(self, sentences: Iterable[str]) -> float:
        """Perplexity per word, ends of sentences counted, unknown words left out (as SRILM's ``ppl``).

        Raises
        ------
        LanguageModelError
            If there is no sentence.
        """
        total, count = 0.0, 0
        unigrams = self.probabilities[0]
        for sentence in sentences:
            words = sentence.split()
            known = np.array([w in unigrams for w in words] + [True])
            total += float(self.score(words)[known].sum())
            count += int(known.sum())
        if not count:
            raise LanguageModelError("no sentence to measure perplexity on")
        return 10 ** (-total / count)


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except UnicodeDecodeError as e:
        raise LanguageModelError("not UTF-8 text", path=path, fix="give an ARPA file") from e
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise LanguageModelError(f"no whole gzip file ({e})", path=path, fix="copy it again") from e
    except OSError as e:
        raise LanguageModelError(f"cannot be read ({e.strerror})", path=path) from e
    return text.split("\n")


class _Arpa:
    """One pass over the lines of an ARPA file."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.lines = lines
        self.at = 0  # index of the next line
        self.counts: list[tuple[int, int]] = []  # for each order: n-grams declared, on which line

    def error(self, what: str, line: int | None = None, fix: str | None = None) -> LanguageModelError:
        return LanguageModelError(what, path=self.path, line=self.at if line is None else line, fix=fix)

    def next_filled(self) -> str:
        """The next line that is not blank; an empty string at the end of the file."""
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            self.at += 1
            if line:
                return line
        return ""

    def parse(self) -> tuple[Tables, Tables]:
        line = self.header()
        probabilities: Tables = []
        backoffs: Tables = []
        for order in range(1, len(self.counts) + 1):
            match = _SECTION.match(line)
            if not match or int(match[1]) != order:
                raise self.error(f"expected \\{order}-grams: and found {line[:40]!r}")
            p, b = self.section(order, probabilities[-1] if probabilities else {})
            declared, declared_at = self.counts[order - 1]
            if len(p) != declared:
                raise self.error(
                    f"\\data\\ says {declared} {order}-grams, found {len(p)}",
                    declared_at,
                    "the file is damaged or cut short: make or copy it again",
                )
            probabilities.append(p)
            backoffs.append(b)
            line = self.next_filled()
        if line != "\\end\\":
            raise self.error(f"expected \\end\\ and found {line[:40]!r}", fix="copy the file again")
        if EOS not in probabilities[0]:
            raise LanguageModelError("no </s> among the 1-grams", path=self.path)
        return probabilities, backoffs[:-1]

    def header(self) -> str:
        """Read up to the first section's title, which is returned."""
        while (line := self.next_filled()) != "\\data\\":
            if not line:
                raise LanguageModelError("no \\data\\ line", path=self.path, fix="give an ARPA file")
        while match := _COUNT.match(line := self.next_filled()):
            if int(match[1]) != len(self.counts) + 1:
                raise self.error(f"expected the count of {len(self.counts) + 1}-grams and found {line!r}")
            self.counts.append((int(match[2]), self.at))
        if not self.counts:
            raise self.error(f"expected `ngram 1=COUNT` and found {line[:40]!r}")
        return line

    def section(self, order: int, shorter: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Read the n-grams of one order, up to a line that starts with a backslash."""
        probabilities: dict[str, float] = {}
        backoffs: dict[str, float] = {}
        spaces = order - 1
        for i in range(self.at, len(self.lines)):
            line = self.lines[i]
            if line[:1] == "\\":
                break
            if not line or line.isspace():
                continue
            fields = line.rstrip().split("\t")
            if len(fields) not in (2, 3) or fields[1].count(" ") != spaces:
                fields = _refield(line, order)  # blanks in place of tabs
                if not fields:
                    raise self.error(
                        f"expected a log10 probability, {order} words and perhaps a back-off weight", i + 1
                    )
            ngram = fields[1]
            try:
                p = float(fields[0])
                backoff = float(fields[2]) if len(fields) == 3 else 0.0
            except ValueError as e:
                raise self.error(f"not a number ({e})", i + 1) from e
            if not (p <= 1e-6 and math.isfinite(p) and math.isfinite(backoff)):
                raise self.error(f"no log10 probability: {line.strip()!r}", i + 1)
            if ngram in probabilities:
                raise self.error(f"n-gram {ngram!r} appears twice", i + 1)
            if order > 1 and ngram.rpartition(" ")[0] not in shorter:
                raise self.error(
                    f"n-gram {ngram!r} has no {order - 1}-gram {ngram.rpartition(' ')[0]!r}", i + 1
                )
            probabilities[ngram] = p
            if len(fields) == 3:
                backoffs[ngram] = backoff
        else:
            i = len(self.lines)
        self.at = i
        return probabilities, backoffs


def _refield(line: str, order: int) -> list[str]:
    """Probability, n-gram and perhaps back-off weight of a line; empty if their number is wrong."""
    fields = line.split()
    if len(fields) not in (order + 1, order + 2):
        return []
    return [fields[0], " ".join(fields[1 : order + 1]), *fields[order + 1 :]]
