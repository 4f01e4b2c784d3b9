import random

import pytest

from asr.errors import LexiconError
from asr.espeak import phonemes
from asr.text import g2p
from asr.text.g2p import Mapping, complete, pronounce_unknown
from asr.text.lexicon import Lexicon
from asr.text.normalize import uppercase


def edits(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


def phone_error_rate(guesses, lexicon):
    """Per cent, against the nearest listed pronunciation of each word."""
    pairs = [
        min((edits(phones, p), len(p)) for p in lexicon.entries[word]) for word, phones in guesses.items()
    ]
    return 100 * sum(e for e, _ in pairs) / sum(n for _, n in pairs)


def split(lexicon, held_out, kept):
    words = sorted(w for w in lexicon.entries if w.isalpha())
    random.Random(1).shuffle(words)
    return words[:held_out], lexicon.restricted(words[held_out : held_out + kept])


def test_mapping_learns_none_one_and_two_and_the_neighbours():
    """a -> A, b -> B, c -> nothing, d -> D E, and t -> TT but CH before u."""
    rng = random.Random(0)
    table = {"a": ("A",), "b": ("B",), "c": (), "d": ("D", "E"), "u": ("U",)}

    def rewritten(source):
        after = (*source[1:], "#")
        return tuple(
            phone
            for s, right in zip(source, after, strict=True)
            for phone in (table[s] if s != "t" else (("CH",) if right == "u" else ("TT",)))
        )

    sources = [
        tuple(rng.choices("abdutc", weights=[3, 3, 3, 3, 3, 1], k=rng.randint(3, 7))) for _ in range(600)
    ]
    pairs = [(s, rewritten(s)) for s in sources if 0 < len(rewritten(s)) <= 2 * len(s)]
    mapping = Mapping(pairs[:500])
    assert sum(mapping(s) != t for s, t in pairs[500:]) <= 2
    assert mapping(("x", "a")) == ()  # rather no guess than one that lacks a phoneme
    assert mapping(("ˈa", "bː", "U", "d")) == ("A", "B", "U", "D", "E")


def test_align_is_the_cheapest_cut():
    costs = {("x", ("A", "B")): 0.1, ("y", ()): 0.1, ("y", ("C",)): 0.2, ("z", ("C",)): 0.1}
    assert g2p._align(("x", "y", "z"), ("A", "B", "C"), costs) == [("A", "B"), (), ("C",)]


def test_known_words_need_no_guess(cmudict):
    lexicon = Lexicon({"A": [("AH",)]})
    assert complete(lexicon, ["A"]) == (lexicon, [])


@pytest.mark.parametrize("language", ["en", "en-US"])
def test_english_words_come_from_cmudict_and_only_the_rest_is_guessed(cmudict, language):
    lexicon = Lexicon({"A": [("AH",)]}, {"A": (1.0,)})
    larger, guessed = complete(lexicon, ["READ", "A", "BLORPIFY", "电话", "BLORPIFY"], language)
    assert guessed == ["BLORPIFY"]
    assert larger.entries["A"] == (("AH",),)
    assert larger.entries["READ"] == cmudict.entries["READ"]
    assert larger.probabilities == {"A": (1.0,)}
    (phones,) = larger.entries["BLORPIFY"]
    assert (phones[:3], phones[-2:]) == (("B", "L", "AO"), ("F", "AY"))
    assert "电话" not in larger


def test_another_phoneme_set_is_learned_from_the_lexicon_itself(cmudict):
    """The units are renamed, so that no table of ours could know them; a few hundred words teach them."""
    names = {phone: f"ph{i}" for i, phone in enumerate(cmudict.phones())}
    renamed = Lexicon(
        {w: [tuple(names[x] for x in p) for p in cmudict.entries[w]] for w in list(cmudict.entries)[::150]}
    )
    held_out, teacher = split(renamed, 100, 500)
    larger, guessed = complete(teacher, held_out)
    assert guessed == held_out
    assert phone_error_rate({w: larger.entries[w][0] for w in guessed}, renamed) < 18


def test_too_small_a_lexicon_says_so():
    with pytest.raises(LexiconError, match="no pronunciation for DOG, and the lexicon's 1 words are too few"):
        complete(Lexicon({"CAT": [("k", "a", "t")]}), ["DOG"])


@pytest.mark.parametrize(
    ("language", "same"),
    [
        ("sv-SE", "sv"), ("ga-IE", "ga"), ("zh-CN", "cmn"), ("zh_TW", "cmn"), ("zh-HK", "yue"),
        ("nn-NO", "nb"), ("no", "nb"), ("en", "en-us"), ("en-GB", "en"), ("pt-BR", "pt-br"), ("pt-PT", "pt"),
    ],
)  # fmt: skip
def test_a_region_gets_its_own_voice_or_that_of_the_language(language, same):
    words = ["katt", "后来", "better", "gente", "dia"]
    assert g2p.spoken(words, language) == phonemes(words, same)


def test_turkish_words_keep_their_two_letters_i():
    said = g2p.spoken([uppercase(w, "tr") for w in ("ışık", "sıcak", "diş")], "tr-TR")
    assert said == phonemes(["ışık", "sıcak", "diş"], "tr") and "ɯ" in said[0] and "ɯ" not in said[2]


@pytest.mark.parametrize("language", ["rw", "rm-sursilv"])
def test_a_language_without_a_voice_says_what_to_do(language):
    with pytest.raises(LexiconError, match=f"does not speak the language '{language}'.*--lexicon FILE"):
        g2p.spoken(["amazi"], language)


def test_the_same_guess_every_time(cmudict):
    held_out, teacher = split(cmudict, 20, 300)
    assert pronounce_unknown(held_out, teacher) == pronounce_unknown(held_out, teacher)


@pytest.mark.slow
def test_phone_error_rate_on_held_out_words(cmudict):
    held_out, teacher = split(cmudict, 2000, len(cmudict))
    guesses = pronounce_unknown(held_out, teacher)
    # a vowel of it is French, and in none of the words that teach
    assert set(held_out) - set(guesses) == {"RAPPROCHEMENT"}
    assert phone_error_rate(guesses, cmudict) < 9.5  # measured: 9.2
