import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import LexiconError
from asr.text.lexicon import Lexicon, doubts, strip_stress
from asr.text.units import WORD_END


def lexicon_of(tmp_path, text):
    path = tmp_path / "lexicon.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Lexicon.load(path)


def test_layouts_are_understood(tmp_path):
    lexicon = lexicon_of(
        tmp_path,
        ";;; a comment\n# another one\n#one more\ncat\tK AE T\r\n\nNA\u00cfVE N # ice\nREAD R EH D #past\n"
        "READ  R EH D\nREAD(2) R IY D\nread R EH D\n"
        "<unk> SPN\n!SIL SIL\n[noise] NSN\no\u2019clock AH K L AA K\n",
    )
    assert lexicon.entries == {
        "CAT": (("K", "AE", "T"),),
        "NAÏVE": (("N",),),
        "READ": (("R", "EH", "D"), ("R", "IY", "D")),
        "O'CLOCK": (("AH", "K", "L", "AA", "K"),),
    }
    assert lexicon.phones() == ("AA", "AE", "AH", "D", "EH", "IY", "K", "L", "N", "R", "T")
    assert lexicon.probabilities == {}


def test_probability_column(tmp_path):
    lexicon = lexicon_of(tmp_path, "A 0.75 AH\nA 0.25 EY\nTHE 1.0 DH AH\n")
    assert lexicon.entries == {"A": (("AH",), ("EY",)), "THE": (("DH", "AH"),)}
    assert lexicon.probabilities == {"A": (0.75, 0.25), "THE": (1.0,)}
    lexicon.save(tmp_path / "again.txt")
    assert Lexicon.load(tmp_path / "again.txt") == lexicon
    assert lexicon.restricted(["THE"]).probabilities == {"THE": (1.0,)}


def test_probabilities_of_0_and_1_are_read_back(tmp_path):
    lexicon = Lexicon({"A": [("AH",), ("EY",)], "B": [("B",)]}, {"A": (1.0, 0.0), "B": (1e-7,)})
    assert lexicon.text() == "A 1 AH\nA 0.0 EY\nB 1e-07 B\n"
    lexicon.save(tmp_path / "lexicon.txt")
    assert Lexicon.load(tmp_path / "lexicon.txt") == lexicon
    # as lexicons prepared before have it
    assert lexicon_of(tmp_path, lexicon.text().replace("0.0 ", "0 ")) == lexicon


def test_numbers_as_units_are_no_probabilities(tmp_path):
    lexicon = lexicon_of(tmp_path, "MA m a 1\nBA 1 b\nKA k a 2\n")
    assert lexicon.entries["BA"] == (("1", "b"),)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("A AH\nCAT\n", 2, "'CAT' has no pronunciation"),
        ("A 0.5 AH\nB 0.5\n", 2, "'B' has no pronunciation"),
        ("A 0.5 AH\nA 0.5 EY\nB B\n", 3, "no probability from 0 to 1 after the word"),
        ("A 2.5 AH\nB 0.5 B\n", 1, "no probability from 0 to 1 after the word"),
        ("A AH\nNOTHING SIL\n", 2, "SIL as a phoneme of 'NOTHING'"),
        (b"A AH\nB \xff\n", 2, "not UTF-8"),
        ("A AH\nBA DA\tB A D A\n", 2, "a blank within the word 'BA DA'"),
        ("MA /m/ /a/\n", 1, "'m/' as a phoneme of 'MA'"),
        ("MA [m a] [m o]\n", 1, "'a\\]' as a phoneme of 'MA'"),
        ("BA,B A\n", 1, "a comma in the word 'BA,B'"),
        ("A AH\nBA\tB A, B O\n", 2, "'A,' as a phoneme of 'BA'"),
        ("A AH\nBA\tB / A\n", 2, "'/' as a phoneme of 'BA'"),
        ("", None, "holds no word"),
        (";;; nothing\n<unk> SPN\n", None, "holds no word"),
    ],
)
def test_bad_files_name_the_line(tmp_path, text, line, what):
    with pytest.raises(LexiconError, match=what) as e:
        lexicon_of(tmp_path, text)
    assert e.value.line == line
    assert str(e.value).startswith(str(tmp_path / "lexicon.txt"))


def test_a_missing_file(tmp_path):
    with pytest.raises(LexiconError, match="cannot be read"):
        Lexicon.load(tmp_path / "none.txt")


def test_notation_around_phonemes_is_none(tmp_path):
    """Comments, slashes, brackets and syllables are as others write them; accents are encoded in one way."""
    text = (
        "; mine\n// and\nMA /m a/\nMA(2) [m o] ; rare\nBA\t0b . b a\t# x\nTA t\u0303 a\nTA2 \u1e7d n\u0303\n"
    )
    entries = lexicon_of(tmp_path, text).entries
    assert entries["MA"] == (("m", "a"), ("m", "o")) and entries["BA"] == (("0b", "b", "a"),)
    assert entries["TA2"] == (("ṽ", "ñ"),)


