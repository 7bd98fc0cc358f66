"""For any bytes: a transaction that says exactly what is written, or a rejection, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from histories.decoder_oracle import TINY, agrees, exactly, outcome
from service.core.model import OLDEST_TIMESTAMP_MS, Reason, Transaction
from service.wire.decoder import Rejection
from service.wire.transactions import JsonDecoder, decode, encode_transaction

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
TIMESTAMPS = st.integers(OLDEST_TIMESTAMP_MS, 2**63 - 1)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?", fullmatch=True)
LONG_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,300})(\.[0-9]{1,380})?", fullmatch=True)
BLANKS = st.text(" \t\r\n", max_size=3)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
EXTRA_FIELDS = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=2
)


@st.composite
def spelt(draw: st.DrawFn, transaction_id: str, timestamp: int, amount: str) -> bytes:
    """One transaction in one of the many ways that JSON allows to write it."""
    as_ascii = draw(st.booleans())
    pairs = [
        ('"transaction_id"', json.dumps(transaction_id, ensure_ascii=as_ascii)),
        ('"timestamp"', str(timestamp)),
        ('"amount"', amount),
    ]
    for name, value in draw(EXTRA_FIELDS).items():
        if name not in {"transaction_id", "timestamp", "amount"}:
            assume(not any("\ud800" <= letter <= "\udfff" for letter in f"{name}{value}"))
            pairs.append((json.dumps(name), json.dumps(value)))
    pairs = draw(st.permutations(pairs))
    blank = draw(BLANKS)
    inner = f"{blank},{blank}".join(f"{name}{blank}:{blank}{value}" for name, value in pairs)
    return f"{blank}{{{blank}{inner}{blank}}}{blank}".encode()


RECORDS = st.tuples(IDS, TIMESTAMPS, NUMBERS).flatmap(lambda parts: st.tuples(st.just(parts), spelt(*parts)))
GOOD_VALUES = st.tuples(IDS, TIMESTAMPS, st.integers(0, 10**12).map(lambda cents: f"{cents / 100:.2f}")).flatmap(
    lambda parts: spelt(*parts)
)


def test_an_absurd_number_in_a_field_that_is_replaced_is_none_of_our_business() -> None:
    value = b'{"transaction_id":"x","timestamp":1715392800000,"amount":0e99999223372036854775807,"amount":5}'
    found = outcome(value)
    assert isinstance(found, Transaction)
    agrees(found, value)


@given(st.none() | st.binary(max_size=200))
def test_any_bytes_are_a_transaction_or_a_verdict(value: bytes | None) -> None:
    outcome(value)


@given(st.text(max_size=200))
def test_any_text_is_a_transaction_or_a_verdict(text: str) -> None:
    outcome(text.encode("utf-8", "surrogatepass"))


@given(GOOD_VALUES, st.data())
def test_a_good_record_with_a_few_bytes_wrong_is_read_right_or_refused(value: bytes, data: st.DataObject) -> None:
    mutated = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutated)))
        cut = data.draw(st.integers(0, 3))
        mutated[place : place + cut] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"{", b"e", b"-", b"9"])
        )
    found = outcome(bytes(mutated))
    if isinstance(found, Transaction):
        agrees(found, bytes(mutated))


def is_transaction(value: Any) -> bool:  # noqa: ANN401
    """The documented schema, in other words."""
    if not isinstance(value, dict):
        return False
    transaction_id, timestamp, amount = (value.get(name) for name in ("transaction_id", "timestamp", "amount"))
    return (
        isinstance(transaction_id, str)
        and transaction_id != ""
        and type(timestamp) is int
        and OLDEST_TIMESTAMP_MS <= timestamp < 2**63
        and isinstance(amount, int | float)
        and not isinstance(amount, bool)
        and abs(amount) < 1.7e308
    )


@given(
    JSON_VALUES
    | st.fixed_dictionaries(
        {
            "transaction_id": IDS | SCALARS,
            "timestamp": TIMESTAMPS | SCALARS | st.integers(-(2**65), 2**65),
            "amount": st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SCALARS,
        },
        optional={"x": JSON_VALUES},
    )
)
def test_any_json_is_taken_if_and_only_if_it_is_a_transaction(value: Any) -> None:  # noqa: ANN401
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(value)
        assert isinstance(outcome(text.encode()), Rejection)
        return
    assume(r"\ud" not in text)  # half a surrogate pair is no text
    found = outcome(text.encode())
    assert is_transaction(value) == isinstance(found, Transaction)
    if isinstance(found, Transaction):
        agrees(found, text.encode())


@given(RECORDS)
@example((("t", OLDEST_TIMESTAMP_MS, "0.3"), b'{"transaction_id":"t","timestamp":100000000000,"amount":0.3}'))
def test_an_accepted_amount_is_exactly_the_text(record: tuple[tuple[str, int, str], bytes]) -> None:
    (transaction_id, timestamp, text), value = record
    found = outcome(value)
    if isinstance(found, Rejection):
        assert Reason.AMOUNT_NOT_FINITE is found.reason or abs(Decimal(text)) < Decimal("1e-300")
        assert not Decimal("1e-300") < abs(Decimal(text)) < Decimal("1e308")
        return
    assert (transaction_id, timestamp) == (found.transaction_id, found.timestamp)
    written = Fraction(text)
    assert written == exactly(found.amount) or abs(written) < TINY


@given(IDS, LONG_NUMBERS)
def test_an_amount_of_hundreds_of_digits_is_exactly_the_text(transaction_id: str, text: str) -> None:
    found = decode(encode_transaction(transaction_id, OLDEST_TIMESTAMP_MS, text))
    assert Fraction(text) == exactly(found.amount)


@given(st.from_regex(r"-?[0-9]{1,9}(\.[0-9]{1,9})?[eE][-+]?[0-9]{1,40}", fullmatch=True))
def test_a_monstrous_exponent_is_dealt_with_at_once(text: str) -> None:
    found = outcome(b'{"transaction_id":"t","timestamp":100000000000,"amount":' + text.encode() + b"}")
    if isinstance(found, Transaction):
        assert abs(exactly(found.amount)) < 10**309


@pytest.mark.parametrize("text", ["0e99999999", "0.0e+99999999", "-0E99999999", "0e-99999999", "0e9999", "0e-999"])
def test_a_nought_with_a_monstrous_exponent_is_refused_or_loses_it(text: str) -> None:
    found = outcome(encode_transaction("a long id, so that the amount is looked at", OLDEST_TIMESTAMP_MS, text))
    if isinstance(found, Transaction):
        assert len(f"{found.amount:f}") < 10_000


def _exact(one: Transaction) -> tuple[str, int, Decimal]:
    return one.transaction_id, one.timestamp, Decimal(str(one.amount))


@given(st.lists(st.one_of(GOOD_VALUES, RECORDS.map(lambda record: record[1]), st.none() | st.binary(max_size=20))))
def test_a_batch_is_the_same_as_one_by_one(values: list[bytes | None]) -> None:
    # In a batch an amount of many characters and few digits is a Decimal; alone it is the float of the same value.
    one_by_one = [outcome(value) for value in values]
    transactions, rejections, _ = JsonDecoder().decode_values(values)
    expected = [
        (one.transaction_id, one.timestamp, Decimal(str(one.amount)))
        for one in one_by_one
        if isinstance(one, Transaction)
    ]
    assert expected == [(one.transaction_id, one.timestamp, Decimal(str(one.amount))) for one in transactions]
    refused = {index: str(one) for index, one in enumerate(one_by_one) if isinstance(one, Rejection)}
    assert refused == {index: str(one) for index, one in rejections.items()}


@given(IDS, TIMESTAMPS, NUMBERS)
def test_what_is_written_is_what_is_read(transaction_id: str, timestamp: int, amount: str) -> None:
    value = encode_transaction(transaction_id, timestamp, amount)
    found = outcome(value)
    if isinstance(found, Transaction):
        agrees(found, value)
        assert (transaction_id, timestamp) == (found.transaction_id, found.timestamp)
    assert transaction_id == json.loads(value)["transaction_id"]
