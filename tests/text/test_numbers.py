import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.text.numbers import spell_numbers


@pytest.mark.parametrize(
    ("numeral", "words"),
    [
        ("0", "ZERO"),
        ("13", "THIRTEEN"),
        ("42", "FORTY TWO"),
        ("100", "ONE HUNDRED"),
        ("115", "ONE HUNDRED FIFTEEN"),
        ("1,234", "ONE THOUSAND TWO HUNDRED THIRTY FOUR"),
        ("20000", "TWENTY THOUSAND"),
        ("1000000", "ONE MILLION"),
        ("999,999,999,999,999", None),
        ("1066", "ONE THOUSAND SIXTY SIX"),
        ("1900", "NINETEEN HUNDRED"),
        ("1905", "NINETEEN OH FIVE"),
        ("1984", "NINETEEN EIGHTY FOUR"),
        ("2000", "TWO THOUSAND"),
        ("2009", "TWO THOUSAND NINE"),
        ("2026", "TWENTY TWENTY SIX"),
        ("2500", "TWO THOUSAND FIVE HUNDRED"),
        ("007", "ZERO ZERO SEVEN"),
        ("1234567890123456", "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE ZERO ONE TWO THREE FOUR FIVE SIX"),
        ("3.14", "THREE POINT ONE FOUR"),
        ("0.05", "ZERO POINT ZERO FIVE"),
        ("-5", "MINUS FIVE"),
        ("3-5", "THREE - FIVE"),
        ("A -2.5", "A MINUS TWO POINT FIVE"),
        ("1ST", "FIRST"),
        ("2ND", "SECOND"),
        ("3RD", "THIRD"),
        ("12TH", "TWELFTH"),
        ("20TH", "TWENTIETH"),
        ("101ST", "ONE HUNDRED FIRST"),
        ("1000TH", "ONE THOUSANDTH"),
        ("1990S", "NINETEEN NINETIES"),
        ("60'S", "SIXTIES"),
        ("6S", "SIXES"),
        ("5%", "FIVE PERCENT"),
        ("FIFTY %, 5 % & %", "FIFTY PERCENT , FIVE PERCENT AND PERCENT"),
        ("ME@HOME.ORG @ 5%", "ME AT HOME.ORG AT FIVE PERCENT"),
        ("%UH @NAME &-5", "%UH @NAME AND MINUS FIVE"),
        ("$1", "ONE DOLLAR"),
        ("-$20", "MINUS TWENTY DOLLARS"),
        ("-$1", "MINUS ONE DOLLAR"),
        ("$5 MILLION OF $1 MILLIONAIRE", "FIVE MILLION DOLLARS OF ONE DOLLAR MILLIONAIRE"),
        ("$1.5 BILLION", "ONE POINT FIVE BILLION DOLLARS"),
        ("5 MILLION", "FIVE MILLION"),
        ("$3 MILLION DOLLARS OR £1 POUND", "THREE MILLION DOLLARS OR ONE POUND"),
        ("A $5 POUND BAG", "A FIVE DOLLARS POUND BAG"),
        ("£1S AND $1.5S", "ONE POUND AND ONE POINT FIVE DOLLARS"),
        ("5€ OR 1 £", "FIVE EUROS OR ONE POUND"),
        ("5 $10", "FIVE TEN DOLLARS"),
        (".5", "POINT FIVE"),
        ("-.25%", "MINUS POINT TWO FIVE PERCENT"),
        ("END.5", "END. FIVE"),
        ("1.5S", "ONE POINT FIVE S"),
        ("£2.50", "TWO POINT FIVE ZERO POUNDS"),
        ("R&D", "R AND D"),
        ("A4", "A FOUR"),
        ("4X4", "FOUR X FOUR"),
        ("5THX", "FIVE THX"),
        ("\u0664\u0662", "FORTY TWO"),
    ],
)
def test_numerals(numeral, words):
    spelled = " ".join(spell_numbers(numeral).split())
    if words is None:
        assert spelled.startswith("NINE HUNDRED NINETY NINE TRILLION NINE HUNDRED NINETY NINE BILLION")
    else:
        assert spelled == words


TEENS = {w + "TEEN": i for i, w in enumerate("THIR FOUR FIF SIX SEVEN EIGH NINE".split(), 13)}
TENS = {w + "TY": 10 * i for i, w in enumerate("TWEN THIR FOR FIF SIX SEVEN EIGH NINE".split(), 2)}
UNITS = {
    w: i for i, w in enumerate("ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ELEVEN TWELVE".split())
}
SCALES = {"THOUSAND": 10**3, "MILLION": 10**6, "BILLION": 10**9, "TRILLION": 10**12}


def value(words):
    """Read a cardinal the way a person adds it up."""
    total = part = 0
    for word in words:
        if word in SCALES:
            total, part = total + part * SCALES[word], 0
        elif word == "HUNDRED":
            part *= 100
        else:
            part += (UNITS | TEENS | TENS)[word]
    return total + part


@given(st.integers(0, 10**15 - 1))
def test_cardinals_read_back(n):
    assert value(spell_numbers(f"{n:,}").split()) == n
