"""Everything by enumeration: what the search must find, computed without any transducer."""

import itertools
import math

import numpy as np

from asr.decode.topology import Topology


def column_paths(topology: Topology, tokens, frames):
    """Every way to spell `tokens` in `frames` columns, with its log score: (columns, owners, score).

    `owners` tells for each frame the index of its token, -1 in a CTC blank.
    """
    if topology.kind == "ctc":
        wanted = [topology.states[topology.tokens.index(t)][0] for t in tokens]
        for columns in itertools.product([topology.blank, *sorted(set(wanted))], repeat=frames):
            merged, owners, last = [], [], None
            for c in columns:
                if c != topology.blank and c != last:
                    merged.append(c)
                owners.append(-1 if c == topology.blank else len(merged) - 1)
                last = c
            if merged == wanted:
                yield columns, tuple(owners), 0.0
        return
    numbers = [topology.tokens.index(t) for t in tokens]
    around = [topology.boundary, *(topology.classes[n] for n in numbers), topology.boundary]
    chain = [
        (c, i)
        for i, n in enumerate(numbers)
        for c in topology.states[topology.chain(around[i], n, around[i + 2])]
    ]
    if not chain:
        if frames == 0:
            yield (), (), 0.0
        return
    for cuts in itertools.combinations(range(1, frames), len(chain) - 1):
        bounds = [0, *cuts, frames]
        columns, owners, score = [], [], 0.0
        for (c, i), a, b in zip(chain, bounds[:-1], bounds[1:], strict=True):
            columns += [c] * (b - a)
            owners += [i] * (b - a)
            score += (b - a - 1) * float(topology.stay[c]) + float(topology.leave[c])
        if frames:
            yield tuple(columns), tuple(owners), score


def spellings(topology: Topology, lexicon, words):
    """Every token sequence of a sentence with pauses: tokens, word index of each or -1, log probability."""
    none = 1.0 - sum(p for _, p in topology.pauses)
    gaps = [((), none)] + [((t,), p) for t, p in topology.pauses]
    gaps = [(t, math.log(p)) for t, p in gaps if p > 0]
    says = []
    for w in words:
        chances = lexicon.probabilities.get(w, (1.0,) * len(lexicon.entries[w]))
        says.append([(p, math.log(c)) for p, c in zip(lexicon.entries[w], chances, strict=True)])
    for some in itertools.product(gaps, *itertools.chain.from_iterable((s, gaps) for s in says)):
        tokens, owners, score = [], [], 0.0
        for k, (part, chance) in enumerate(some):
            tokens += part
            owners += [k // 2 if k % 2 else -1] * len(part)
            score += chance
        yield tokens, owners, score


def sentence_paths(topology, lexicon, words, scores):
    """Every path of a sentence: (log score, columns, word index of each frame or -1)."""
    frames = len(scores)
    for tokens, owners, chance in spellings(topology, lexicon, words):
        for columns, slots, score in column_paths(topology, tokens, frames):
            emitted = float(scores[np.arange(frames), list(columns)].sum()) if frames else 0.0
            yield chance + score + emitted, columns, tuple(-1 if s < 0 else owners[s] for s in slots)


def arpa_backoff(ngram, words):
    """Best log score of a sentence: the best of all ways an n-gram acceptor with epsilon backoff can take.

    Taking the lower order although the higher one exists is possible in such an acceptor, too (and now and
    then better), so the enumeration tries both, as the search does.
    """
    probabilities, backoffs = ngram
    order = max(len(g) for g in probabilities)

    def extend(history, rest):
        if not rest:
            return 0.0
        found = -math.inf
        gram = (*history, rest[0])
        if gram in probabilities:
            after = gram if len(gram) < order else gram[1:]
            while after and after not in backoffs:
                after = after[1:]
            found = probabilities[gram] + extend(after, rest[1:])
        if history:
            found = max(found, backoffs.get(history, 0.0) + extend(history[1:], rest))
        return found

    return extend(("<s>",), (*words, "</s>"))
