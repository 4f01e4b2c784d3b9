"""Estimates against an independent, slow implementation of the formulas."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import LanguageModelError
from asr.text.ngram import NGram

sentences = st.lists(
    st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=12
)


class Slow:
    """Chen and Goodman (1999), equation 27, straight from the page: one recursion, no tables."""

    def __init__(self, texts, order):
        self.rows = [["<s>", *t.split(), "</s>"] for t in texts]
        self.order = min(order, max(map(len, self.rows)))
        self.vocabulary = {w for row in self.rows for w in row} - {"<s>"} | {"<unk>"}
        self.counts = [self.adjusted(n) for n in range(1, self.order + 1)]
        self.discounts = [self.discount(c) for c in self.counts]

    def raw(self, n):
        return Counter(tuple(r[i : i + n]) for r in self.rows for i in range(len(r) - n + 1))

    def adjusted(self, n):
        if n == self.order:
            counts = self.raw(n)
        else:
            counts = Counter(gram[1:] for gram in self.raw(n + 1))
            counts.update({gram: c for gram, c in self.raw(n).items() if gram[0] == "<s>"})
        counts.pop(("<s>",), None)
        return counts

    def discount(self, counts):
        n1, n2, n3, n4 = (sum(c == i for c in counts.values()) for i in (1, 2, 3, 4))
        if 0 in (n1, n2, n3):
            return 0.5, 1.0, 1.5
        y = n1 / (n1 + 2 * n2)
        d = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
        return d if all(0 < x <= i for i, x in enumerate(d, 1)) else (0.5, 1.0, 1.5)

    def p(self, word, context):
        """P(word | context), context of at most order - 1 words."""
        counts, d = self.counts[len(context)], self.discounts[len(context)]
        lower = self.p(word, context[1:]) if context else 1 / len(self.vocabulary)
        after = {g[-1]: c for g, c in counts.items() if g[:-1] == context}
        total = sum(after.values())
        if not total:
            return lower
        c = after.get(word, 0)
        gamma = sum(d[min(c, 3) - 1] for c in after.values()) / total
        return (c - d[min(c, 3) - 1] if c else 0) / total + gamma * lower

    def score(self, text):
        words = ["<s>", *(w if w in self.vocabulary else "<unk>" for w in text.split()), "</s>"]
        return [
            math.log10(self.p(words[i], tuple(words[max(0, i - self.order + 1) : i])))
            for i in range(1, len(words))
        ]


@settings(deadline=None, max_examples=60)
@given(texts=sentences, queries=sentences, order=st.integers(1, 4))
def test_equals_the_formulas(texts, queries, order):
    model, slow = NGram.estimate(texts, order), Slow(texts, order)
    assert model.order == slow.order
    for text in [*queries, *texts, "A UNSEEN B"]:
        assert model.score(text) == pytest.approx(slow.score(text), abs=1e-9)


def test_equals_the_formulas_with_estimated_discounts():
    """Counts of counts as in natural text, so that no discount falls back."""
    words = [f"W{i}" for i in range(60)]
    texts = [" ".join(words[(i * j + j * j) % (i % 59 + 1)] for j in range(1, 9)) for i in range(300)]
    slow = Slow(texts, 3)
    assert sum(d != (0.5, 1.0, 1.5) for d in slow.discounts) >= 2
    model = NGram.estimate(texts, 3)
    for text in [*texts[::40], "W1 W50 W2 W2", "W59 W58 W57"]:
        assert model.score(text) == pytest.approx(slow.score(text), abs=1e-9)


def test_by_hand():
    """Bigrams of "A B" and "A C": D = (.5, 1, 1.5); 1-gram counts A, B, C 1, </s> 2, uniform 1/5."""
    model = NGram.estimate(["A B", "A C"], 2)
    gamma = (3 * 0.5 + 1.0) / 5
    p_a, p_b, p_end = 0.5 / 5 + gamma / 5, 0.5 / 5 + gamma / 5, 1 / 5 + gamma / 5
    assert 10 ** model.probabilities[0]["<unk>"] == pytest.approx(gamma / 5)
    assert 10 ** model.score("A B") == pytest.approx(
        [(2 - 1) / 2 + 0.5 * p_a, (1 - 0.5) / 2 + 0.5 * p_b, (1 - 0.5) / 1 + 0.5 * p_end]
    )
    assert 10 ** model.backoffs[0]["A"] == pytest.approx(0.5)


@settings(deadline=None, max_examples=40)
@given(texts=sentences, order=st.integers(1, 4))
def test_every_history_sums_to_one(texts, order):
    model = NGram.estimate(texts, order, vocabulary=["NEVER", "A"])
    assert "NEVER" in model.vocabulary
    words = [*model.vocabulary, "<unk>", "</s>"]
    histories = {"<s>"} | {h for table in model.backoffs for h in table} | {"<s> E D", "E E E", "NEVER"}
    for history in sorted(histories):
        if history.endswith("</s>"):
            continue
        context = history.split()
        total = sum(10 ** model._score([*context, w], len(context)) for w in words)
        assert total == pytest.approx(1.0, abs=1e-9), history


@settings(deadline=None, max_examples=40)
@given(texts=sentences, order=st.integers(1, 4))
def test_every_shorter_ngram_has_a_back_off_and_every_prefix_and_suffix_an_entry(texts, order):
    model = NGram.estimate(texts, order)
    for table, shorter, weights in zip(
        model.probabilities[1:], model.probabilities, model.backoffs, strict=False
    ):
        assert weights.keys() == shorter.keys()
        for gram in table:
            assert gram.rpartition(" ")[0] in shorter
            assert gram.partition(" ")[2] in shorter
            assert table[gram] <= 0


def test_order_is_lowered_to_the_longest_sentence():
    assert NGram.estimate(["ONE", "TWO", ""], 4).order == 3


def test_unseen_words_of_the_vocabulary_score_as_unknown_ones():
    model = NGram.estimate(["A B"], 2, vocabulary=["C"])
    assert model.probabilities[0]["C"] == model.probabilities[0]["<unk>"]


def test_repeated_sentences_are_likelier():
    model = NGram.estimate(["GO ON"] * 9 + ["GO UP"], 2)
    assert model.score("GO ON").sum() > model.score("GO UP").sum()


@pytest.mark.parametrize(
    ("texts", "order", "what"),
    [
        ([], 3, "no sentence"),
        (["", " "], 3, "no sentence"),
        (["A", "A <s>"], 3, "sentence 2"),
        (["A"], 0, "order 0"),
    ],
)
def test_bad_input(texts, order, what):
    with pytest.raises(LanguageModelError, match=what):
        NGram.estimate(texts, order)
