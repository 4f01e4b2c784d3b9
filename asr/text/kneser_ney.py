"""Interpolated modified Kneser-Ney estimates of n-gram probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asr.errors import LanguageModelError

BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts of counts give none, as kenlm's --discount_fallback
Tables = list[dict[str, float]]


@dataclass
class _Order:
    """The distinct n-grams of one order, as columns.

    Attributes
    ----------
    prefix
        (n-grams,) index of the first n-1 words among the n-grams of the order below.
    suffix
        (n-grams,) index of the last n-1 words among the n-grams of the order below.
    word
        (n-grams,) id of the last word.
    count
        (n-grams,) how often they occur; below the highest order, for those that do not start with ``<s>``,
        how many different words precede them.
    """

    prefix: np.ndarray
    suffix: np.ndarray
    word: np.ndarray
    count: np.ndarray


def estimate(sentences: Iterable[str], order: int, vocabulary: Iterable[str] = ()) -> tuple[Tables, Tables]:
    """log10 probabilities and back-off weights of all orders; see `NGram.estimate`.

    With c the (adjusted) count, N_i the number of words that follow h with count i (3 or more for i = 3):

        P(w | h) = max(0, c(hw) - D(c(hw))) / c(h·)  +  γ(h) P(w | h')
        γ(h)     = (D_1 N_1(h·) + D_2 N_2(h·) + D_3 N_3(h·)) / c(h·)

    down to the uniform distribution over the vocabulary with ``</s>`` and ``<unk>``. γ(h) is the back-off
    weight, so that n-grams that were never seen need no entry.
    """
    if order < 1:
        raise LanguageModelError(f"order {order} is no n-gram order", fix="take 1 to 4")
    words, tokens = _encode(sentences, vocabulary)
    orders = _count(tokens, len(words), order)
    begins = words.index(BOS)

    # The empty context backs off to the uniform distribution.
    lower = np.full(1, 1 / (len(words) - 1))
    names = [""]
    probabilities: Tables = []
    backoffs: Tables = []
    for n, grams in enumerate(orders, 1):
        count = grams.count.astype(float)
        if n == 1:
            count[begins] = 0  # <s> is a context, never a prediction
        discounts = _discounts(count)
        grade = np.minimum(count, 3).astype(int)
        total = np.bincount(grams.prefix, count, minlength=len(lower) if n > 1 else 1)
        total_discount = np.bincount(grams.prefix, discounts[grade], minlength=len(total))
        gamma = np.divide(total_discount, total, out=np.ones_like(total), where=total > 0)
        p = (count - discounts[grade]) / total[grams.prefix] + gamma[grams.prefix] * lower[grams.suffix]
        if n > 1:
            backoffs.append(dict(zip(names, np.log10(gamma).tolist(), strict=True)))
        logs = np.log10(p)
        if n == 1:
            logs[begins] = -99
        before = [f"{name} " for name in names] if n > 1 else [""]
        names = [
            before[i] + words[w] for i, w in zip(grams.prefix.tolist(), grams.word.tolist(), strict=True)
        ]
        probabilities.append(dict(zip(names, logs.tolist(), strict=True)))
        lower = p
    return probabilities, backoffs


def _encode(sentences: Iterable[str], vocabulary: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """The sorted words and all sentences as one row of their ids, ``<s>`` and ``</s>`` included."""
    ids: dict[str, int] = {BOS: 0, EOS: 1, UNKNOWN: 2}
    tokens: list[int] = []
    for line, sentence in enumerate(sentences, 1):
        split = sentence.split()
        if not split:
            continue
        for word in split:
            if ids.setdefault(word, len(ids)) < 3:
                raise LanguageModelError(f"sentence {line} holds the reserved word {word!r}", fix="remove it")
        tokens += [0, *(ids[word] for word in split), 1]
    if not tokens:
        raise LanguageModelError("no sentence to estimate a language model from")
    for word in vocabulary:
        ids.setdefault(word, len(ids))
    words = sorted(ids)
    rank = np.empty(len(ids), dtype=np.int64)
    rank[[ids[word] for word in words]] = np.arange(len(ids))
    return words, rank[tokens]


def _count(tokens: np.ndarray, size: int, order: int) -> list[_Order]:
    """Distinct n-grams with adjusted counts for the orders 1 to `order`, or as far as there are any.

    An n-gram is numbered by its prefix's number and its last word, so that every order takes one sort.
    """
    ends = np.flatnonzero(tokens == tokens[-1])  # every </s>, and nothing else
    room = (
        np.repeat(ends, np.diff(ends, prepend=-1)) - np.arange(len(tokens)) + 1
    )  # tokens left in the sentence
    zeros = np.zeros(size, dtype=np.int64)
    orders = [_Order(zeros, zeros, np.arange(size), np.bincount(tokens, minlength=size))]
    at = tokens  # number of the n-gram that starts at each token
    for n in range(2, order + 1):
        starts = np.flatnonzero(room >= n)
        if not len(starts):
            break
        keys, first, inverse, counts = np.unique(
            at[starts] * size + tokens[starts + n - 1],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        orders.append(_Order(keys // size, at[starts[first] + 1], keys % size, counts))
        at = np.full(len(tokens), -1)
        at[starts] = inverse
    begins = np.array([True])
    for n, (grams, longer) in enumerate(pairwise(orders), 1):
        begins = grams.word == tokens[0] if n == 1 else begins[grams.prefix]
        grams.count = np.where(begins, grams.count, np.bincount(longer.suffix, minlength=len(grams.count)))
    return orders


def _discounts(counts: np.ndarray) -> np.ndarray:
    """(4,) discounts of n-grams counted 0, 1, 2 and 3 or more times.

    Reference: Chen and Goodman (1999), equation 26.
    """
    n1, n2, n3, n4 = (int((counts == i).sum()) for i in (1, 2, 3, 4))
    found = FALLBACK
    if n1 and n2 and n3:
        y = n1 / (n1 + 2 * n2)
        estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < d <= i for i, d in enumerate(estimated, 1)):
            found = estimated
    return np.array([0.0, *found])
