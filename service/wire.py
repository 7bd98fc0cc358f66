"""Bytes to core values and back: what a record must look like, what an alert looks like, what is wrong with a bad one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.core.model import (
    OLDEST_TIMESTAMP_MS,
    Aggregate,
    Anomaly,
    EventTimeMs,
    Partition,
    Reason,
    Transaction,
    WallTimeMs,
    Window,
    WindowClosed,
)
from service.core.money import MAX_DIGITS

Headers = list[tuple[str, bytes]]

# ---- transactions in ----------------------------------------------------------------------------------------

_decode = msgspec.json.Decoder(Transaction).decode

SAFE_SLACK: Final = 56 + 15
"""A record that is no longer than its id and this has an amount of 15 characters at most, and a float keeps those.

56 is the shortest possible rest: ``{"transaction_id":"","timestamp":100000000000,"amount":}``.
"""


class _Fields(msgspec.Struct):
    transaction_id: str
    timestamp: int
    amount: msgspec.Raw


_decode_fields = msgspec.json.Decoder(_Fields).decode


class Rejection(Exception):  # noqa: N818 - it is a verdict on a record, and the header names it
    """A record that is no transaction: the reason, and why in words."""

    def __init__(self, reason: Reason, why: str) -> None:
        """Give the verdict."""
        super().__init__(f"{reason}: {why}")
        self.reason = reason
        self.why = why


def decode_run(values: Sequence[bytes | None]) -> list[Transaction]:
    """Decode records that are all good, which nearly all are.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, Rejection: one of them is not;
            decode() tells which and why.
    """
    transactions = list(map(_decode, values))  # type: ignore[arg-type]
    shortest_id = min(map(len, map(_id_of, transactions)), default=0)
    if max(map(len, values), default=0) - shortest_id > SAFE_SLACK:  # type: ignore[arg-type]
        for transaction, value in zip(transactions, values, strict=True):
            if len(value) - len(transaction.transaction_id) > SAFE_SLACK:  # type: ignore[arg-type]
                transaction.amount = _exact_amount(value)  # type: ignore[arg-type]
    return transactions


_id_of = attrgetter("transaction_id")


def decode(value: bytes | None) -> Transaction:
    """Decode one record.

    Raises:
        Rejection: it is no transaction; ``reason`` and ``why`` tell what is wrong with it.
    """
    try:
        return decode_run([value])[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise _diagnose(value, error) from None


def _exact_amount(value: bytes) -> float | Decimal:
    text = bytes(_decode_fields(value).amount).decode("ascii").strip()
    if len(text) <= 15 and float(text):
        return float(text)
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa)
    if digits > 2 * MAX_DIGITS or len(exponent) > 4:
        raise Rejection(Reason.SCHEMA, f"amount: more than {MAX_DIGITS} digits before or after the point")
    amount = Decimal(text)
    if amount and (amount.adjusted() >= MAX_DIGITS or _exponent(amount) < -MAX_DIGITS):
        raise Rejection(Reason.SCHEMA, f"amount: more than {MAX_DIGITS} digits before or after the point")
    return amount if amount else 0.0


def _exponent(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), "JSON has no NaN"  # noqa: S101
    return exponent


def _diagnose(value: bytes | None, error: Exception) -> Rejection:
    """Find the reason for a record that the decoder refused. Slow, and never raises."""
    if not value:
        return Rejection(Reason.EMPTY_VALUE, "the record has no value")
    try:
        text = value.decode()
    except UnicodeDecodeError as unicode_error:
        return Rejection(Reason.NOT_UTF8, f"byte {unicode_error.start}: {unicode_error.reason}")
    if isinstance(error, RecursionError):
        return Rejection(Reason.SCHEMA, "nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        if _says_nan(text):
            return Rejection(Reason.AMOUNT_NOT_FINITE, "amount: not a finite number")
        return Rejection(Reason.NOT_JSON, str(error))
    why = str(error)
    if why.endswith("`$.amount`") and "out of range" in why:
        return Rejection(Reason.AMOUNT_NOT_FINITE, f"amount: {why}")
    if why.endswith("`$.timestamp`") and f">= {OLDEST_TIMESTAMP_MS}" in why:
        return Rejection(Reason.TIMESTAMP_TOO_SMALL, "timestamp: seconds where milliseconds are due")
    return Rejection(Reason.SCHEMA, why)


_NAN: Final = re.compile(r'"amount"\s*:\s*[-+]?(?:NaN|Infinity|inf)\b', re.IGNORECASE)


def _says_nan(text: str) -> bool:
    """Whether it is what a sloppy JSON writer makes of an amount that is NaN or infinite."""
    return _NAN.search(text) is not None


# ---- transactions out ---------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder(decimal_format="number").encode


def encode_transaction(transaction_id: str, timestamp_ms: int, amount: str) -> bytes:
    """Write one transaction as the input topic's JSON; ``amount`` is the text of a JSON number and goes out as it is."""
    return _encode(_Fields(transaction_id, timestamp_ms, msgspec.Raw(amount)))


