"""Alerts and aggregates to the digit, and names that tell alerts apart."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.core.detectors import ConfiguredDetector, Finding, KeyWindow
from service.core.memory.alerts import Alert, Place
from service.core.memory.identity import alert_id
from service.core.memory.partition import Memory
from service.core.model import (
    Aggregate,
    ClockName,
    EventTimeMs,
    Offset,
    Partition,
    TumblingWindow,
    WallTimeMs,
    WindowClosed,
)
from service.core.money import number_text
from service.wire.alerts import AggregatePayload, AlertPayload, aggregate_record, alert_record
from service.wire.records import OutRecord, Source
from tests.strategies import AMOUNTS

START = 1_715_392_810_000
SOURCE = Source("transactions", Partition(0))
WINDOW = TumblingWindow(START, START + 10_000)
NOW_MS = WallTimeMs(START + 10_004)


def aggregate_of(*amounts: float | Decimal, offset: int = 3, late: int = 0) -> Aggregate:
    """An aggregate of these amounts at consecutive offsets, all at the window's start."""
    aggregate = Aggregate(EventTimeMs(START), Offset(offset), EventTimeMs(START), Offset(offset))
    for amount in amounts:
        aggregate.add(amount)
    aggregate.count = len(amounts)
    aggregate.last_offset = Offset(offset + len(amounts) - 1)
    aggregate.late_count = late
    return aggregate


def closed_with(aggregate: Aggregate, transaction_id: str = "tx1") -> WindowClosed:
    """A closed window of one key."""
    return WindowClosed(ClockName.PROCESSING, WINDOW, EventTimeMs(START - 1_000), {transaction_id: aggregate})


def found_in(closed: WindowClosed, limit: Decimal = Decimal(8000), detector: str = "threshold") -> Alert:
    """The alert about the one key of a window."""
    memory = Memory((ConfiguredDetector(detector, Always(limit)),), Place(SOURCE.topic, SOURCE.partition))
    (alert,) = memory.judge([closed], closed.watermark_ms, lambda _: None).alerts
    return alert


class Always:
    """A detector that finds every window anomalous."""

    state_type = None
    state_kind = ""

    def __init__(self, limit: Decimal) -> None:
        """Say that this limit was crossed."""
        self.limit = limit

    def judge(self, state: None, window: KeyWindow) -> tuple[None, Finding]:
        """Find it."""
        del state, window
        return None, Finding(self.limit)


def alert_of(*amounts: float | Decimal, transaction_id: str = "tx1") -> OutRecord:
    """The alert about these amounts."""
    closed = closed_with(aggregate_of(*amounts), transaction_id)
    return alert_record("alerts", SOURCE, found_in(closed), NOW_MS)


def to_the_digit(record: OutRecord) -> Any:  # noqa: ANN401
    """The payload with numbers as they are written."""
    assert record.value is not None
    return json.loads(record.value, parse_float=str)


EXPECTED_AGGREGATE = {
    "transaction_id": "tx1",
    "timestamp": 1715392810000,
    "amount": "9000.0",
    "watermark": 1715392809000,
    "count": 1,
    "late_count": 0,
    "max_timestamp": 1715392810000,
    "window": {"start": 1715392810000, "end": 1715392820000, "clock": "processing"},
    "source": {"topic": "transactions", "partition": 0, "first_offset": 3, "last_offset": 3},
}


def test_an_alert_is_as_documented_to_the_digit() -> None:
    alert = to_the_digit(alert_of(9000.0))
    expected = {**EXPECTED_AGGREGATE, "detector": "threshold", "limit": "8000.0", "detected_at": 1715392820004}
    assert {**expected, "alert_id": alert["alert_id"]} == alert


def test_an_aggregate_is_the_alert_without_what_detectors_add() -> None:
    closed = closed_with(aggregate_of(9000.0))
    record = aggregate_record("aggregates", SOURCE, closed, "tx1", closed.aggregates["tx1"])
    assert EXPECTED_AGGREGATE == to_the_digit(record)
    assert ("aggregates", b"tx1", None) == (record.topic, record.key, record.headers)


