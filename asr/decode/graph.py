"""The search graph: topology, lexicon and language model composed into one transducer, cached by content."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import kaldifst
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from asr.decode.arcs import Arcs
from asr.decode.topology import Topology, pronunciations, topology_fst
from asr.errors import LanguageModelError, SearchError
from asr.files import cache_folder, content_hash, keep_recent, replacing, touch, write_json
from asr.text.lexicon import Lexicon
from asr.text.ngram import NGram

_MARKS = {"<s>", "</s>", "<unk>", "<UNK>"}
# Transitions are scored at every frame, as emissions are, and weighed as weakly: at full weight they would
# outweigh emissions that are scaled by a tenth (in Kaldi, too, --self-loop-scale is 0.1).
TRANSITION_SCALE = 0.1
CACHE_BYTES = 2_000_000_000  # a trained HMM has transitions of its own, hence graphs no other model can use
VERSION = 4  # part of the cache key: raise it when the same input gives another graph


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
        """The transducer kaldi-decoder searches, with `word_penalty` on every word.

        The last two are kept: the search before adaptation has a penalty of its own.
        """
        fst = self._fsts.get(word_penalty)
        if fst is None:
            fst = self._fsts[word_penalty] = self.arcs.with_word_penalty(word_penalty).fst()
            for old in list(self._fsts)[:-2]:
                self._fsts.pop(old, None)
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
        try:
            report = json.loads(meta.read_text())
            arcs = Arcs.read(stored)
            touch(stored, meta)
            return cls(topology, lexicon, words, arcs, report)
        except (FileNotFoundError, SearchError, ValueError):
            pass  # an entry that is missing or damaged is made again
        grammar, missing = grammar_fst(lm, words)
        arcs = compose(topology, lexicon, words, grammar)
        report = {"states": len(arcs.final), "arcs": len(arcs.next), **missing}
        with replacing(stored) as temporary:
            arcs.write(temporary)
        write_json(meta, report)
        keep_recent(folder, CACHE_BYTES)
        return cls(topology, lexicon, words, arcs, report)


def _key(topology: Topology, lexicon: Lexicon, lm: Path) -> str:
    parts = [str(VERSION), topology.kind, repr(topology.tokens), repr(topology.states), repr(topology.blank)]
    parts += [topology.stay.tobytes().hex(), topology.leave.tobytes().hex(), repr(topology.pauses)]
    if topology.context is not None:
        parts += [topology.context.tobytes().hex(), repr(topology.classes), repr(topology.boundary)]
    parts.append(repr(topology.placed))
    parts += [repr(sorted(lexicon.entries.items())), repr(sorted(lexicon.probabilities.items()))]
    parts.append(content_hash(lm))
    return content_hash(*parts)


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
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        # with the line ends of Windows kaldilm drops the longest n-grams without a word
        (folder / "lm.arpa").write_bytes(raw.replace(b"\r\n", b"\n"))
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
) -> Arcs:
    """T ∘ min(det(C ∘ det(L ∘ G))) without disambiguation symbols; C only where neighbours matter."""
    lexical, first_extra = lexicon_fst(topology, lexicon, words)
    kaldifst.arcsort(grammar, "ilabel")
    kaldifst.arcsort(lexical, "olabel")
    fst = kaldifst.compose(lexical, grammar)
    if fst.start < 0:
        raise SearchError("topology, lexicon and language model have no sentence in common")
    kaldifst.determinize_star(fst)
    if topology.context is not None:
        fst, first_extra = _in_context(fst, topology, first_extra)
        kaldifst.determinize_star(fst)
    kaldifst.minimize_encoded(fst, delta=1e-5)
    arcs = Arcs.of(fst)
    label = np.where(arcs.ilabel >= first_extra, 0, arcs.ilabel).astype(np.int32)
    plain = replace(arcs, ilabel=label)
    if topology.kind == "hmm":
        return spelled(plain, topology)
    through = kaldifst.StdVectorFst(plain.fst())
    kaldifst.arcsort(through, "ilabel")
    return Arcs.of(kaldifst.compose(topology_fst(topology), through))


def _in_context(
    fst: kaldifst.StdVectorFst, topology: Topology, first_extra: int
) -> tuple[kaldifst.StdVectorFst, int]:
    """Chains + 1 in place of tokens + 1, and the first of the disambiguation symbols, which move up.

    Triphones that share a chain become one label here, so that determinisation merges them.
    """
    context = topology.context
    assert context is not None
    extras = sorted({int(x) for x in Arcs.of(fst).ilabel if x >= first_extra})
    fst, windows = kaldifst.compose_context(extras, 3, 1, fst)
    table = np.zeros(len(windows), np.int32)
    first = len(topology.states) + 1
    # label 0 stands for no neighbour; the one window of that alone marks the start of a sentence
    classes = np.array([topology.boundary, *(topology.classes[t] for t in range(len(topology.tokens)))])
    for label, window in enumerate(windows):
        if len(window) == 3:
            table[label] = 1 + context[classes[window[0]], window[1] - 1, classes[window[2]]]
        elif window:
            table[label] = first + max(0, -window[0] - first_extra + 1)
    arcs = Arcs.of(fst)
    return kaldifst.StdVectorFst(replace(arcs, ilabel=table[arcs.ilabel]).fst()), first


def spelled(arcs: Arcs, topology: Topology) -> Arcs:
    """Every label chain + 1 of a graph spelled out as its columns + 1, with their transitions.

    A chain that leads to a state is spelled once, however many arcs carry it there. Its way out is an arc
    without input, unless going straight on takes no more arcs.

    Reference: Mohri, Pereira and Riley 2002, "Weighted finite-state transducers in speech recognition",
    section 3.1.
    """
    lengths = np.array([len(chain) for chain in topology.states])
    offsets = np.cumsum([0, *lengths])[:-1]
    columns = np.concatenate([np.asarray(chain, np.int32) for chain in topology.states])
    stay, leave = (
        -np.float32(TRANSITION_SCALE) * x.astype(np.float32) for x in (topology.stay, topology.leave)
    )
    states, source = len(arcs.final), arcs.source
    emitting = arcs.ilabel > 0
    chain = arcs.ilabel - 1
    key = arcs.next.astype(np.int64) * len(lengths) + chain
    pairs, pair = np.unique(key[emitting], return_inverse=True)
    to, which = (pairs // len(lengths)).astype(np.int32), pairs % len(lengths)
    begin = states + np.cumsum([0, *lengths[which]])
    # every emitting state: its column, and whether it is the last of its chain
    node = np.arange(begin[-1] - states)
    owner = np.repeat(np.arange(len(pairs)), lengths[which])
    column = columns[offsets[which][owner] + node - (begin[owner] - states)]
    last = begin[1:] - 1
    inner = np.setdiff1d(node + states, last, assume_unique=True)

    entry = np.zeros(len(source), np.int32)
    entry[emitting] = begin[pair]
    label = np.zeros(len(source), np.int32)
    label[emitting] = columns[offsets[chain[emitting]]] + 1
    target = np.where(emitting, entry, arcs.next)
    out = leave[column[last - states]]

    ways_in, ways_out = np.bincount(to, minlength=states), np.diff(arcs.first)
    straight = ways_in * ways_out <= ways_in + ways_out
    # arcs out of each such state, once for each chain that ends there
    on = np.flatnonzero(straight[to])
    count = ways_out[to[on]]
    ahead = np.repeat(arcs.first[to[on]] - np.cumsum(count) + count, count) + np.arange(count.sum())
    behind = np.repeat(on, count)
    off = np.flatnonzero(~straight[to])
    zeros = np.zeros(len(node), np.int32)
    rows = [
        (source, target, label, arcs.olabel, arcs.weight),
        (node + states, node + states, column + 1, zeros, stay[column]),
        (
            inner,
            inner + 1,
            column[inner + 1 - states] + 1,
            zeros[: len(inner)],
            leave[column[inner - states]],
        ),
        (last[off], to[off], zeros[: len(off)], zeros[: len(off)], out[off]),
        (last[behind], target[ahead], label[ahead], arcs.olabel[ahead], arcs.weight[ahead] + out[behind]),
    ]
    f, t, i, o, w = (np.concatenate(x) for x in zip(*rows, strict=True))
    final = np.concatenate([arcs.final, np.full(len(node), np.inf, np.float32)])
    final[last[on]] = arcs.final[to[on]] + out[on]
    return _reachable(arcs.start, final, f, t, i, o, w)


def _reachable(
    start: int,
    final: np.ndarray,
    source: np.ndarray,
    to: np.ndarray,
    ilabel: np.ndarray,
    olabel: np.ndarray,
    weight: np.ndarray,
) -> Arcs:
    """The graph of these arcs, without the states that the start does not lead to."""
    links = scipy.sparse.csr_array((np.ones(len(to), np.float32), (source, to)), shape=(len(final),) * 2)
    kept = np.sort(scipy.sparse.csgraph.breadth_first_order(links, start, return_predecessors=False))
    number = np.full(len(final), -1, np.int64)
    number[kept] = np.arange(len(kept))
    mine = np.flatnonzero(number[source] >= 0)
    order = mine[np.argsort(number[source[mine]], kind="stable")]
    first = np.searchsorted(number[source[order]], np.arange(len(kept) + 1))
    return Arcs(
        int(number[start]),
        first.astype(np.int64),
        final[kept].astype(np.float32),
        ilabel[order].astype(np.int32),
        olabel[order].astype(np.int32),
        weight[order].astype(np.float32),
        number[to[order]].astype(np.int32),
    )


def _alike(topology: Topology) -> list[int]:
    """A number for each token, the same for those that may become one chain in some context.

    These are a phoneme at all places of a word, and phonemes that share their states.
    """
    symbols = sorted(set(topology.symbols))
    means = [np.array([symbols.index(s)]) for s in topology.symbols]
    if topology.context is not None:
        chains = np.moveaxis(topology.context, 1, 0).reshape(len(means), -1)
        means = [np.append(m, len(symbols) + np.unique(c)) for m, c in zip(means, chains, strict=True)]
    token = np.repeat(np.arange(len(means)), [len(m) for m in means])
    what = len(means) + np.concatenate(means)
    links = scipy.sparse.coo_array((np.ones(len(what)), (token, what)), shape=(what.max() + 1,) * 2)
    return scipy.sparse.csgraph.connected_components(links, directed=False)[1][: len(means)].tolist()


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
    like = _alike(topology)
    bare = {p: tuple(like[t - 1] for t in p) for several in spoken.values() for p, _ in several}
    uses = Counter(bare[p] for several in spoken.values() for p, _ in several)
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
            if uses[bare[p]] > 1 or bare[p] in prefixes:
                symbols.append(pause_end + 1 + seen[bare[p]])
                seen[bare[p]] += 1
            here, out = 1, label
            for symbol in symbols[:-1]:
                lines.append(f"{here} {state} {symbol} {out} {chance}")
                here, out, chance, state = state, 0, 0.0, state + 1
            lines += [f"{here} {to} {symbols[-1]} {out} {cost + chance}" for to, cost in between]
    lines.append("1 0")
    return kaldifst.compile("\n".join(lines) + "\n", acceptor=False), extra
