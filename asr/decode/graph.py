"""The search graph: topology, lexicon and language model composed into one transducer, cached by content."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kaldifst
import numpy as np

from asr.decode.arcs import Arcs
from asr.decode.topology import Topology, topology_fst
from asr.errors import LanguageModelError, LexiconError, SearchError
from asr.files import cache_folder, content_hash, replacing, write_json
from asr.text.lexicon import Lexicon
from asr.text.ngram import NGram

_MARKS = {"<s>", "</s>", "<unk>", "<UNK>"}
VERSION = 1  # part of the cache key: raise it when the same input gives another graph


@dataclass(frozen=True)
class Graph:
    """Everything the search needs to know but the emissions.

    Attributes
    ----------
    topology
        Columns of the emissions to tokens.
    lexicon
        Words to tokens; the search also needs it for the times of words.
    words
        The word of each output label; label 0 is epsilon.
    arcs
        Input labels are column + 1, costs are negative natural logs without word penalty.
    report
        What `asr show` prints: states, arcs, `lm_only` (LM words without a pronunciation, dropped) and
        `lexicon_only` (words the LM does not know and that can therefore not be recognised).
    """

    topology: Topology
    lexicon: Lexicon
    words: tuple[str, ...]
    arcs: Arcs
    report: dict[str, Any]
    _fsts: dict[float, kaldifst.StdConstFst] = field(default_factory=dict, repr=False, compare=False)

    def fst(self, word_penalty: float = 0.0) -> kaldifst.StdConstFst:
        """The transducer kaldi-decoder searches, with `word_penalty` on every word; the last one is kept."""
        fst = self._fsts.get(word_penalty)
        if fst is None:
            fst = self.arcs.with_word_penalty(word_penalty).fst()
            self._fsts.clear()
            self._fsts[word_penalty] = fst
        return fst

    def __getstate__(self) -> dict[str, Any]:
        """Without the kaldifst object, which cannot be pickled."""
        return {**self.__dict__, "_fsts": {}}

    @classmethod
    def build(cls, topology: Topology, lexicon: Lexicon, lm: str | Path) -> Graph:
        """Compose T ∘ min(det(L ∘ G)), or read it back if these three were ever composed before.

        Parameters
        ----------
        topology
            How tokens become columns.
        lexicon
            Pronunciations in the tokens of `topology`.
        lm
            An ARPA file, gzip allowed.

        Raises
        ------
        LexiconError
            If a pronunciation uses a token the topology lacks.
        LanguageModelError
            If the ARPA file is damaged or shares no word with the lexicon.

        Reference: Mohri, Pereira and Riley 2002, "Weighted finite-state transducers
        in speech recognition", section 4.
        """
        lm = Path(lm)
        words = ("<eps>", *sorted(lexicon.entries))
        key = _key(topology, lexicon, lm)
        folder = cache_folder("graphs")
        stored, meta = folder / f"{key}.fst", folder / f"{key}.json"
        if meta.exists() and stored.exists():
            try:
                return cls(topology, lexicon, words, Arcs.read(stored), json.loads(meta.read_text()))
            except (SearchError, ValueError):
                pass  # a damaged cache entry is made again
        grammar, missing = grammar_fst(lm, words)
        fst = compose(topology, lexicon, words, grammar)
        arcs = Arcs.of(fst)
        if len(arcs.final) == 0:
            raise SearchError("topology, lexicon and language model have no sentence in common", path=lm)
        report = {"states": len(arcs.final), "arcs": len(arcs.next), **missing}
        with replacing(stored) as temporary:
            arcs.write(temporary)
        write_json(meta, report)
        return cls(topology, lexicon, words, arcs, report)


def _key(topology: Topology, lexicon: Lexicon, lm: Path) -> str:
    parts = [str(VERSION), topology.kind, repr(topology.tokens), repr(topology.states), repr(topology.blank)]
    parts += [topology.stay.tobytes().hex(), topology.leave.tobytes().hex(), repr(topology.pauses)]
    parts += [repr(sorted(lexicon.entries.items())), repr(sorted(lexicon.probabilities.items()))]
    parts.append(content_hash(lm))
    return content_hash(*parts)


Pronunciations = dict[str, list[tuple[tuple[int, ...], float]]]


def pronunciations(lexicon: Lexicon, words: Iterable[str], topology: Topology) -> Pronunciations:
    """Token labels (index + 1) and cost (0 without probabilities) of every way to say each of `words`.

    Raises
    ------
    LexiconError
        Names the word that is not in the lexicon, or the token that is not in the topology.
    """
    label = {token: i + 1 for i, token in enumerate(topology.tokens)}
    found: Pronunciations = {}
    for word in words:
        if word in found:
            continue
        if word not in lexicon.entries:
            raise LexiconError(
                f"word {word!r} is not in the lexicon", fix="add its pronunciation to the lexicon"
            )
        try:
            spelled = [tuple(label[t] for t in p) for p in lexicon.entries[word]]
        except KeyError as e:
            raise LexiconError(
                f"word {word!r} is pronounced with {e.args[0]!r}, which the model does not know",
                fix="use the lexicon the model was trained with",
            ) from e
        chances = lexicon.probabilities.get(word, (1.0,) * len(spelled))
        found[word] = [(p, -math.log(c)) for p, c in zip(spelled, chances, strict=True) if c > 0]
    return found


def grammar_fst(lm: Path, words: Sequence[str]) -> tuple[kaldifst.StdVectorFst, dict[str, int]]:
    """The backoff acceptor of an ARPA file over word labels, and counts of words only one side knows.

    Backoff arcs carry label len(words) ("#0"); n-grams with a word outside `words` are dropped.
    kaldilm believes wrong counts, logs to the C stderr and may end its process on bad input: hence the
    reading by NGram first, and a process of its own.
    """
    known = set(NGram.read(lm).vocabulary) - _MARKS
    have = set(words[1:])
    missing = {"lm_only": len(known - have), "lexicon_only": len(have - known)}
    if not known & have:
        raise LanguageModelError("has no word of the lexicon", path=lm, fix="use one of the same language")
    with tempfile.TemporaryDirectory(prefix="asr-") as name:
        folder = Path(name)
        raw = lm.read_bytes()
        (folder / "lm.arpa").write_bytes(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
        table = [*words, "#0", "<s>", "</s>"]
        (folder / "words").write_text("".join(f"{w} {i}\n" for i, w in enumerate(table)), encoding="utf-8")
        code = (
            "import sys, kaldilm; d = sys.argv[1]; kaldilm.arpa2fst(d + '/lm.arpa', d + '/fst', "
            "disambig_symbol='#0', read_symbol_table=d + '/words', max_arpa_warnings=0)"
        )
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
        if done.returncode or not (folder / "fst").exists():
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise LanguageModelError(f"kaldilm refuses it ({lines[-1]})", path=lm)
        return kaldifst.StdVectorFst.read(str(folder / "fst")), missing


def compose(
    topology: Topology, lexicon: Lexicon, words: Sequence[str], grammar: kaldifst.StdVectorFst
) -> kaldifst.StdVectorFst:
    """T ∘ min(det(L ∘ G)) without disambiguation symbols."""
    lexical, first_extra = lexicon_fst(topology, lexicon, words)
    kaldifst.arcsort(grammar, "ilabel")
    kaldifst.arcsort(lexical, "olabel")
    fst = kaldifst.compose(lexical, grammar)
    kaldifst.determinize_star(fst)
    kaldifst.minimize_encoded(fst, delta=1e-5)
    arcs = Arcs.of(fst)
    label = np.where(arcs.ilabel >= first_extra, 0, arcs.ilabel).astype(np.int32)
    plain = kaldifst.StdVectorFst(Arcs(**{**vars(arcs), "ilabel": label}).fst())
    kaldifst.arcsort(plain, "ilabel")
    return kaldifst.compose(topology_fst(topology), plain)


def lexicon_fst(
    topology: Topology, lexicon: Lexicon, words: Sequence[str]
) -> tuple[kaldifst.StdVectorFst, int]:
    """The transducer from tokens to words with disambiguation symbols, and the first label of those.

    Pronunciations that another one equals or begins with end in a symbol of their own, and a self-loop lets
    the backoff symbol of the grammar through, so that L ∘ G can be determinised (Mohri et al. 2002, section
    4.2). Between words, at the start and at the end the pauses of the topology are optional.
    """
    spoken = pronunciations(lexicon, words[1:], topology)
    extra = len(topology.tokens) + 1
    backoff_in, backoff_out, pause_end = extra, len(words), extra + 1
    uses = Counter(p for several in spoken.values() for p, _ in several)
    prefixes = {p[:n] for p in uses for n in range(1, len(p))}
    seen: defaultdict[tuple[int, ...], int] = defaultdict(int)
    # 0 = start, 1 = between words (final), 2 = a pause must follow
    lines: list[str] = []
    none = 1.0 - sum(p for _, p in topology.pauses)
    between = [(1, -math.log(none))] if none > 0 else []
    if topology.pauses:
        between.append((2, 0.0))
    lines += [f"0 {to} 0 0 {cost}" for to, cost in between]
    lines.append(f"1 1 {backoff_in} {backoff_out} 0")
    state = 3
    for token, probability in topology.pauses:
        if probability > 0:
            lines.append(f"2 {state} {topology.tokens.index(token) + 1} 0 {-math.log(probability)}")
            lines.append(f"{state} 1 {pause_end} 0 0")
            state += 1
    for label, word in enumerate(words[1:], 1):
        for p, chance in spoken[word]:
            symbols = list(p)
            if uses[p] > 1 or p in prefixes:
                symbols.append(pause_end + 1 + seen[p])
                seen[p] += 1
            here, out = 1, label
            for symbol in symbols[:-1]:
                lines.append(f"{here} {state} {symbol} {out} {chance}")
                here, out, chance, state = state, 0, 0.0, state + 1
            lines += [f"{here} {to} {symbols[-1]} {out} {cost + chance}" for to, cost in between]
    lines.append("1 0")
    return kaldifst.compile("\n".join(lines) + "\n", acceptor=False), extra