def test_late_records_and_the_last_offset_are_in_the_alert() -> None:
    closed = closed_with(aggregate_of(1.0, 2.0, 3.0, offset=7, late=2))
    aggregate = to_the_digit(aggregate_record("aggregates", SOURCE, closed, "tx1", closed.aggregates["tx1"]))
    assert (3, 2) == (aggregate["count"], aggregate["late_count"])
    assert (7, 9) == (aggregate["source"]["first_offset"], aggregate["source"]["last_offset"])


def test_an_alert_is_a_cloud_event_in_binary_mode() -> None:
    record = alert_of(9000.0)
    expected = [
        ("ce_id", to_the_digit(record)["alert_id"].encode()),
        ("ce_type", b"txwatch.alert.v1"),
        ("ce_source", b"/transactions/0"),
        ("ce_specversion", b"1.0"),
        ("ce_time", b"2024-05-11T02:00:20.004Z"),
        ("content-type", b"application/json"),
    ]
    assert expected == record.headers
    assert ("alerts", b"tx1") == (record.topic, record.key)


@given(st.integers(0, 7_000_000_000_000))
def test_the_events_time_is_exact_to_the_millisecond(now_ms: int) -> None:
    closed = closed_with(aggregate_of(9000.0))
    record = alert_record("alerts", SOURCE, found_in(closed), WallTimeMs(now_ms))
    time = dict(record.headers or [])["ce_time"]
    assert isinstance(time, bytes)
    assert f".{now_ms % 1000:03}Z".encode() == time[-5:]


@pytest.mark.parametrize(
    ("amounts", "written"),
    [
        ([0.1] * 10, "1.0"),
        ([0.1, 0.2], "0.3"),
        ([8000.0, 0.1], "8000.1"),
        ([8000.0, 1e-15], "8000.000000000000001"),
        ([12345678901234567.0, 0.01], "12345678901234568.01"),
        ([Decimal("12345678901234567890.12")], "12345678901234567890.12"),
        ([1e22], "10000000000000000000000.0"),
        ([-12.5], "-12.5"),
        ([0.0], "0.0"),
        ([1.5, -1.5], "0.0"),
        ([Decimal("1.00000000000000000"), -1.0], "0.0"),
    ],
)
def test_an_amount_is_written_exactly_and_without_artefacts(amounts: list[float | Decimal], written: str) -> None:
    assert written == to_the_digit(alert_of(*amounts))["amount"]


@pytest.mark.parametrize(
    ("number", "written"),
    [
        ("9000", "9000.0"), ("9E+3", "9000.0"), ("9000.0", "9000.0"), ("9000.000", "9000.0"), ("8000.1000", "8000.1"),
        ("8000.1", "8000.1"), ("0", "0.0"), ("0.0", "0.0"), ("0.00", "0.0"), ("0E-17", "0.0"), ("0E+3", "0.0"),
        ("-0.10", "-0.1"), ("100", "100.0"), ("0.001", "0.001"), ("1200E-2", "12.0"),
    ],
)  # fmt: skip
def test_a_number_looks_as_people_expect(number: str, written: str) -> None:
    assert written == number_text(Decimal(number))


@given(AMOUNTS.map(lambda amount: Decimal(repr(amount)) if isinstance(amount, float) else amount))
def test_a_number_keeps_its_value_and_always_has_a_decimal(number: Decimal) -> None:
    written = number_text(number)
    assert number == Decimal(written)
    exponent = Decimal(written).as_tuple().exponent
    assert isinstance(exponent, int)
    assert exponent < 0


NAMED: tuple[Any, ...] = ("transactions", Partition(0), "tx1", START, START + 10_000, "threshold", Offset(3))


def test_an_alerts_name_is_that_of_its_window() -> None:
    assert alert_id(*NAMED) == found_in(closed_with(aggregate_of(9000.0))).alert_id


def test_an_alerts_name_is_stable_over_releases() -> None:
    assert "8ec0ca48b8f90a25d0702799fad8c727" == alert_id(*NAMED)


