"""Mapped records: what each setting makes of them, exactly, and why others are refused."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories.decoder_oracle import TINY, exactly
from service.core.model import MAX_ID_CHARS, OLDEST_TIMESTAMP_MS, Reason, Transaction
from service.core.money import MAX_DIGITS, Total
from service.wire.decoder import Rejection
from service.wire.input.columns import TimestampFormat
from service.wire.input.decoder import InputMapping, MappedJsonDecoder
from service.wire.transactions import JsonDecoder
from tests.unit.input_records import In, LeftOut, Outcome, outcomes, shown

T = 1_715_392_810_000
NESTED = InputMapping("card.id", "at", amount="items[1].sum")


def nested(transaction_id: str = '"tx1"', at: str = str(T), amount: str = "9000.0") -> bytes:
    """A record of the mapping NESTED; the values are JSON."""
    return f'{{"card":{{"no":[1],"id":{transaction_id}}},"at":{at},"items":[{{}},{{"sum":{amount}}},"x"]}}'.encode()


def one(mapping: InputMapping, value: bytes | None, key: bytes | None = None, created_ms: int = -1) -> Outcome:
    """What becomes of one record; in a batch with good and bad ones it becomes the same."""
    decoder, record = MappedJsonDecoder(mapping), In(value, key, created_ms)
    (found,) = outcomes(decoder, [record])
    among = outcomes(decoder, [record, In(b"x"), In(None), record, record, In(b"[]")])
    assert [shown(found)] * 3 == [shown(among[index]) for index in (0, 3, 4)]
    return found


def taken(mapping: InputMapping, value: bytes | None, key: bytes | None = None, created_ms: int = -1) -> Transaction:
    """The same, if it is a transaction."""
    found = one(mapping, value, key, created_ms)
    assert isinstance(found, Transaction), found
    return found


# ---- ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [('"tx1"', "tx1"), ("17", "17"), ("-0", "0"), ("4000000000000002123456", None), ('" "', " ")],
)
def test_a_mapped_id_is_a_text_or_a_whole_number(written: str, expected: str | None) -> None:
    assert (expected or written) == taken(NESTED, nested(written)).transaction_id


@pytest.mark.parametrize("written", ['""', "null", "1.5", "1e3", "true", "{}", "[1]", f'"{"x" * (MAX_ID_CHARS + 1)}"'])
def test_any_other_id_is_refused_with_its_path(written: str) -> None:
    found = one(NESTED, nested(written))
    assert isinstance(found, Rejection)
    assert (Reason.SCHEMA, "card.id: ") == (found.reason, found.why[:9])


def test_the_own_path_takes_texts_only() -> None:
    mapping = InputMapping(amount_format="text")
    assert isinstance(one(mapping, b'{"transaction_id":5,"timestamp":%d,"amount":"1"}' % T), Rejection)


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=5))
def test_composite_ids_are_the_same_only_for_the_same_parts(pairs: list[tuple[str, str]]) -> None:
    decoder = MappedJsonDecoder(InputMapping("a+b.c", "@timestamp", amount=""))
    records = [In(json.dumps({"a": a, "b": {"c": c}}).encode(), created_ms=T) for a, c in pairs]
    found = [one.transaction_id for one in decoder.decode(records).transactions]
    assert len(set(pairs)) == len(set(found))
    assert found == ["|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in pair) for pair in pairs]


@pytest.mark.parametrize("value", ['{"a":"x"}', '{"a":"x","b":null}', '{"a":"x","b":""}', '{"a":null,"b":1}'])
def test_a_composite_id_needs_all_its_parts(value: str) -> None:
    found = one(InputMapping("a+b", "@timestamp", amount=""), value.encode(), created_ms=T)
    assert isinstance(found, Rejection)
    assert Reason.SCHEMA is found.reason
    assert found.why.startswith(("a: ", "b: "))


def test_the_key_is_an_id_or_a_part_of_one() -> None:
    mapping = InputMapping("@key", "at")
    assert "ké" == taken(replace(mapping, amount=""), nested(), "ké".encode()).transaction_id
    both = InputMapping("@key+card.id", "at", amount="")
    assert r"a\|b|7" == taken(both, nested("7"), b"a|b").transaction_id


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, "schema: @key: the record has no key"),
        (b"", "schema: @key: the record has no key"),
        (b"a\xff", "not_utf8: @key: byte 1: invalid start byte"),
        (b"x" * (MAX_ID_CHARS + 1), f"schema: @key: more than {MAX_ID_CHARS} characters"),
    ],
)
def test_a_key_that_is_no_id_is_refused(key: bytes | None, expected: str) -> None:
    assert expected == shown(one(InputMapping("@key", "at", amount=""), nested(), key))


def test_a_composite_id_has_a_greatest_length() -> None:
    half = "x" * (MAX_ID_CHARS // 2)
    found = one(InputMapping("card.id+@key", "at", amount=""), nested(f'"{half}"'), half.encode())
    assert f"schema: card.id+@key: more than {MAX_ID_CHARS} characters" == shown(found)


# ---- times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "written", "expected"),
    [
        ("epoch_ms", f"{T}", T),
        ("epoch_us", f"{T}999", T),
        ("epoch_ns", f"{T}999999", T),
        ("epoch_s", "1715392810", T),
        ("epoch_s", "1715392810.1239", T + 123),
        ("epoch_s", "1715392810.99999999999999999999", T + 999),
        ("epoch_s", "1.71539281E9", T),
        ("iso8601", '"2024-05-11T02:00:10Z"', T),
        ("iso8601", '"2024-05-11T10:00:10.1239+08:00"', T + 123),
        ("iso8601", '"2024-05-11 02:00:10.999999999+00:00"', T + 999),
        ("iso8601", '"20240511T020010Z"', T),
    ],
)
def test_each_format_gives_milliseconds(form: str, written: str, expected: int) -> None:
    mapping = replace(NESTED, timestamp_format=TimestampFormat(form))
    assert expected == taken(mapping, nested(at=written)).timestamp


@given(st.integers(OLDEST_TIMESTAMP_MS, 253_402_300_799_999), st.integers(0, 999), st.integers(-14 * 60, 14 * 60))
def test_any_time_is_cut_off_at_the_millisecond(ms: int, us: int, offset_min: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms, microseconds=us)
    written = {
        "epoch_s": f"{ms // 1000}.{ms % 1000:03}{us:03}",
        "epoch_ms": f"{ms}",
        "epoch_us": f"{ms}{us:03}",
    }
    with suppress(OverflowError):  # the year 10,000 there
        written["iso8601"] = f'"{moment.astimezone(timezone(timedelta(minutes=offset_min))).isoformat()}"'
    for form, text in written.items():
        mapping = replace(NESTED, timestamp_format=TimestampFormat(form))
        assert ms == taken(mapping, nested(at=text)).timestamp


@pytest.mark.parametrize(
    ("form", "written", "expected"),
    [
        ("epoch_ms", "1715392810", "timestamp_too_small: at: too small for its format, or before 1973-03-03"),
        ("epoch_us", f"{T}", "timestamp_too_small: at: too small for its format, or before 1973-03-03"),
        ("epoch_s", "5", "timestamp_too_small: at: too small for its format, or before 1973-03-03"),
        ("epoch_s", "1e-99", "timestamp_too_small: at: too small for its format, or before 1973-03-03"),
        (
            "iso8601",
            '"1970-01-01T00:00:00Z"',
            "timestamp_too_small: at: too small for its format, or before 1973-03-03",
        ),
        ("epoch_ms", f"{2**63}", "schema: at: too great for milliseconds in 64 bits"),
        ("epoch_s", "1e99", "schema: at: too great or too long for seconds"),
        ("epoch_s", "1e999999999", "schema: at: too great or too long for seconds"),
        ("epoch_s", '"1715392810"', "schema: at: expected a number, got text"),
        ("epoch_s", "null", "schema: at: expected a number, got null"),
        ("iso8601", '"2024-05-11T02:00:10"', "schema: at: a time without an offset"),
        ("iso8601", '"2024-05-11"', "schema: at: a time without an offset"),
        ("iso8601", '"yesterday"', "schema: at: not a time in ISO 8601"),
        ("iso8601", "5", "schema: at: Expected `str`, got `int` - at `$.at`"),
        ("epoch_ms", "1.5", "schema: at: Expected `int`, got `float` - at `$.at`"),
        ("epoch_ms", f'"{T}"', "schema: at: Expected `int`, got `str` - at `$.at`"),
    ],
)
def test_any_other_time_is_refused_with_its_path(form: str, written: str, expected: str) -> None:
    mapping = replace(NESTED, timestamp_format=TimestampFormat(form))
    assert expected == shown(one(mapping, nested(at=written)))


def test_the_records_own_time_can_be_the_event_time() -> None:
    mapping = replace(NESTED, timestamp="@timestamp")
    assert T == taken(mapping, nested(at='"x"'), created_ms=T).timestamp
    assert "timestamp_too_small: @timestamp: " in shown(one(mapping, nested()))


# ---- amounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    "text",
    ["0", "0.10", "9000.0", "1e3", "123456789012345", "1234567890123456", "8000.00000000000000001", "0e5", "1E-7"],
)
@pytest.mark.parametrize("form", ["number", "text"])
def test_an_amount_is_what_is_written(form: str, text: str, sign: str) -> None:
    written = f'"{sign}{text}"' if form == "text" else sign + text
    found = taken(replace(NESTED, amount_format=form), nested(amount=written))
    assert Fraction(sign + text) == exactly(found.amount)


AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20) | st.decimals(
    -(10**9), 10**9, places=2
)


@given(st.lists(AMOUNTS, min_size=1, max_size=6), st.sampled_from(["number", "text"]))
def test_any_decimal_goes_exactly_from_the_wire_to_the_sum(amounts: list[Decimal], form: str) -> None:
    written = [str(amount) if form == "number" else f'"{amount}"' for amount in amounts]
    decoder = MappedJsonDecoder(replace(NESTED, amount_format=form))
    found = outcomes(decoder, [In(nested(amount=text)) for text in written])
    summed(amounts, found)


@given(
    st.lists(st.integers(-(10**25), 10**25) | st.integers(-1_000, 10**9), min_size=1, max_size=6), st.integers(0, 30)
)
def test_any_whole_number_of_minor_units_goes_exactly_from_the_wire_to_the_sum(units: list[int], places: int) -> None:
    decoder = MappedJsonDecoder(replace(NESTED, amount_format=f"minor:{places}"))
    found = outcomes(decoder, [In(nested(amount=str(unit))) for unit in units])
    summed([Fraction(unit, 10**places) for unit in units], found)


@pytest.mark.parametrize("units", ["999999999999999", "1000000000000001", "9007199254740993", "-900719925474099301"])
@pytest.mark.parametrize("places", [0, 2, 18, 30])
def test_minor_units_of_more_digits_than_a_float_keeps_are_exact(units: str, places: int) -> None:
    found = taken(replace(NESTED, amount_format=f"minor:{places}"), nested(amount=units))
    assert Fraction(int(units), 10**places) == exactly(found.amount)


def summed(amounts: list[Any], found: list[Outcome]) -> None:
    """Compare the sum of those that were taken; only tiny ones may be refused or become zero."""
    total, expected = Total(), Fraction(0)
    for amount, outcome in zip(amounts, found, strict=True):
        written = Fraction(amount)
        if isinstance(outcome, Rejection):
            assert abs(written) < Fraction(1, 10 ** (MAX_DIGITS - 50)), outcome
        elif abs(written) < TINY:
            assert abs(exactly(outcome.amount)) < TINY  # type: ignore[union-attr]
        else:
            assert isinstance(outcome, Transaction)
            total.add(outcome.amount)
            expected += written
    assert expected == Fraction(total.value())


@pytest.mark.parametrize(
    ("form", "written", "expected"),
    [
        ("number", '"12.50"', "schema: items[1].sum: expected a number, got text"),
        ("number", "null", "schema: items[1].sum: expected a number, got null"),
        ("number", "true", "schema: items[1].sum: expected a number, got true"),
        ("number", "[1]", "schema: items[1].sum: expected a number, got an array"),
        ("number", "{}", "schema: items[1].sum: expected a number, got an object"),
        ("number", "1e400", "amount_not_finite: items[1].sum: number out of range"),
        ("number", "NaN", "amount_not_finite: amount: not a finite number"),
        ("number", "-Infinity", "amount_not_finite: amount: not a finite number"),
        ("text", "12.50", "schema: items[1].sum: Expected `str`, got `float` - at `$.items[1].sum`"),
        ("text", '"1e400"', "amount_not_finite: items[1].sum: number out of range"),
        ("minor:2", "12.5", "schema: items[1].sum: Expected `int`, got `float` - at `$.items[1].sum`"),
        ("minor:2", '"1250"', "schema: items[1].sum: Expected `int`, got `str` - at `$.items[1].sum`"),
        ("minor:2", "true", "schema: items[1].sum: Expected `int`, got `bool` - at `$.items[1].sum`"),
    ],
)
def test_any_other_amount_is_refused_with_its_path(form: str, written: str, expected: str) -> None:
    assert expected == shown(one(replace(NESTED, amount_format=form), nested(amount=written)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "+1",
        ".5",
        "5.",
        "01",
        "1_000",
        "1,5",
        "0x1",
        "NaN",
        "Infinity",
        "\u0661",
        "1e",
        "--1",
        "1,",
        ",1",
    ],
)
def test_a_text_holds_what_a_json_number_may_be_and_nothing_else(text: str) -> None:
    found = one(replace(NESTED, amount_format="text"), nested(amount=json.dumps(text)))
    assert "schema: items[1].sum: a text that is no JSON number" == shown(found)


@given(st.lists(st.text("0123456789.,eE+- _NaInf\n", max_size=6), min_size=1, max_size=4))
def test_a_batch_of_texts_is_judged_text_by_text(texts: list[str]) -> None:
    decoder = MappedJsonDecoder(replace(NESTED, amount_format="text"))
    found = outcomes(decoder, [In(nested(amount=json.dumps(text))) for text in texts])
    for text, outcome in zip(texts, found, strict=True):
        try:
            is_number = math.isfinite(json.loads(text)) and text == text.strip()
        except ValueError:
            is_number = False
        is_number = is_number and "N" not in text and "I" not in text
        assert is_number == isinstance(outcome, Transaction), (text, outcome)


@pytest.mark.parametrize("form", ["number", "text", "minor:2"])
@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "9" * 5_000, "0." + "1" * 5_000, "1" + "0" * 500_000])
def test_a_monstrous_number_is_refused_at_once(form: str, text: str) -> None:
    found = one(replace(NESTED, amount_format=form), nested(amount=f'"{text}"' if form == "text" else text))
    assert isinstance(found, Rejection)
    assert found.reason in {Reason.SCHEMA, Reason.AMOUNT_NOT_FINITE}


def test_without_a_path_each_record_counts_1() -> None:
    assert 1.0 == taken(replace(NESTED, amount=""), nested(amount='"x"')).amount


# ---- records ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"[]", b"5", b'"x"', b"null"])
def test_a_value_that_is_no_object_is_refused_even_where_no_path_looks_at_it(value: bytes) -> None:
    mapping = InputMapping("@key", "@timestamp", amount="")
    found = one(mapping, value, b"k", T)
    assert isinstance(found, Rejection)
    assert Reason.SCHEMA is found.reason
    assert "k 1715392810000 1.0" == shown(one(mapping, b"{}", b"k", T))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "empty_value: the record has no value"),
        (b"", "empty_value: the record has no value"),
        (b"\xff{}", "not_utf8: byte 0: invalid start byte"),
        (b"{", "not_json: Input data was truncated"),
        (b"{}", "schema: card.id: Object missing required field `card`"),
        (b'{"card":5}', "schema: card.id: Expected `object`, got `int` - at `$.card`"),
        (b'{"card":{"id":1},"at":%d}' % T, "schema: items[1].sum: Object missing required field `items`"),
        (
            b'{"card":{"id":1},"at":%d,"items":[1]}' % T,
            "schema: items[1].sum: Expected `array` of at least length 2, got 1 - at `$.items`",
        ),
        (b'{"card":' + b"[" * 100_000 + b"}", "schema: nested too deeply"),
    ],
)
def test_any_other_value_is_refused_with_the_reason(value: bytes | None, expected: str) -> None:
    assert expected == shown(one(NESTED, value))


@given(
    st.lists(st.none() | st.binary(max_size=30) | st.sampled_from([nested(), nested("5"), nested(at="5")]), max_size=9)
)
def test_a_batch_is_the_same_as_one_by_one(values: list[bytes | None]) -> None:
    decoder = MappedJsonDecoder(NESTED)
    alone = [shown(outcomes(decoder, [In(value)])[0]) for value in values]
    assert alone == [shown(found) for found in outcomes(decoder, [In(value) for value in values])]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["card", "id", "at"]), inner, max_size=3)
    ),
)


@given(JSON_VALUES, JSON_VALUES, JSON_VALUES)
def test_any_json_is_a_transaction_or_a_reason(card: Any, at: Any, items: Any) -> None:  # noqa: ANN401
    value = json.dumps({"card": card, "at": at, "items": items}).encode()
    for form in ("number", "text", "minor:2"):
        found = one(replace(NESTED, amount_format=form, where="card.id=x"), value)
        assert isinstance(found, Transaction | Rejection | LeftOut)


def test_a_path_may_be_taken_twice_with_different_types() -> None:
    mapping = InputMapping("at+at", "at", amount="at", amount_format="number")
    assert f"{T}|{T} {T} {float(T)}" == shown(one(mapping, nested()))


@pytest.mark.parametrize("size", [0, 200, 2_000])
@pytest.mark.parametrize(
    "amount", ["9000.0", "0.1", "-5", "0", "8000.00000000000000001", "1234567890123456", '"1"', "1e400"]
)
def test_own_records_become_the_same_by_either_decoder(amount: str, size: int) -> None:
    pad = f'"pad":"{"x" * size}",' if size else ""
    value = f'{{{pad}"transaction_id":"tx1","timestamp":{T},"amount":{amount}}}'.encode()
    records = [In(value), In(value.replace(b"tx1", b"tx2"))]
    mapped = outcomes(MappedJsonDecoder(InputMapping(ignore_tombstones=True)), records)
    own = outcomes(JsonDecoder(), records)
    if isinstance(own[0], Rejection):
        assert [type(found) for found in own] == [type(found) for found in mapped]
        assert own[0].reason is mapped[0].reason  # type: ignore[union-attr]
    else:
        assert [shown(found) for found in own] == [shown(found) for found in mapped]


# ---- which records count --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "value", "counts"),
    [
        ("op=c", '{"op":"c"}', True),
        ("op=c", '{"op":"\\u0063"}', True),
        ("op=c", '{"op":"d"}', False),
        ("op=c,d", '{"op":"d"}', True),
        ("op=5", '{"op":5}', True),
        ("op=5", '{"op":"5"}', True),
        ("op=5", '{"op":5.0}', False),
        ("op=true", '{"op":true}', True),
        ("op=null", '{"op":null}', True),
        ("op=null", "{}", False),
        ("op=", '{"op":""}', True),
        ("op=", "{}", False),
        ("op={}", '{"op":{}}', False),
        ("op=é", '{"op":"é"}', True),
        (r"op=a\,b\;c\=d", '{"op":"a,b;c=d"}', True),
        ("a.b=1", '{"a":5}', False),
        ("a.b=1", '{"a":null}', False),
        ("a.b=1", '{"a":{"b":1}}', True),
        ("a[1]=1", '{"a":[0,1]}', True),
        ("a[1]=1", '{"a":[0]}', False),
        ("a=1;b=2", '{"a":1,"b":2}', True),
        ("a=1;b=2", '{"a":1,"b":3}', False),
        ("a=1;b=2", '{"a":1}', False),
        ("a=1;a=2", '{"a":1}', False),
    ],
)
def test_a_record_counts_if_all_conditions_match(where: str, value: str, *, counts: bool) -> None:
    found = one(InputMapping("@key", "@timestamp", amount="", where=where), value.encode(), b"k", T)
    assert ("k 1715392810000 1.0" if counts else "left out 1715392810000") == shown(found)


def test_conditions_come_before_everything_else() -> None:
    mapping = replace(NESTED, where="op=c")
    assert LeftOut(None) == one(mapping, b'{"op":"d","card":null}')
    assert LeftOut(T) == one(mapping, b'{"op":"d","card":null,"at":%d}' % T)
    assert LeftOut(None) == one(mapping, b'{"op":"d","at":5}')
    assert LeftOut(None) == one(mapping, b'{"op":"d","at":"x"}')


@pytest.mark.parametrize("value", [b'{"op":"d"', b'{"op":5,x', b'{"op":{"x":5} garbage', b"[]", b"", b"\xff"])
def test_what_cannot_be_read_is_rejected_and_not_left_out(value: bytes) -> None:
    for where in ("op=c", "op.x.y=c"):
        assert isinstance(one(replace(NESTED, where=where), value), Rejection)


def test_a_tombstone_is_rejected_or_ignored() -> None:
    for mapping in (NESTED, replace(NESTED, where="op=c")):
        assert "empty_value: the record has no value" == shown(one(mapping, None))
        assert LeftOut(None) == one(replace(mapping, ignore_tombstones=True), None)
        assert "empty_value: the record has no value" == shown(one(replace(mapping, ignore_tombstones=True), b""))
    mapping = InputMapping("@key", "@timestamp", amount="", ignore_tombstones=True)
    assert LeftOut(T) == one(mapping, None, b"k", T)


def test_a_megabyte_of_blanks_costs_no_more_than_its_length() -> None:
    decoder = MappedJsonDecoder(InputMapping(amount="a"))
    began_s = time.process_time()
    (rejection,) = decoder.decode([In(b'{"a":' + b" " * 1_000_000)]).rejections.values()
    assert time.process_time() - began_s < 1
    assert rejection.reason is Reason.NOT_JSON