def test_what_other_toolkits_write(tmp_path):
    """Kaldi's lexiconp.txt, dictionaries of the Montreal Forced Aligner, HTK and CMU, and X-SAMPA."""
    kaldi = lexicon_of(tmp_path, "HELLO 1.0\tHH AH\nBYE 0.5\tB AY # x\n")
    assert kaldi.entries["BYE"] == (("B", "AY"),) and kaldi.chances("BYE") == (0.5,)
    aligner = lexicon_of(tmp_path, "hello\t0.99\t0.2\t1.0\t1.08\th @\nma\t0.5\t0.2\t1.2\t1.0\tm 1\n")
    assert aligner.entries["MA"] == (("m", "1"),) and aligner.chances("HELLO") == (0.99,)
    others = (
        "HELLO [HELLO] hh ah\n<s> []\n,COMMA K AA\nba b\ta d\tx\nma m a \t# comment\nfoo f ;_x\n<s> , x\n"
    )
    entries = lexicon_of(tmp_path, others).entries
    assert entries["HELLO"] == (("hh", "ah"),) and entries["BA"] == (("b", "a", "d", "x"),)
    assert entries["FOO"] == (("f", ";_x"),) and "<S>" not in entries and ",COMMA" in entries


def test_doubts(tmp_path):
    words = "MA KA BA DA TA".split()
    path = tmp_path / "lexicon.txt"
    joined, apart = Lexicon({w: [(w,)] for w in words}), Lexicon({w: [tuple(w)] for w in words})
    assert "one phoneme for each word, as MA for MA; write blanks" in str(doubts(joined, path, "xx")[0])
    assert doubts(apart, path, "xx") == []


def test_probabilities_follow_how_often_words_were_said_in_each_way():
    lexicon = Lexicon({"A": [("AH",), ("EY",)], "B": [("B",)], "THE": [("DH", "AH"), ("DH", "IY")]})
    spoken = {"A": {("AH",): 8, ("EY",): 2}, "B": {("B",): 5}}
    again = lexicon.reestimated(spoken)
    assert again.entries == lexicon.entries
    assert again.probabilities == {"A": (1.0, 3 / 9)}  # one more each, as they were equally probable
    weighted = Lexicon(lexicon.entries, {"A": (0.5, 1.0), "THE": (1.0, 0.25)}).reestimated(spoken)
    assert weighted.probabilities == {"A": (1.0, 3 / 8.5), "THE": (1.0, 0.25)}
    assert lexicon.reestimated({}) == lexicon


def test_bad_entries():
    with pytest.raises(LexiconError, match="'A'"):
        Lexicon({"A": [()]})
    with pytest.raises(LexiconError, match="'A'"):
        Lexicon({"A": [("AH",)]}, {"A": (0.5, 0.5)})


words = st.text("ABC'É", min_size=1, max_size=5).filter(lambda w: w.strip("'"))
pronunciations = st.lists(st.sampled_from(["A", "B", "TS"]), min_size=1, max_size=4).map(tuple)


probabilities = st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1))


@given(st.lists(probabilities, min_size=1, max_size=9))
def test_every_probability_is_read_back(tmp_path_factory, chances):
    words = [f"W{i}" for i in range(len(chances))]
    weights = {word: (p,) for word, p in zip(words, chances, strict=True)}
    lexicon = Lexicon({word: [("A",)] for word in words}, weights)
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.txt"
    lexicon.save(path)
    again = Lexicon.load(path)
    assert again.entries == lexicon.entries
    assert [again.probabilities[word][0] for word in words] == pytest.approx(chances, rel=1e-5)


@given(entries=st.dictionaries(words, st.lists(pronunciations, min_size=1, max_size=3), min_size=1))
def test_saved_and_loaded_is_the_same(tmp_path_factory, entries):
    lexicon = Lexicon(entries)
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.txt"
    lexicon.save(path)
    assert Lexicon.load(path) == lexicon


def test_pronounce_takes_the_canonical_ones_and_names_the_missing_word():
    lexicon = Lexicon({"A": [("AH",), ("EY",)], "CAT": [("K", "AE", "T")]})
    assert lexicon.pronounce("A CAT A") == ["AH", "K", "AE", "T", "AH"]
    with pytest.raises(LexiconError, match="'DOG'"):
        lexicon.pronounce("A DOG")


def test_restricted_and_oov():
    lexicon = Lexicon({"A": [("AH",)], "CAT": [("K", "AE", "T")]})
    assert list(lexicon.restricted(["CAT", "DOG"]).entries) == ["CAT"]
    assert list(lexicon.oov(["A DOG", "EMU A EMU", ""]).items()) == [("EMU", 2), ("DOG", 1)]


def test_spelling():
    assert Lexicon.spelling(["CAT", "IT'S"]).entries == {
        "CAT": (("C", "A", "T", WORD_END),),
        "IT'S": (("I", "T", "'", "S", WORD_END),),
    }


def test_stress_is_stripped_from_arpabet_only():
    assert strip_stress(["AH0", "K", "EY2", "a1", "5"]) == ("AH", "K", "EY", "a1", "5")


def test_cmudict(cmudict):
    assert len(cmudict.phones()) == 39
    assert cmudict.entries["READ"] == (("R", "EH", "D"), ("R", "IY", "D"))
    assert cmudict.pronounce("DON'T PANIC") == "D OW N T P AE N IH K".split()
    assert all(word == word.upper() for word in cmudict.entries)