def test_an_alerts_name_does_not_depend_on_sums_or_limits() -> None:
    assert alert_id(*NAMED) == found_in(closed_with(aggregate_of(1.0, 2.0, late=1)), limit=Decimal(1)).alert_id


OTHERS: dict[str, tuple[Any, ...]] = {
    "topic": ("other", *NAMED[1:]),
    "partition": (NAMED[0], Partition(1), *NAMED[2:]),
    "transaction_id": (*NAMED[:2], "tx2", *NAMED[3:]),
    "window's start": (*NAMED[:3], START - 10_000, *NAMED[4:]),
    "window's end": (*NAMED[:4], START + 20_000, *NAMED[5:]),
    "detector": (*NAMED[:5], "mean", NAMED[6]),
    "first offset": (*NAMED[:6], Offset(4)),
}


@pytest.mark.parametrize("part", OTHERS)
def test_an_alerts_name_is_another_when_one_part_is_another(part: str) -> None:
    assert alert_id(*NAMED) != alert_id(*OTHERS[part])


HOSTILE = st.text('"\\,/0t[]\u0000\u00fc', max_size=4)
IDENTITIES = st.tuples(HOSTILE, st.integers(0, 2), HOSTILE, HOSTILE, st.integers(0, 2))


def named(identity: tuple[str, int, str, str, int]) -> str:
    """The name of an alert of these parts."""
    topic, partition, transaction_id, detector, offset = identity
    return alert_id(topic, Partition(partition), transaction_id, START, START + 10_000, detector, Offset(offset))


@given(IDENTITIES, IDENTITIES)
@example(("a", 0, "b", "c", 0), ("a,0", 0, "b", "c", 0))
@example(("t", 0, 'a","b', "c", 0), ("t", 0, "a", 'b","c', 0))
@example(("t", 1, "1", "d", 1), ("t", 1, "11", "d", 1))
@example(("t", 0, f"a,{START},{START + 10_000},b", "c", 0), ("t", 0, "a", f"b,{START},{START + 10_000},c", 0))
def test_names_are_the_same_only_for_the_same_parts(
    one: tuple[str, int, str, str, int], other: tuple[str, int, str, str, int]
) -> None:
    assert (one == other) == (named(one) == named(other))


@pytest.mark.parametrize(
    "amounts", [[9000.0], [0.1] * 3, [Decimal("12345678901234567890.12")], [Decimal("1e-15"), 8000.0]]
)
def test_the_models_read_what_is_written(amounts: list[float | Decimal]) -> None:
    record = alert_of(*amounts)
    assert record.value is not None
    alert = AlertPayload.from_json(record.value)
    assert aggregate_of(*amounts).value() == alert.amount
    assert (START, START - 1_000, 3) == (alert.timestamp, alert.watermark, alert.source.first_offset)
    assert alert.amount == AggregatePayload.from_json(record.value).amount


def text_of(record: OutRecord) -> str:
    """The alert as the alerts command prints it."""
    assert record.value is not None
    return AlertPayload.from_json(record.value).text()


def test_the_text_of_an_alert_is_as_documented() -> None:
    expected = "Anomaly detected: ('tx1', 1715392810000, 9000.0), current watermark: 1715392809000"
    assert expected == text_of(alert_of(9000.0))


@pytest.mark.parametrize("amounts", [[8000.0, 0.1], [Decimal("12345678901234567890.12")], [8000.0, 1e-15]])
def test_the_text_of_an_alert_has_every_digit_of_the_sum(amounts: list[float | Decimal]) -> None:
    record = alert_of(*amounts)
    assert f", {to_the_digit(record)['amount']})" in text_of(record)


@pytest.mark.parametrize("transaction_id", ["a\nb", "a\r\nb", "a\u2028b", "\x1b[2J"])
def test_the_text_of_an_alert_is_one_line_whatever_the_id(transaction_id: str) -> None:
    text = text_of(alert_of(9000.0, transaction_id=transaction_id))
    assert [text] == text.splitlines()
    assert text.isprintable()
