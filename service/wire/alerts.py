"""Alerts and aggregates: their models and bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.core.detectors import Of
from service.core.memory.alerts import Alert
from service.core.model import Aggregate, ClockName, Offset, WallTimeMs, WindowClosed
from service.core.money import number_text
from service.wire.records import Headers, OutRecord, Source

_encode = msgspec.json.Encoder(decimal_format="number").encode

Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_json(cls, value: bytes) -> Self:
        """Parse a payload with its exact numbers. pydantic's own JSON parser would make them floats."""
        return cls.model_validate(json.loads(value, parse_float=Decimal))


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


class AlertWindowPayload(_Payload):
    """The window of an alert, ``start <= t < end``; a silence has one, too."""

    start: int = Field(description="epoch milliseconds, inclusive")
    end: int = Field(description="epoch milliseconds, exclusive")
    clock: Literal["processing", "ingestion", "event", "wall"] = Field(
        description="the clock of the window; `wall`: the service's clock, for a silence"
    )


class AlertSourcePayload(_Payload):
    """Where the records of an alert are in the input; of a silence, where the last record is."""

    topic: str = Field(description="the input topic")
    partition: int = Field(description="the input partition")
    first_offset: int | None = Field(description="offset of the window's first record of this id; null: no record")
    last_offset: int | None = Field(description="offset of its last one; null: no record")


class BaselinePayload(_Payload):
    """What is usual for a key, by its earlier windows."""

    mean: float = Field(description="mean of its earlier windows")
    deviation: float = Field(description="their standard deviation")
    windows: int = Field(description="how many earlier windows there are")


class AlertPayload(_Payload):
    """An anomaly: what a detector found in one window of one key. Optional fields are left out where they say nothing.

    A silence has no records: its count is 0, and the other fields are those of the last record before it.
    """

    alert_id: str = Field(description="the same for the same source, window, detector and first offset")
    detector: str = Field(description="the name of the detector")
    transaction_id: str = Field(description="the id, and the record's key; empty for a silent partition or topic")
    timestamp: int | None = Field(
        description="event time of the window's first record, epoch milliseconds; null: no record yet"
    )
    amount: Number = Field(description="exact decimal sum")
    watermark: int | None = Field(
        description="the partition's watermark at the verdict, epoch milliseconds; null: no record yet"
    )
    count: int = Field(description="records in the sum")
    late_count: int = Field(description="how many of them were late")
    max_timestamp: int | None = Field(
        description="greatest event time among them, epoch milliseconds; null: no record yet"
    )
    window: AlertWindowPayload = Field(description="the window")
    source: AlertSourcePayload = Field(description="where its records are")
    limit: Number = Field(description="the limit that was crossed; of a silence, `after_ms`")
    detected_at: int = Field(description="wall clock when the alert was written, epoch milliseconds")
    of: Literal["sum", "count", "max", "min", "mean"] = Field(
        "sum", description="what the detector looks at; left out for the sum"
    )
    value: Number | None = Field(None, description="that value, where it is not the sum")
    baseline: BaselinePayload | None = Field(None, description="`deviation` only: what is usual for this id")
    score: float | None = Field(
        None, description="`deviation`: deviations from the mean; `model`: the output of the model"
    )
    features: dict[str, float] | None = Field(None, description="`model` only: the input of the model, by name")
    rules: str | None = Field(None, description="a short hash of the configured detectors; only with `[[detectors]]`")
    status: Literal["open", "resolved"] | None = Field(None, description="episodes only: whether one begins or ends")
    episode_id: str | None = Field(None, description="episodes only: the alert_id of the alert that opened it")
    windows: int | None = Field(None, description="`resolved` only: how many windows were anomalous")
    peak: Number | None = Field(None, description="`resolved` only: the most extreme value among them")

    def text(self) -> str:
        """One line for people. Control characters of the id are escaped."""
        seen = f"({self.transaction_id!r}, {self.timestamp}, {number_text(self.amount)})"
        kind = "Anomaly resolved" if self.status == "resolved" else "Anomaly detected"
        looked_at = "" if self.value is None else f" [{self.detector} {self.of}={number_text(self.value)}]"
        return f"{kind}: {seen}, current watermark: {self.watermark}{looked_at}"


def aggregate_record(
    topic: str, source: Source, closed: WindowClosed, transaction_id: str, aggregate: Aggregate
) -> OutRecord:
    """Make the record of one key's sum in a closed window."""
    window = closed.window
    fields = {
        "transaction_id": transaction_id,
        "timestamp": aggregate.timestamp,
        "amount": _number(aggregate.text() or number_text(aggregate.value())),
        "watermark": closed.watermark_ms,
        "count": aggregate.count,
        "late_count": aggregate.late_count,
        "max_timestamp": aggregate.max_timestamp,
        "window": {"start": window.start_ms, "end": window.end_ms, "clock": closed.clock.value},
        "source": _source(source, aggregate.first_offset, aggregate.last_offset),
    }
    return OutRecord(topic, transaction_id.encode(), _encode(fields))


def alert_record(topic: str, source: Source, alert: Alert, now_ms: WallTimeMs, rules: str | None = None) -> OutRecord:
    """Make the record of an alert: a CloudEvent in binary mode. ``rules`` is the hash of the configured detectors."""
    value = _encode(_alert_fields(source, alert, now_ms, rules))
    time = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    headers: Headers = [
        ("ce_id", alert.alert_id.encode()),
        ("ce_type", b"txwatch.alert.v1"),
        ("ce_source", f"/{source.topic}/{source.partition}".encode()),
        ("ce_specversion", b"1.0"),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    ]
    return OutRecord(topic, alert.transaction_id.encode(), value, headers)


def _alert_fields(source: Source, alert: Alert, now_ms: WallTimeMs, rules: str | None) -> dict[str, Any]:
    facts = alert.facts
    fields: dict[str, Any] = {
        "alert_id": alert.alert_id,
        "detector": alert.detector,
        "transaction_id": alert.transaction_id,
        "timestamp": facts.timestamp,
        "amount": _number(facts.amount),
        "watermark": facts.watermark,
        "count": facts.count,
        "late_count": facts.late_count,
        "max_timestamp": facts.max_timestamp,
        "window": {"start": facts.start_ms, "end": facts.end_ms, "clock": facts.clock},
        "source": _source(source, facts.first_offset, facts.last_offset),
        "limit": _number(facts.limit),
        "detected_at": now_ms,
    }
    if facts.of is not Of.SUM and facts.value is not None:
        fields |= {"of": facts.of.value, "value": _number(facts.value)}
    fields |= facts.fields
    if rules is not None:
        fields["rules"] = rules
    if alert.status is not None:
        fields |= {"status": alert.status, "episode_id": alert.episode_id}
    if alert.peak is not None:
        fields |= {"windows": alert.windows, "peak": _number(alert.peak)}
    return fields


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _source(source: Source, first_offset: Offset | None, last_offset: Offset | None) -> dict[str, Any]:
    return {
        "topic": source.topic,
        "partition": source.partition,
        "first_offset": first_offset,
        "last_offset": last_offset,
    }
