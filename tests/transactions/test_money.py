"""Reading, rounding, sharing and adding exact amounts."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transactions.money import (
    LARGEST_AMOUNT,
    SMALLEST_AMOUNT,
    AmountOutOfRange,
    AmountTooFine,
    AmountUnparsable,
    MoneyTotals,
    ScaleOutOfRange,
    UnknownCurrency,
    currency_exponent,
    divide_half_even,
    divide_half_up,
    format_amount,
    parse_amount,
    share_out,
)

amounts = st.integers(SMALLEST_AMOUNT, LARGEST_AMOUNT)
scales = st.integers(0, 12)


@pytest.mark.parametrize(
    ("text", "scale", "amount"),
    [
        ("6.5", 2, 650),
        ("0.0", 2, 0),
        ("-3", 2, -300),
        (".00", 2, 0),
        (".5", 2, 50),
        ("5.", 2, 500),
        ("+7.25", 2, 725),
        (" 7.25\t", 2, 725),
        ("-0", 2, 0),
        ("007", 0, 7),
        ("17.500", 2, 1750),
        ("201.0400", 4, 2010400),
        ("12000", 0, 12000),
        ("0.0000000000000000000000000000", 2, 0),
        ("9223372036854775807", 0, LARGEST_AMOUNT),
        ("-92233720368547758.08", 2, SMALLEST_AMOUNT),
    ],
)
def test_a_plain_decimal_is_read_exactly(text: str, scale: int, amount: int) -> None:
    assert parse_amount(text, scale) == amount


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "-", "+.", "abc", "1,000.00", "1e3", "1E-05", "NaN", "inf", "-Infinity", "--1", "1.2.3",
     "1_000", "$5", "٣", "1٣.5", "²", "5 0", "0x10", "1\n", "1\0", "½"],
)  # fmt: skip
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(AmountUnparsable):
        parse_amount(text, 2)


def test_an_amount_that_is_not_a_text_is_refused() -> None:
    with pytest.raises(AmountUnparsable, match="not a text"):
        parse_amount(6.5, 2)  # type: ignore[arg-type]


def test_an_amount_finer_than_the_scale_is_refused_and_the_message_names_it() -> None:
    with pytest.raises(AmountTooFine, match=r"“1\.005” has 3 digits .* kept in 2"):
        parse_amount("1.005", 2)
    with pytest.raises(AmountTooFine):
        parse_amount("0.5", 0)


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "9" * 1_000_000])
def test_an_amount_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(AmountOutOfRange):
        parse_amount(text, 0)


def test_the_message_about_a_huge_text_is_short() -> None:
    with pytest.raises(AmountUnparsable) as refused:
        parse_amount("x" * 10_000_000, 2)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("scale", [-1, 13, 2.0, "2", None])
def test_a_scale_that_is_none_is_refused(scale: object) -> None:
    with pytest.raises(ScaleOutOfRange):
        parse_amount("1", scale)  # type: ignore[arg-type]


@given(amounts, scales)
def test_a_formatted_amount_is_read_back_to_the_same(amount: int, scale: int) -> None:
    text = format_amount(amount, scale)
    assert parse_amount(text, scale) == amount
    assert Decimal(text).scaleb(scale) == amount


@given(st.from_regex(r"[+-]?[0-9]{0,12}(\.[0-9]{0,12})?", fullmatch=True), scales)
def test_reading_agrees_with_decimal_or_refuses(text: str, scale: int) -> None:
    try:
        amount = parse_amount(text, scale)
    except AmountUnparsable:
        assert not any(character.isdigit() for character in text)
    except AmountTooFine:
        assert Decimal(text) % Decimal(1).scaleb(-scale) != 0
    except AmountOutOfRange:
        assert abs(Decimal(text).scaleb(scale)) > LARGEST_AMOUNT
    else:
        assert Fraction(Decimal(text)) * 10**scale == amount


@given(st.text(max_size=12), scales)
def test_any_text_is_read_or_refused_by_name(text: str, scale: int) -> None:
    try:
        amount = parse_amount(text, scale)
    except (AmountUnparsable, AmountTooFine, AmountOutOfRange):
        return
    assert Fraction(text.strip()) * 10**scale == amount


def test_amounts_are_shown_with_all_digits_of_their_scale() -> None:
    assert format_amount(-1230, 2) == "-12.30"
    assert format_amount(5, 3) == "0.005"
    assert format_amount(-5, 2) == "-0.05"
    assert format_amount(1200, 0) == "1200"


def test_currencies_have_the_exponent_of_iso_4217() -> None:
    assert [currency_exponent(code) for code in ("USD", "JPY", "KWD", "CHF")] == [2, 0, 3, 2]


@pytest.mark.parametrize("code", ["XXX", "XAU", "usd", "", "ABC", "US Dollar"])
def test_a_code_without_a_smallest_unit_is_refused(code: str) -> None:
    with pytest.raises(UnknownCurrency):
        currency_exponent(code)


@given(st.integers(), st.integers(1, 10**12))
def test_rounding_agrees_with_decimal_on_every_half(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    for rounded in (divide_half_up(numerator, denominator), divide_half_even(numerator, denominator)):
        assert abs(exact - rounded) <= Fraction(1, 2)
    for twice in (2 * numerator + 1, -2 * numerator - 1):
        half = Decimal(twice) * Decimal("0.5") if abs(twice) < 10**20 else None
        if half is not None:
            assert divide_half_up(twice, 2) == half.quantize(Decimal(1), ROUND_HALF_UP)
            assert divide_half_even(twice, 2) == half.quantize(Decimal(1), ROUND_HALF_EVEN)


@given(st.integers(), st.integers(1, 10**6))
def test_rounding_half_up_treats_both_signs_alike(numerator: int, denominator: int) -> None:
    assert divide_half_up(-numerator, denominator) == -divide_half_up(numerator, denominator)


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_shares_add_up_and_none_is_a_unit_away_from_its_due(amount: int, weights: list[int]) -> None:
    shares = share_out(amount, weights)
    assert sum(shares) == amount
    if sum(weights):
        due = [Fraction(amount * weight, sum(weights)) for weight in weights]
        assert all(abs(share - each) < 1 for share, each in zip(shares, due, strict=True))


def test_the_unit_left_over_goes_to_the_largest_remainder_and_then_the_first() -> None:
    assert share_out(100, [1, 1, 1]) == [34, 33, 33]
    assert share_out(10, [1, 2]) == [3, 7]
    assert share_out(7, [0, 0]) == [7, 0]
    with pytest.raises(ValueError, match="nothing to share"):
        share_out(7, [])


def test_totals_never_mix_currencies_or_scales() -> None:
    totals = MoneyTotals()
    totals.add("USD", 2, 1000)
    totals.add("USD", 4, 5)
    totals.add("JPY", 0, -300)
    totals.add("USD", 2, -2230)
    assert totals.shown() == [
        {"currency": "JPY", "scale": 0, "amount": "-300"},
        {"currency": "USD", "scale": 2, "amount": "-12.30"},
        {"currency": "USD", "scale": 4, "amount": "0.0005"},
    ]
    assert totals.amount("USD", 2) == -1230
    assert totals.amount("EUR", 2) == 0


added = st.lists(st.tuples(st.sampled_from(["USD", "JPY", "KWD"]), st.integers(0, 4), amounts))


@given(added, added)
def test_totals_of_chunks_merge_to_the_totals_of_all(
    one: list[tuple[str, int, int]], other: list[tuple[str, int, int]]
) -> None:
    parts = [MoneyTotals(), MoneyTotals()]
    whole = MoneyTotals()
    for part, entries in zip(parts, (one, other), strict=True):
        for entry in entries:
            part.add(*entry)
            whole.add(*entry)
    assert MoneyTotals.from_stored([*parts[0].stored(), *parts[1].stored()]) == whole
    parts[0].merge(parts[1])
    assert parts[0] == whole


def test_a_currency_whose_amounts_cancel_out_is_still_told_of() -> None:
    totals = MoneyTotals()
    totals.add("USD", 2, 5)
    totals.add("USD", 2, -5)
    assert totals.shown() == [{"currency": "USD", "scale": 2, "amount": "0.00"}]