# ---- alerts and aggregates out ------------------------------------------------------------------------------

Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WindowPayload(_Payload):
    """The window, ``start <= t < end`` by the clock named."""

    start: int = Field(description="epoch milliseconds, inclusive")
    end: int = Field(description="epoch milliseconds, exclusive")
    clock: Literal["processing"] = Field(description="whose time the window is")


class SourcePayload(_Payload):
    """Where the window's records of this key stand in the input."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int


class AggregatePayload(_Payload):
    """What one closed window held of one transaction_id."""

    transaction_id: str
    timestamp: int = Field(description="event time of the window's first record, epoch milliseconds")
    amount: Number = Field(description="exact decimal sum")
    watermark: int = Field(description="the partition's watermark when the window closed, epoch milliseconds")
    count: int = Field(description="records in the sum")
    late_count: int = Field(description="how many of them were late")
    max_timestamp: int = Field(description="greatest event time among them, epoch milliseconds")
    window: WindowPayload
    source: SourcePayload


class AlertPayload(AggregatePayload):
    """An anomaly: an aggregate that a detector objects to."""

    alert_id: str = Field(description="the same for the same source, window, detector and first offset")
    detector: str
    limit: Number = Field(description="the sum was strictly greater than this")
    detected_at: int = Field(description="wall clock when the window closed, epoch milliseconds")

    def text(self) -> str:
        """One line for people."""
        seen = f"('{self.transaction_id}', {self.timestamp}, {self.amount})"
        return f"Anomaly detected: {seen}, current watermark: {self.watermark}"


RECORD_OVERHEAD: Final = 128
"""A batch of one: 61 bytes of batch header, some more of lengths and deltas."""
HEADER_OVERHEAD: Final = 10


@dataclass(frozen=True, slots=True)
class OutRecord:
    """A record to be produced; no ``timestamp_ms`` leaves it to the client."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    timestamp_ms: int | None = None

    @property
    def size(self) -> int:
        """Bytes of key, value and headers, with Kafka's own framing roughly allowed for."""
        parts = len(self.key or b"") + len(self.value or b"") + RECORD_OVERHEAD
        return parts + sum(len(name) + len(value or b"") + HEADER_OVERHEAD for name, value in self.headers or ())


@dataclass(frozen=True, slots=True)
class Source:
    """The input partition that a task reads."""

    topic: str
    partition: Partition


def aggregate_record(
    topic: str, source: Source, closed: WindowClosed, transaction_id: str, aggregate: Aggregate
) -> OutRecord:
    """Write one closed window's sum of one key."""
    value = _encode(_aggregate_fields(source, closed, transaction_id, aggregate))
    return OutRecord(topic, transaction_id.encode(), value)


def alert_record(topic: str, source: Source, closed: WindowClosed, anomaly: Anomaly, now_ms: WallTimeMs) -> OutRecord:
    """Write one alert, as a CloudEvent in binary mode."""
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


