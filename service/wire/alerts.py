"""Alerts and aggregates: their models, ids and bytes."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.core.model import Aggregate, Anomaly, ClockName, TumblingWindow, WallTimeMs, WindowClosed
from service.wire.records import Headers, OutRecord, Source

_encode = msgspec.json.Encoder(decimal_format="number").encode

Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WindowPayload(_Payload):
    """The window, ``start <= t < end`` by the clock named."""

    start: int = Field(description="epoch milliseconds, inclusive")
    end: int = Field(description="epoch milliseconds, exclusive")
    clock: ClockName = Field(description="the clock of the window: processing, ingestion or event")


class SourcePayload(_Payload):
    """Where the window's records of this key are in the input."""

    topic: str = Field(description="the input topic")
    partition: int = Field(description="the input partition")
    first_offset: int = Field(description="offset of the window's first record of this id")
    last_offset: int = Field(description="offset of its last one")


class AggregatePayload(_Payload):
    """The records of one transaction_id in one closed window."""

    transaction_id: str = Field(description="the id that was summed; the record's key, too")
    timestamp: int = Field(description="event time of the window's first record, epoch milliseconds")
    amount: Number = Field(description="exact decimal sum")
    watermark: int = Field(description="the partition's watermark when the window closed, epoch milliseconds")
    count: int = Field(description="records in the sum")
    late_count: int = Field(description="how many of them were late")
    max_timestamp: int = Field(description="greatest event time among them, epoch milliseconds")
    window: WindowPayload = Field(description="the window")
    source: SourcePayload = Field(description="where its records are")

    @classmethod
    def from_json(cls, value: bytes) -> Self:
        """Parse a payload with its exact sum. pydantic's own JSON parser would make it a float."""
        return cls.model_validate(json.loads(value, parse_float=Decimal))


class AlertPayload(AggregatePayload):
    """An anomaly: an aggregate with a detector's finding."""

    alert_id: str = Field(description="the same for the same source, window, detector and first offset")
    detector: str = Field(description="which detector objects")
    limit: Number = Field(description="the sum was strictly greater than this")
    detected_at: int = Field(description="wall clock when the window closed, epoch milliseconds")

    def text(self) -> str:
        """One line for people. Control characters of the id are escaped."""
        seen = f"({self.transaction_id!r}, {self.timestamp}, {json_number(self.amount)})"
        return f"Anomaly detected: {seen}, current watermark: {self.watermark}"


def aggregate_record(
    topic: str, source: Source, closed: WindowClosed, transaction_id: str, aggregate: Aggregate
) -> OutRecord:
    """Make the record of one key's sum in a closed window."""
    value = _encode(_aggregate_fields(source, closed, transaction_id, aggregate))
    return OutRecord(topic, transaction_id.encode(), value)


def alert_record(topic: str, source: Source, closed: WindowClosed, anomaly: Anomaly, now_ms: WallTimeMs) -> OutRecord:
    """Make the record of an alert: a CloudEvent in binary mode."""
    aggregate = closed.aggregates[anomaly.transaction_id]
    identity = alert_id(source, closed.window, anomaly, aggregate)
    fields = _aggregate_fields(source, closed, anomaly.transaction_id, aggregate)
    value = _encode(
        {
            "alert_id": identity,
            "detector": anomaly.detector,
            **fields,
            "limit": json_number(anomaly.limit),
            "detected_at": now_ms,
        }
    )
    time = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    headers: Headers = [
        ("ce_id", identity.encode()),
        ("ce_type", b"txwatch.alert.v1"),
        ("ce_source", f"/{source.topic}/{source.partition}".encode()),
        ("ce_specversion", b"1.0"),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    ]
    return OutRecord(topic, anomaly.transaction_id.encode(), value, headers)


def alert_id(source: Source, window: TumblingWindow, anomaly: Anomaly, aggregate: Aggregate) -> str:
    """Hash what the alert is about, so that a repeated alert has the same id."""
    about = (
        source.topic,
        source.partition,
        anomaly.transaction_id,
        window.start_ms,
        window.end_ms,
        anomaly.detector,
        aggregate.first_offset,
    )
    return hashlib.blake2b(_encode(about), digest_size=16).hexdigest()


def json_number(value: Decimal) -> Decimal:
    """The same value in the usual form of a number: ``9000.0``, ``8000.1``, never ``9E+3`` or ``8000.1000``."""
    if not value:
        return Decimal("0.0")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "sums are finite"  # noqa: S101
    if exponent >= 0:
        return Decimal((sign, (*digits, *(0,) * (exponent + 1)), -1))
    kept = len(digits)
    while exponent < -1 and digits[kept - 1] == 0:
        kept, exponent = kept - 1, exponent + 1
    return Decimal((sign, digits[:kept], exponent))


def _aggregate_fields(
    source: Source, closed: WindowClosed, transaction_id: str, aggregate: Aggregate
) -> dict[str, Any]:
    text = aggregate.text()
    return {
        "transaction_id": transaction_id,
        "timestamp": aggregate.timestamp,
        "amount": json_number(aggregate.value()) if text is None else msgspec.Raw(text.encode()),
        "watermark": closed.watermark_ms,
        "count": aggregate.count,
        "late_count": aggregate.late_count,
        "max_timestamp": aggregate.max_timestamp,
        "window": {"start": closed.window.start_ms, "end": closed.window.end_ms, "clock": closed.clock.value},
        "source": {
            "topic": source.topic,
            "partition": source.partition,
            "first_offset": aggregate.first_offset,
            "last_offset": aggregate.last_offset,
        },
    }
