"""An amount's text to its value, digit for digit, in the ways that files write it; many records at once."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.encode import encode_rows
from producer.reading.amounts import are_plain, json_number
from producer.reading.errors import BadCellError
from producer.reading.rows import Rows
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


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@given(
    st.lists(st.tuples(st.just(1), ids, st.integers(-(10**12), 10**13), amounts.filter(bool)), max_size=5),
    st.integers(0, 99),
)
def test_many_records_are_written_as_one_is(rows: list[tuple[int, str, int, str]], shift_ms: int) -> None:
    written = [one if isinstance(one, bytes) else one.encode() for one in encode_rows(Rows.of(rows), shift_ms)]
    assert written == [encode_transaction(key, event_ms + shift_ms, amount) for _, key, event_ms, amount in rows]