def alert_id(source: Source, window: Window, anomaly: Anomaly, aggregate: Aggregate) -> str:
    """Name an alert by what it is about, so that a repeat has the same name."""
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
    """The decimal as people expect to see a number: ``9000.0``, ``8000.1``, never ``9E+3`` or ``8000.1000``."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "sums are finite"  # noqa: S101
    if exponent >= 0:
        return Decimal((sign, (*digits, *(0,) * (exponent + 1)), -1))
    kept = len(digits)
    while exponent < -1 and kept > 1 and digits[kept - 1] == 0:
        kept, exponent = kept - 1, exponent + 1
    return Decimal((sign, digits[:kept], exponent))


def _aggregate_fields(
    source: Source, closed: WindowClosed, transaction_id: str, aggregate: Aggregate
) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id,
        "timestamp": aggregate.timestamp,
        "amount": json_number(aggregate.value()),
        "watermark": closed.watermark_ms,
        "count": aggregate.count,
        "late_count": aggregate.late_count,
        "max_timestamp": aggregate.max_timestamp,
        "window": {"start": closed.window.start_ms, "end": closed.window.end_ms, "clock": "processing"},
        "source": {
            "topic": source.topic,
            "partition": source.partition,
            "first_offset": aggregate.first_offset,
            "last_offset": aggregate.last_offset,
        },
    }


# ---- records set aside, out ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Original:
    """A record of the input as it came."""

    source: Source
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    timestamp_ms: int | None


def set_aside_record(topic: str, original: Original, reason: Reason, why: str, max_bytes: int) -> OutRecord:
    """Pass a record on byte for byte, with headers (Kafka Connect's names) that say where it was and what was wrong.

    One that the topic would not take because of the added headers loses the end of its value, and says so in
    ``txwatch.truncated_from`` (bytes): a record that stops the stream for ever would be worse.
    """
    headers = [
        *(original.headers or ()),
        ("__connect.errors.topic", original.source.topic.encode()),
        ("__connect.errors.partition", str(original.source.partition).encode()),
        ("__connect.errors.offset", str(original.offset).encode()),
        ("__connect.errors.stage", b"TRANSFORMATION" if reason is Reason.LATE else b"VALUE_CONVERTER"),
        ("__connect.errors.exception.class.name", b"service.wire.Rejection"),
        ("__connect.errors.exception.message", why.encode()),
        ("txwatch.reason", reason.value.encode()),
    ]
    record = OutRecord(topic, original.key, original.value, headers, original.timestamp_ms)
    if original.value is None or record.size <= max_bytes:
        return record
    headers.append(("txwatch.truncated_from", str(len(original.value)).encode()))
    excess = record.size - max_bytes
    return replace(record, value=original.value[: max(0, len(original.value) - excess)], headers=headers)


# ---- offset metadata ----------------------------------------------------------------------------------------


def encode_progress(watermark_ms: EventTimeMs | None) -> str:
    """Write what a committed offset carries along. Kafka allows 4,096 bytes; this is about 40."""
    return json.dumps({"txwatch": 1, "watermark": watermark_ms}, separators=(",", ":"))


def decode_progress(metadata: str | None) -> EventTimeMs | None:
    """Read it back. What another program wrote there is no watermark."""
    try:
        progress = json.loads(metadata or "{}")
    except ValueError:
        return None
    if not isinstance(progress, dict) or progress.get("txwatch") != 1:
        return None
    watermark_ms = progress.get("watermark")
    return EventTimeMs(watermark_ms) if isinstance(watermark_ms, int) else None


# ---- schemas ------------------------------------------------------------------------------------------------


def json_schema(name: Literal["transaction", "alert", "aggregate"]) -> dict[str, Any]:
    """The JSON Schema of a payload."""
    if name == "transaction":
        schema = msgspec.json.schema(Transaction)
        definition: dict[str, Any] = schema["$defs"]["Transaction"]
        amount = {"type": "number"}
        properties = {**definition["properties"], "amount": amount}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Transaction",
            "description": "One payment record, the value of an input record; further fields are ignored.",
            **{key: value for key, value in definition.items() if key not in {"title", "description", "properties"}},
            "properties": properties,
        }
    model = AlertPayload if name == "alert" else AggregatePayload
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(mode="serialization"),
        "title": name.capitalize(),
    }
