"""Records that are passed on: byte for byte, with headers that say where they were and why, and never too large."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.core.model import Partition, Reason
from service.wire.records import Headers, Original, OutRecord, Source, set_aside_record

MEGABYTE = 1_048_588
ORIGINAL = Original(
    Source("transactions", Partition(3)),
    offset=42,
    key=b"\x00\xff",
    value=b"\xffnot json",
    headers=[("trace", b"\x00\x01"), ("trace", None), ("", b"")],
    timestamp_ms=1_715_392_810_123,
)


def set_aside(original: Original, reason: Reason = Reason.NOT_JSON, max_bytes: int = MEGABYTE) -> OutRecord:
    """The record as it goes out."""
    return set_aside_record("dead", original, reason, "why: \u00fc", max_bytes)


def test_key_and_value_are_passed_on_byte_for_byte() -> None:
    record = set_aside(ORIGINAL)
    assert ("dead", ORIGINAL.key, ORIGINAL.value) == (record.topic, record.key, record.value)


def test_the_original_headers_come_first_and_in_their_order() -> None:
    assert ORIGINAL.headers == (set_aside(ORIGINAL).headers or [])[:3]


def test_the_headers_say_where_it_was_and_what_was_wrong() -> None:
    expected = [
        ("__connect.errors.topic", b"transactions"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"42"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.exception.class.name", b"service.wire.Rejection"),
        ("__connect.errors.exception.message", "why: \u00fc".encode()),
        ("txwatch.reason", b"not_json"),
        ("txwatch.timestamp", b"1715392810123"),
    ]
    assert expected == (set_aside(ORIGINAL).headers or [])[3:]


@pytest.mark.parametrize("reason", list(Reason))
def test_the_reason_is_the_documented_word(reason: Reason) -> None:
    assert ("txwatch.reason", reason.value.encode()) in (set_aside(ORIGINAL, reason).headers or [])


def test_the_reasons_are_the_documented_ones() -> None:
    expected = {
        "not_json", "not_utf8", "empty_value", "schema", "timestamp_too_small", "timestamp_in_future",
        "amount_not_finite", "late",
    }  # fmt: skip
    assert expected == {reason.value for reason in Reason}


def test_the_original_is_left_as_it_was() -> None:
    set_aside(ORIGINAL)
    assert [("trace", b"\x00\x01"), ("trace", None), ("", b"")] == ORIGINAL.headers


def test_a_record_of_nothing_is_passed_on_as_nothing() -> None:
    record = set_aside(replace(ORIGINAL, key=None, value=None, headers=None, timestamp_ms=None))
    assert (None, None, 7) == (record.key, record.value, len(record.headers or []))


def test_the_epoch_itself_is_a_timestamp() -> None:
    assert ("txwatch.timestamp", b"0") in (set_aside(replace(ORIGINAL, timestamp_ms=0)).headers or [])


def test_the_last_header_of_a_name_is_ours_where_a_dead_letter_is_rejected_again() -> None:
    again = replace(ORIGINAL, headers=set_aside(ORIGINAL).headers, offset=99, timestamp_ms=1_800_000_000_000)
    headers = set_aside(again).headers or []
    assert again.headers == headers[: len(again.headers or [])]
    assert (b"99", b"1800000000000") == (dict(headers)["__connect.errors.offset"], dict(headers)["txwatch.timestamp"])


def test_an_empty_key_and_value_stay_empty_and_are_not_none() -> None:
    record = set_aside(replace(ORIGINAL, key=b"", value=b""))
    assert (b"", b"") == (record.key, record.value)


def test_the_size_allows_for_key_value_headers_and_framing() -> None:
    record = OutRecord("topic", b"kkk", b"vvvvv", [("name", b"value"), ("none", None)])
    assert 3 + 5 + 4 + 5 + 4 <= record.size <= 3 + 5 + 4 + 5 + 4 + 200


def test_what_just_fits_is_not_truncated() -> None:
    record = set_aside(ORIGINAL)
    assert record == set_aside(ORIGINAL, max_bytes=record.size)


def test_what_does_not_fit_loses_the_end_of_its_value_and_says_so() -> None:
    original = replace(ORIGINAL, value=bytes(range(250)) * 4)
    record = set_aside(original, max_bytes=set_aside(original).size - 1)
    assert record.value
    assert original.value
    assert original.value.startswith(record.value)
    assert ("txwatch.truncated_from", b"1000") == (record.headers or [])[-1]


@pytest.mark.parametrize("value", [None, b"", b"x" * 100])
def test_a_record_whose_key_alone_is_too_large_fits_as_well(value: bytes | None) -> None:
    """It fitted into the input topic. If it were refused here each time, the partition would be stuck."""
    assert set_aside(replace(ORIGINAL, key=b"k" * 1_900, value=value), max_bytes=2_000).size <= 2_000


@pytest.mark.parametrize(("key", "value"), [(None, None), (b"key", b"value"), (b"k" * 1_000, b"v" * 3_000)])
def test_a_record_whose_headers_alone_are_too_large_loses_those_and_says_how_many(
    key: bytes | None, value: bytes | None
) -> None:
    headers: Headers = [("trace", b"x" * 1_900), ("other", None)]
    record = set_aside(replace(ORIGINAL, key=key, value=value, headers=headers), max_bytes=2_000)
    assert record.size <= 2_000
    names = [name for name, _ in record.headers or []]
    assert "__connect.errors.topic" == names[0]
    assert b"2" == dict(record.headers or [])["txwatch.headers_dropped"]
    if value != b"v" * 3_000:
        assert (key, value) == (record.key, record.value)


@given(st.integers(0, 1_400), st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_whatever_the_headers_take_it_fits(header_bytes: int, value: bytes, key: bytes | None) -> None:
    headers: Headers = [("h", b"x" * header_bytes)]
    record = set_aside(replace(ORIGINAL, key=key, value=value, headers=headers), max_bytes=1_800)
    assert record.size <= 1_800


def test_no_more_is_truncated_than_has_to_be() -> None:
    original = replace(ORIGINAL, value=b"x" * 1_000)
    record = set_aside(original, max_bytes=900)
    assert 900 == record.size


HEADERS = st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=30)), max_size=4)


@given(
    st.none() | st.binary(max_size=50),
    st.binary(max_size=3_000),
    HEADERS,
    st.integers(1_800, 5_000),
    st.sampled_from(Reason),
)
def test_whatever_it_holds_it_fits(
    key: bytes | None, value: bytes, headers: Headers, max_bytes: int, reason: Reason
) -> None:
    original = replace(ORIGINAL, key=key, value=value, headers=headers)
    record = set_aside(original, reason, max_bytes)
    names = [name for name, _ in record.headers or []]
    assert record.size <= max_bytes
    assert key == record.key
    assert headers == (record.headers or [])[: len(headers)]
    assert (record.value != value) == ("txwatch.truncated_from" in names)


@given(HEADERS, st.binary(max_size=2_000))
@example([("\U0001f600" * 20, b"")] * 4, b"")
def test_the_size_is_no_less_than_what_goes_over_the_wire(headers: Headers, value: bytes) -> None:
    record = set_aside(replace(ORIGINAL, headers=headers, value=value))
    on_the_wire = len(record.key or b"") + len(record.value or b"")
    on_the_wire += sum(len(name.encode()) + len(held or b"") for name, held in record.headers or [])
    assert on_the_wire < record.size


@pytest.mark.parametrize(("reason", "stage"), [(Reason.LATE, b"TRANSFORMATION"), (Reason.SCHEMA, b"VALUE_CONVERTER")])
def test_the_stage_says_whether_the_value_could_be_read(reason: Reason, stage: bytes) -> None:
    assert stage == dict(set_aside(ORIGINAL, reason).headers or [])["__connect.errors.stage"]


def test_a_key_that_is_too_large_keeps_what_fits_and_says_how_long_it_was() -> None:
    original = replace(ORIGINAL, key=b"k" * 5_000, value=b"v" * 10, headers=None)
    record = set_aside(original, max_bytes=3_000)
    headers = dict(record.headers or [])
    assert (b"", b"10", b"5000") == (
        record.value, headers["txwatch.truncated_from"], headers["txwatch.key_truncated_from"]
    )  # fmt: skip
    assert 3_000 == record.size
    assert record.key == b"k" * len(record.key or b"")
