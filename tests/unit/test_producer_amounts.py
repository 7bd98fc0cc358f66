"""Amounts: their text in all forms that files have, digit for digit, and many records at once."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.encode import encode_rows
from producer.reading.amounts import MEMO_LIMIT, Amounts, are_plain, json_number
from producer.reading.errors import BadCellError, BadFormatError
from producer.reading.rows import Row, Rows
from service.wire.transactions import decode, encode_transaction


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3200", "3200"),
        ("3200.50", "3200.50"),
        ("-5", "-5"),
        ("+5", "5"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("000", "0"),
        (" 12 ", "12"),
        ("1e3", "1e3"),
        ("1E+3", "1e+3"),
        ("+.5e-3", "0.5e-3"),
        ("0.1234567890123456789012345", "0.1234567890123456789012345"),
        ("1e308", "1e308"),
    ],
)
def test_an_amount_becomes_a_json_number_with_the_same_digits(text: str, number: str) -> None:
    assert json_number(text) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nan", "amount 'nan' is not finite"),
        ("-Infinity", "amount '-Infinity' is not finite"),
        ("inf", "amount 'inf' is not finite"),
        ("1,000", "amount '1,000' is not a number"),
        ("abc", "amount 'abc' is not a number"),
        (".", "amount '.' is not a number"),
        ("-", "amount '-' is not a number"),
        ("e5", "amount 'e5' is not a number"),
        ("1e", "amount '1e' is not a number"),
        ("0x10", "amount '0x10' is not a number"),
        ("1_000", "amount '1_000' is not a number"),
        ("٣", "amount '٣' is not a number"),
        ("1 2", "amount '1 2' is not a number"),
        ("1\n", "amount '1\\n' is not a number"),
        ("$5", "amount '$5' is not a number"),
        ("1e309", "amount '1e309' is out of range"),
        ("1e-400", "amount '1e-400' is out of range"),
        ("1e999999999999", "amount '1e999999999999' is out of range"),
        ("9" * 65, f"amount '{'9' * 40}'... has more than 64 characters"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadCellError) as caught:
        json_number(text)
    assert str(caught.value) == reason


amounts = st.from_regex(r"[+-]?[0-9]{0,6}(\.[0-9]{0,6})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(amounts)
def test_a_json_number_is_the_same_decimal_and_valid_json_and_the_service_takes_it(text: str) -> None:
    try:
        number = json_number(text)
    except BadCellError:
        return
    assert Decimal(number) == Decimal(text)
    json.loads(number)
    assert decode(encode_transaction("tx1", 1_715_392_800_000, number)) is not None


@given(st.lists(st.one_of(amounts, st.text("0123456789.-+\n", max_size=8)), min_size=1, max_size=6))
@example(["1\n2"])
def test_plain_amounts_are_exactly_texts_that_would_stay_as_they_are(texts: list[str]) -> None:
    if are_plain(texts):
        assert [json_number(text) for text in texts] == texts


@pytest.mark.parametrize(
    ("decimal", "thousands", "style", "text", "number"),
    [
        (",", ".", "plain", "1.234,56", "1234.56"),
        (",", ".", "plain", "-1.234.567,8", "-1234567.8"),
        (",", ".", "plain", "1234,56", "1234.56"),
        (",", "", "plain", ",5", "0.5"),
        (",", "", "plain", "1,5e3", "1.5e3"),
        (".", ",", "plain", "1,234.50", "1234.50"),
        (".", ",", "plain", "0012", "12"),
        (".", "'", "plain", "1'234.50", "1234.50"),
        (".", "'", "plain", "1\u2019234.50", "1234.50"),
        (",", " ", "plain", "1 234,5", "1234.5"),
        (",", " ", "plain", "1\u00a0234\u202f567,5", "1234567.5"),
        (",", " ", "plain", "\u00a01 234,5\u00a0", "1234.5"),
        (".", "", "accounting", "(5.00)", "-5.00"),
        (".", "", "accounting", "5.00-", "-5.00"),
        (".", "", "accounting", "5.00 -", "-5.00"),
        (".", "", "accounting", "5.00+", "5.00"),
        (".", "", "accounting", "\u22125.00", "-5.00"),
        (".", "", "accounting", "$5", "5"),
        (".", "", "accounting", "-$5", "-5"),
        (".", "", "accounting", "$-5", "-5"),
        (".", "", "accounting", "$(5.00)", "-5.00"),
        (".", "", "accounting", "($5.00)", "-5.00"),
        (".", "", "accounting", "US$ 5", "5"),
        (".", "", "accounting", "R$5", "5"),
        (".", "", "accounting", "$5.00 USD", "5.00"),
        (".", "", "accounting", "\u00a35", "5"),
        (".", "", "accounting", "5\u20b9", "5"),
        (",", ".", "accounting", "1.234,56 \u20ac", "1234.56"),
        (",", ".", "accounting", "1.234,56\u00a0EUR", "1234.56"),
        (",", ".", "accounting", "\u20ac\u00a01.234,56-", "-1234.56"),
        (",", ".", "accounting", "-1.234,56 \u20ac", "-1234.56"),
        (".", "'", "accounting", "CHF 1'234.50", "1234.50"),
        (".", "", "accounting", "12.5", "12.5"),
    ],
)
def test_an_amount_is_read_in_the_style_that_is_named(
    decimal: str, thousands: str, style: str, text: str, number: str
) -> None:
    assert Amounts(decimal, thousands, accounting=style == "accounting")[text] == number


@pytest.mark.parametrize(
    ("decimal", "thousands", "style", "text"),
    [
        (",", ".", "plain", "1.23,4"),
        (",", ".", "plain", "1.2345"),
        (",", ".", "plain", ".123"),
        (",", ".", "plain", "1..234"),
        (",", ".", "plain", "1.234.56,7"),
        (",", ".", "plain", "1,234.5"),
        (",", "", "plain", "1.5"),
        (".", ",", "plain", "1234,567"),
        (".", ",", "plain", "1,234,"),
        (".", ",", "plain", "1.234,567"),
        (".", " ", "plain", "1  234"),
        (".", ",", "plain", "$5"),
        (".", "", "accounting", "(-5)"),
        (".", "", "accounting", "-(5)"),
        (".", "", "accounting", "-5-"),
        (".", "", "accounting", "(5"),
        (".", "", "accounting", "5)"),
        (".", "", "accounting", "()"),
        (".", "", "accounting", "$"),
        (".", "", "accounting", "-"),
        (".", "", "accounting", "$$5"),
        (".", "", "accounting", "5 usd"),
        (".", "", "accounting", "1,5"),
        (".", "", "accounting", ""),
    ],
)
def test_and_nothing_else_is_an_amount(decimal: str, thousands: str, style: str, text: str) -> None:
    with pytest.raises(BadCellError, match="is not a number"):
        Amounts(decimal, thousands, accounting=style == "accounting")[text]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1.234,56", "--decimal , --thousands ."),
        ("1,234.56", "--thousands ,"),
        ("1,000", "--thousands , or --decimal ,"),
        ("12,50", "--decimal ,"),
        ("1 234", "--thousands space"),
        ("1\u00a0234,5", "--decimal , --thousands space"),
        ("1'234.5", "--thousands '"),
        ("(5.00)", "--amount-style accounting"),
        ("5.00-", "--amount-style accounting"),
        ("$5", "--amount-style accounting"),
        ("\u20ac 1.234,56", "--decimal , --thousands . --amount-style accounting"),
    ],
)
def test_a_reject_names_the_options_that_would_read_it(text: str, hint: str) -> None:
    with pytest.raises(BadCellError) as caught:
        Amounts()[text]
    assert str(caught.value) == f"amount {text!r} is not a number; {hint} reads it"
    shortest = hint.split(" or ", maxsplit=1)[0].split()
    options = dict(zip(shortest[::2], shortest[1::2], strict=True))
    thousands = options.get("--thousands", "").replace("space", " ")
    assert Amounts(options.get("--decimal", "."), thousands, accounting="--amount-style" in options)[text]


def test_it_names_those_that_are_meant_where_others_are_in_force() -> None:
    for amounts, text, hint in [
        (Amounts(","), "1.5", "--decimal ."),
        (Amounts(","), "1.234", "--decimal . or --decimal , --thousands ."),
        (Amounts(".", ","), "12,5", "--decimal ,"),
    ]:
        with pytest.raises(BadCellError) as caught:
            amounts[text]
        assert str(caught.value) == f"amount {text!r} is not a number; {hint} reads it"


def test_three_thousandths_stay_three() -> None:
    assert Amounts()["3.000"] == "3.000"


@pytest.mark.parametrize(
    ("decimal", "thousands"),
    [("5", ""), ("", ""), ("..", ""), (".", "."), ("-", ""), (",", "x"), (" ", " "), (".", '"')],
)
def test_what_can_not_separate_digits_is_refused(decimal: str, thousands: str) -> None:
    with pytest.raises(BadFormatError):
        Amounts(decimal, thousands)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12))
@pytest.mark.parametrize(("decimal", "thousands"), [(",", "."), (".", ","), (".", "'"), (",", " ")])
def test_what_is_written_with_separators_is_the_same_number(decimal: str, thousands: str, value: Decimal) -> None:
    text = f"{value:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
    assert Decimal(Amounts(decimal, thousands)[text]) == value
    accounting = Amounts(decimal, thousands, accounting=True)
    unsigned = text.lstrip("-")
    assert Decimal(accounting[f"(\u20ac{unsigned})"]) == -abs(value)
    assert Decimal(accounting[f"{text} EUR"]) == value


def test_a_memo_of_amounts_does_not_grow_with_the_file() -> None:
    amounts = Amounts(",")
    for number in range(MEMO_LIMIT + 10):
        amounts[f"{number},5"]
    assert len(amounts) <= MEMO_LIMIT


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@given(
    st.lists(
        st.builds(Row, st.just(1), ids, st.integers(-(10**12), 10**13), amounts.filter(bool), st.just(())), max_size=5
    ),
    st.integers(0, 99),
)
def test_many_records_are_written_as_one_is(rows: list[Row], shift_ms: int) -> None:
    written = [one if isinstance(one, bytes) else one.encode() for one in encode_rows(Rows.of(rows), shift_ms)]
    assert written == [encode_transaction(key, event_ms + shift_ms, amount) for _, key, event_ms, amount, _ in rows]


@given(st.lists(st.tuples(ids, ids | st.just(""), ids | st.just("")), min_size=1, max_size=5), ids)
def test_further_cells_are_written_as_texts_behind_the_amount(cells: list[tuple[str, str, str]], name: str) -> None:
    rows = Rows.of([Row(1, key, 5, "1.50", further) for key, *further in cells])
    written = list(map(json.loads, encode_rows(rows, 0, [name, "second column"])))
    expected = {"timestamp": 5, "amount": 1.5}
    assert written == [
        {"transaction_id": key, **expected, name: first or None, "second column": second or None}
        for key, first, second in cells
    ]
