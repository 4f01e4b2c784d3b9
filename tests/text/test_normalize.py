import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.text.normalize import (
    _TONES,
    base_language,
    characters,
    lowercase,
    normalize,
    unknown_characters,
    uppercase,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We call it bear.", "WE CALL IT BEAR"),
        ("  it\u2019s\tO`Clock\n", "IT'S O'CLOCK"),
        ("rock 'n' roll, the dogs' 'quoted' don''t", "ROCK N ROLL THE DOGS QUOTED DON T"),
        ("well-known \u2013 state\u2014of", "WELL KNOWN STATE OF"),
        ("caf\u00e9 cafe\u0301", "CAFÉ CAFÉ"),
        ("co\u00adoperate \ufeffx", "COOPERATE X"),
        ("\uff28\uff49 ﬁne", "HI FINE"),
        ("under_score a/b <s> [x]", "UNDER SCORE A B S X"),
        ("1st place, 50%", "FIRST PLACE FIFTY PERCENT"),
        ("3½ miles, 12 ¾, ½ of it", "THREE AND A HALF MILES TWELVE AND THREE QUARTERS A HALF OF IT"),
        ("10² or 2⅝", "TEN TWO OR TWO FIVE EIGHT"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_english(text, expected):
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        (
            "5€. or 5 € 50 or 20$, 5 $...",
            "en",
            "FIVE EUROS OR FIVE EUROS FIFTY OR TWENTY DOLLARS FIVE DOLLARS",
        ),
        ("the 21st £ coin", "en", "THE TWENTY FIRST COIN"),
        ("a\u034f\u0301 e\ufe0f\u0301", "fr", "Á É"),  # what stood between letter and mark is gone
        ("Größe: 5 Straßen", "de", "GRÖẞE 5 STRAẞEN"),
        ("L\u2019\u00e9t\u00e9, aujourd\u2019hui", "fr", "L'ÉTÉ AUJOURD'HUI"),
        ("istanbul ılık", "tr-TR", "İSTANBUL ILIK"),
        ("istanbul `da", "tr", "İSTANBUL DA"),
        ("i\u0307stanbul", "tr", "İSTANBUL"),
        ("wir \u2764\ufe0f 1\ufe0f\u20e3 \u00a8 a", "de", "WIR 1 A"),
        ("'\u0301a e\u0301", "fr", "A É"),
        ("二〇〇八年", "zh", "二〇〇八年"),
        ("Bir iki", "az_AZ", "BİR İKİ"),
        ("Привет, мир!", "ru", "ПРИВЕТ МИР"),
        ("नमस्ते दुनिया।", "hi", "नमस्ते दुनिया"),
        ("你好，世界。", "zh", "你好 世界"),
        ("Seven 7", "en_US", "SEVEN SEVEN"),
        ("3½ km²", "de", "3 1 2 KM2"),
        ("col·lecció, coŀlegi · a·b", "ca", "COL·LECCIÓ COL·LEGI A B"),
        ("צה״ל ג׳ירפה ״שלום״", "he", "צה״ל ג׳ירפה שלום"),
        ("كـتاب", "ar", "كتاب"),
        ("\u02bca ba\u02bca ba\u02bc 'ta\u2019 ba'a", "nv", "\u02bcA BA\u02bcA BA\u02bc TA BA'A"),
        ("\u02bcтис м\u02bcята м\u2019ята", "uk", "ТИС М'ЯТА М'ЯТА"),
        ("c\u02bchoar", "br", "C'HOAR"),
        ("ng\u02bcombe ng\u2019ombe", "swa", "NG'OMBE NG'OMBE"),
        ("ma\u02e5 ma\u02e7\u02e5, ba\ua789ba\ua716", "xx", "MA\u02e5 MA\u02e7\u02e5 BA\ua789BA\ua716"),
        ("3\u00bd km", "deu", "3 1 2 KM"),
        ("Seven 7", "eng_GB", "SEVEN SEVEN"),
    ],
)
def test_other_scripts(text, language, expected):
    assert normalize(text, language) == expected


@given(st.text(), st.sampled_from(["en", "de", "tr", "hi", "nv"]))
def test_applying_it_twice_changes_nothing(text, language):
    once = normalize(text, language)
    assert normalize(once, language) == once


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_only_letters_marks_and_inner_apostrophes_remain(text):
    words = normalize(text).split(" ")
    assert words == [""] or all(words)
    for word in words:
        assert not re.search(r"^'|'$|''", word)
        assert all(
            c in "'·׳״"
            or c in _TONES
            or unicodedata.category(c)[0] in "LM"
            or unicodedata.category(c) == "Nl"
            for c in word
        )


@given(st.text(alphabet="abc'’-. \t1é"))
def test_ascii_and_unicode_paths_agree(text):
    assert normalize(text + " é") == (normalize(text) + " É").strip()


def test_every_character_alone_and_inside_a_word_is_stable():
    for i in range(0x3000):
        text = f"a{chr(i)}b {chr(i)}"
        assert normalize(normalize(text)) == normalize(text), hex(i)


def test_uppercase_keeps_what_is_no_letter():
    assert uppercase("Don\u2019t(2)") == "DON'T(2)"


@pytest.mark.parametrize("language", ["tr", "tr-TR", "AZ", "az_AZ"])
def test_turkish_and_azeri_have_two_letters_i(language):
    assert uppercase("istanbul", language) == "İSTANBUL"
    assert uppercase("ılıca iki", language) == "ILICA İKİ"


@pytest.mark.parametrize("language", ["tr", "az-AZ"])
@pytest.mark.parametrize("word", ["ışık", "istanbul", "sıcak", "diyarbakır", "x"])
def test_lower_case_undoes_upper_case(word, language):
    assert lowercase(uppercase(word, language), language) == word
    assert lowercase("IŞIK") == "işik"


def test_a_language_without_its_region():
    assert [base_language(code) for code in ("en", "en-US", "EN_gb", "zh-HK")] == ["en", "en", "en", "zh"]


def test_codes_of_three_letters_are_those_of_two():
    codes = {"spa": "es", "ger": "de", "deu-AT": "de", "swh": "sw", "cmn": "zh", "nv": "nv", "kab": "kab"}
    assert [base_language(code) for code in codes] == list(codes.values())
    assert base_language("my language") == "my language" and base_language("") == ""


def test_characters_are_sorted_and_distinct():
    assert characters(["BAD", "DAB'S", "A B"]) == ("'", "A", "B", "D", "S")


def test_unknown_characters_in_order_of_appearance():
    assert unknown_characters("ÑANDÚ ÑA", "ABCDN") == ("Ñ", "Ú")
    assert unknown_characters("A B", ["A", "B"]) == ()
