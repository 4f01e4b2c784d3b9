"""What CTC by sequences is compared with: all label sequences, weighted by an n-gram of labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch

from asr.models.networks.log_z import log_z
from asr.text.ngram import BOS, EOS, NGram

BLANK = 0


class Denominator:
    """log Z of an utterance: the sum over all paths, each with the probability of its labels.

    CTC loss plus log Z is, but for a constant, the negative log probability of the labels under a conditional
    random field over CTC paths whose label model is an n-gram: sequences that the language has, but that were
    not said, are pushed down, and the network need not learn the language itself. As in a back-off acceptor,
    backing off is open where a longer n-gram is known, too, so that sequences weigh a little more than the
    n-gram says. A history of several labels that only an end was seen after is left out: the sentence ends
    there by a shorter one, with less probability than the n-gram has, and goes on with more.

    Parameters
    ----------
    labels
        Training label sequences; the n-gram is estimated from them.
    units
        Number of units; label 0 is the blank.
    order
        Of the n-gram, 2 or more.

    Reference
    ---------
    Xiang and Ou 2019, "CRF-based single-stage acoustic modeling with CTC topology", equations 1-4.
    """

    def __init__(self, labels: Iterable[Sequence[int] | np.ndarray], units: int, order: int) -> None:
        sentences = [" ".join(map(str, row)) for row in labels]
        self.graph = _graph(NGram.estimate(sentences, order, map(str, range(1, units))), units)

    def __call__(self, log_probs: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(batch,) log Z, differentiable, of (batch, longest, units) log posteriors of `frames` (batch,)."""
        return log_z(log_probs, frames, lambda y, posterior: _sum_of_paths(np.exp(y), *self.graph, posterior))


class _Graph(NamedTuple):
    """Histories of the n-gram, the longer ones first, and the arcs between them; probabilities, not logs.

    Attributes
    ----------
    last
        (histories,) label that each ends with; 0 at the start of a sentence.
    shorter, backoff
        (histories,) the history one back-off further, -1 where every label has an arc, and its weight.
    final
        (histories,) probability that the sentence ends.
    first, target, weight
        Arcs out of history h are first[h] .. first[h + 1] - 1. An arc's label is the last of its target.
    start
        History of an empty sentence.
    """

    last: np.ndarray
    shorter: np.ndarray
    backoff: np.ndarray
    final: np.ndarray
    first: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    start: int


def _graph(model: NGram, units: int) -> _Graph:
    grams = [{tuple(text.split()): 10.0**p for text, p in table.items()} for table in model.probabilities]
    backoffs = [{tuple(text.split()): 10.0**p for text, p in table.items()} for table in model.backoffs]

    def probability(history: tuple[str, ...], label: str) -> float:
        factor = 1.0
        while True:
            known = grams[len(history)].get((*history, label))
            if known is not None:
                return factor * known
            factor *= backoffs[len(history) - 1].get(history, 1.0)
            history = history[1:]

    names = [str(u) for u in range(1, units)]
    # a history of one label leads to every label: the empty one would not know which label may not follow
    histories: set[tuple[str, ...]] = {(BOS,), *((name,) for name in names)}
    for table in grams[1:]:
        histories |= {gram[:-1] for gram in table if gram[-1] != EOS}
    ordered = sorted(histories, key=lambda h: (-len(h), h))
    number = {h: n for n, h in enumerate(ordered)}

    def longest(history: tuple[str, ...]) -> int:
        while history not in number:
            history = history[1:]
        return number[history]

    following: dict[tuple[str, ...], list[str]] = {h: [] for h in ordered}
    for table in grams[2:]:
        for gram in table:
            if gram[-1] != EOS:
                following[gram[:-1]].append(gram[-1])
    for h in ordered:
        if len(h) == 1:
            following[h] = names
    arcs = [(longest((*h, label)), probability(h, label)) for h in ordered for label in following[h]]
    target, weight = zip(*arcs, strict=True)
    return _Graph(
        last=np.array([0 if h[-1] == BOS else int(h[-1]) for h in ordered], np.int32),
        shorter=np.array([longest(h[1:]) if len(h) > 1 else -1 for h in ordered], np.int32),
        backoff=np.array([backoffs[len(h) - 1].get(h, 1.0) for h in ordered]),
        final=np.array([probability(h, EOS) for h in ordered]),
        first=np.cumsum([0, *(len(following[h]) for h in ordered)]).astype(np.int32),
        target=np.array(target, np.int32),
        weight=np.array(weight),
        start=number[(BOS,)],
    )


@numba.njit(cache=True, nogil=True)
def _sum_of_paths(  # type: ignore[no-untyped-def]  # pragma: no cover
    y, last, shorter, backoff, final, first, target, weight, start, posterior
):
    """Log Z for (frames, units) probabilities; (frames, units) posteriors of the units into `posterior`.

    A history is in one of two states: after a blank, and after its last label. In the second the same label
    is a repetition, not another one.
    """
    frames, n = len(y), len(last)
    blank, label = np.zeros((frames + 1, n)), np.zeros((frames + 1, n))
    from_blank, from_label = np.empty(n), np.empty(n)
    blank[0, start] = 1.0
    total = 0.0
    for t in range(frames):
        from_blank[:], from_label[:] = blank[t], label[t]
        entered = label[t + 1]
        for h in range(n):  # the longer histories come first, so that what backs off goes on
            a, b = from_blank[h], from_label[h]
            if a + b == 0.0:
                continue
            if shorter[h] >= 0:
                from_blank[shorter[h]] += backoff[h] * a
                from_label[shorter[h]] += backoff[h] * b
            for k in range(first[h], first[h + 1]):
                v = target[k]
                entered[v] += weight[k] * (a if last[v] == last[h] else a + b)
        scale = 0.0
        for h in range(n):
            blank[t + 1, h] = (blank[t, h] + label[t, h]) * y[t, BLANK]
            entered[h] = (entered[h] + label[t, h]) * y[t, last[h]] if last[h] != BLANK else 0.0
            scale += blank[t + 1, h] + entered[h]
        total += np.log(scale)
        blank[t + 1] /= scale
        entered /= scale
    total += np.log(((blank[frames] + label[frames]) * final).sum())
    # what follows each state, up to a factor that falls out of the posteriors
    after_blank, after_label = final.copy(), final.copy()
    for t in range(frames - 1, -1, -1):
        norm = 0.0
        for h in range(n):
            norm += blank[t + 1, h] * after_blank[h] + label[t + 1, h] * after_label[h]
        for h in range(n):
            posterior[t, BLANK] += blank[t + 1, h] * after_blank[h] / norm
            if last[h] != BLANK:
                posterior[t, last[h]] += label[t + 1, h] * after_label[h] / norm
            after_label[h] *= y[t, last[h]] if last[h] != BLANK else 0.0
        largest = 0.0
        for h in range(n - 1, -1, -1):
            a = b = 0.0
            for k in range(first[h], first[h + 1]):
                v = target[k]
                into = weight[k] * after_label[v]
                a += into
                if last[v] != last[h]:
                    b += into
            if shorter[h] >= 0:
                a += backoff[h] * from_blank[shorter[h]]
                b += backoff[h] * from_label[shorter[h]]
            from_blank[h], from_label[h] = a, b
        for h in range(n):
            stay = y[t, BLANK] * after_blank[h]
            after_blank[h] = stay + from_blank[h]
            after_label[h] = stay + after_label[h] + from_label[h]
            largest = max(largest, after_blank[h], after_label[h])
        after_blank /= largest
        after_label /= largest
    return total
