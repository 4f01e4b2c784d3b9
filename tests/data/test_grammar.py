import re

import numpy as np

from asr.data.grammar import RULES, sentence, vocabulary
from asr.data.synth import lm_sentences
from asr.text.lexicon import Lexicon
from asr.text.ngram import NGram


def test_vocabulary_is_large_and_pronounceable():
    lexicon = Lexicon.cmudict()
    assert len(vocabulary()) >= 500
    assert [word for word in vocabulary() if word.upper() not in lexicon] == []


def test_every_rule_is_defined_and_used():
    used = {name for text in RULES.values() for name in re.findall(r"<(\w+)>", text)} | {"sentence"}
    assert used == set(RULES)


def test_sentences_are_short_and_within_the_vocabulary():
    random = np.random.default_rng(1)
    drawn = [sentence(random).split() for _ in range(2000)]
    assert {word for words in drawn for word in words} <= set(vocabulary())
    assert 3 <= np.percentile([len(words) for words in drawn], 5)
    assert np.percentile([len(words) for words in drawn], 95) <= 11


def test_lm_text_covers_the_vocabulary_and_is_neither_trivial_nor_hopeless():
    text = lm_sentences(0, 4000)
    assert {word for line in text for word in line.split()} == {word.upper() for word in vocabulary()}
    random = np.random.default_rng(2)
    perplexity = NGram.estimate(text, 3).perplexity([sentence(random).upper() for _ in range(300)])
    assert 15 < perplexity < 60
    assert lm_sentences(0, 10)[:10] == text[:10]
    assert lm_sentences(1, 10)[:10] != text[:10]
