"""Tiny random lexicons, language models and emissions."""

import math

import numpy as np

from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.text.lexicon import Lexicon
from asr.text.units import Units

TOKENS = ("a", "b", "c")
KINDS = ("ctc", "hmm", "hmm without pauses", "triphones", "triphones without pauses")


def ctc(tokens=TOKENS) -> Topology:
    return Topology.ctc(Units(("<blk>", *tokens)))


def hmm(rng, tokens=TOKENS, states=2, pause=0.3) -> Topology:
    chains, n = [(0,)], 1
    for _ in tokens:
        chains.append(tuple(range(n, n + states)))
        n += states
    stay = rng.uniform(0.2, 0.8, n).astype(np.float32)
    pauses = (("SIL", pause),) if pause else ()
    log = np.log
    return Topology("hmm", ("SIL", *tokens), tuple(chains), log(stay), log(1 - stay), pauses=pauses)


def triphones(rng, tokens=TOKENS, states=2, leaves=3, pause=0.3) -> Topology:
    """Every state of a token is one of some columns, by a random rule on its neighbours; pauses are not."""
    names = ("SIL", "SP", *tokens)
    boundary, classes = 0, (0, 0, *range(1, len(tokens) + 1))
    chains = {(0,): 0, (1,): 1}
    context = np.zeros((len(tokens) + 1, len(names), len(tokens) + 1), np.int32)
    context[:, 1] = 1
    for t in range(2, len(names)):
        for left, right in np.ndindex(len(tokens) + 1, len(tokens) + 1):
            chain = tuple(
                2 + ((t - 2) * states + i) * leaves + int(rng.integers(leaves)) for i in range(states)
            )
            context[left, t, right] = chains.setdefault(chain, len(chains))
    n = 2 + len(tokens) * states * leaves
    stay = rng.uniform(0.2, 0.8, n).astype(np.float32)
    pauses = (("SIL", pause), ("SP", pause / 2)) if pause else ()
    log = np.log
    return Topology(
        "hmm", names, tuple(chains), log(stay), log(1 - stay), pauses=pauses,
        context=context, classes=classes, boundary=boundary,
    )  # fmt: skip


def topology_of(kind, rng, states, pause) -> Topology:
    """One of KINDS."""
    if kind == "ctc":
        return ctc()
    make = triphones if kind.startswith("triphones") else hmm
    return make(rng, states=states, pause=0.0 if kind.endswith("without pauses") else pause)


def units_of(topology: Topology) -> Units:
    if topology.kind == "ctc":
        return Units(("<blk>", *topology.tokens))
    if topology.context is not None:
        return Units(f"u{i}" for i in range(len(topology.stay)))
    return Units(
        f"{t}.{i}"
        for t, chain in zip(topology.tokens, topology.states, strict=True)
        for i in range(len(chain))
    )


def emissions(rng, topology, frames, spread=1.5) -> Emissions:
    raw = rng.normal(size=(frames, len(topology.stay))) * spread
    raw -= np.log(np.exp(raw).sum(axis=1, keepdims=True)) if frames else 0
    kind = "posterior" if topology.kind == "ctc" else "likelihood"
    return Emissions(raw.astype(np.float32), units_of(topology), 0.04, kind)


def one_hot(topology, columns, confidence=12.0) -> Emissions:
    raw = np.zeros((len(columns), len(topology.stay)))
    raw[np.arange(len(columns)), columns] = confidence
    raw -= np.log(np.exp(raw).sum(axis=1, keepdims=True))
    kind = "posterior" if topology.kind == "ctc" else "likelihood"
    return Emissions(raw.astype(np.float32), units_of(topology), 0.04, kind)


# homophones (A1, A2), a prefix (A1 of AB), double letters (AA, and AB then BA), two pronunciations (C)
LEXICON = Lexicon(
    {
        "A1": [("a",)],
        "A2": [("a",)],
        "AB": [("a", "b")],
        "AA": [("a", "a")],
        "BA": [("b", "a")],
        "C": [("c",), ("b", "c")],
    }
)


def language_model(rng, path, words, order=2, gaps=0.5):
    """A random backoff model written to `path`, as natural-log tables of tuples."""
    probabilities, backoffs = {}, {}
    vocabulary = [*words, "</s>"]
    for w in vocabulary:
        probabilities[(w,)] = -rng.uniform(0.5, 3.0)
    probabilities[("<s>",)] = -99 * math.log(10)
    for w in ["<s>", *words]:
        backoffs[(w,)] = -rng.uniform(0.1, 1.5)
    if order > 1:
        for u in ["<s>", *words]:
            for v in vocabulary:
                if rng.random() > gaps:
                    probabilities[(u, v)] = -rng.uniform(0.2, 2.5)
    lines = ["\\data\\"]
    grams = {n: [g for g in probabilities if len(g) == n] for n in range(1, order + 1)}
    lines += [f"ngram {n}={len(g)}" for n, g in grams.items()]
    for n, some in grams.items():
        lines += ["", f"\\{n}-grams:"]
        for g in some:
            back = f"\t{backoffs[g] / math.log(10):.6f}" if g in backoffs and order > 1 else ""
            lines.append(f"{probabilities[g] / math.log(10):.6f}\t{' '.join(g)}{back}")
    path.write_text("\n".join([*lines, "", "\\end\\", ""]))
    del probabilities[("<s>",)]
    return probabilities, backoffs if order > 1 else {}
