"""The values that go into the core and come out of it, with their units as types."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, NewType

import msgspec

from service.core.money import Total

EventTimeMs = NewType("EventTimeMs", int)
"""When something happened, as its producer says: milliseconds since the epoch, UTC."""

WallTimeMs = NewType("WallTimeMs", int)
"""When this service saw it, by its own clock: milliseconds since the epoch, UTC."""

Offset = NewType("Offset", int)
Partition = NewType("Partition", int)

OLDEST_TIMESTAMP_MS: Final = 100_000_000_000
"""1973-03-03. What is below was meant as seconds, which reach this number only in the year 5138."""


MAX_ID_CHARS: Final = 32_768
"""A longer id could make an alert that no topic takes, and so stop the stream for ever."""


class Transaction(msgspec.Struct, gc=False):
    """One payment record.

    A float ``amount`` stands for its shortest decimal form and nothing else: whoever builds a
    Transaction from more digits than a float keeps (15 are always safe) passes a Decimal.
    """

    transaction_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
    timestamp: Annotated[EventTimeMs, msgspec.Meta(ge=OLDEST_TIMESTAMP_MS, le=2**63 - 1)]
    amount: float | Decimal


class Reason(StrEnum):
    """Why a record was set aside: the ``txwatch.reason`` header and the metric's label."""

    NOT_JSON = "not_json"
    NOT_UTF8 = "not_utf8"
    EMPTY_VALUE = "empty_value"
    SCHEMA = "schema"
    TIMESTAMP_TOO_SMALL = "timestamp_too_small"
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    AMOUNT_NOT_FINITE = "amount_not_finite"
    LATE = "late"


class ResetReason(StrEnum):
    """Why a partition starts at its earliest record: the label of ``txwatch_offset_resets_total``."""

    BEYOND_END = "beyond_end"
    """The committed offset lies beyond the partition's end: the topic was truncated, or made again."""
    EXPIRED = "expired"
    """The record at the committed offset is gone."""
    NO_OFFSET = "no_offset"
    """The group has no offset for any partition of the topic, or the broker does not answer that question."""
    NEW_PARTITION = "new_partition"
    """The group has none for this partition, and has some for others: most likely it was added."""


class LatePolicy(StrEnum):
    """What becomes of a late record. It is counted in each case."""

    INCLUDE = "include"
    DIVERT = "divert"
    DROP = "drop"


class ClockName(StrEnum):
    """Whose time a window is; each one's rules are in service.core.clocks."""

    PROCESSING = "processing"
    INGESTION = "ingestion"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class TumblingWindow:
    """A tumbling window, ``start_ms <= t < end_ms``, aligned to the epoch."""

    start_ms: int
    end_ms: int


class Aggregate(Total):
    """What one window holds of one key: the exact sum, and whose records made it."""

    __slots__ = ("count", "first_offset", "last_offset", "late_count", "max_timestamp", "timestamp")

    def __init__(self, timestamp: EventTimeMs, offset: Offset) -> None:
        """Open it for its first record, which is still to be added."""
        super().__init__()
        self.timestamp = timestamp
        self.max_timestamp = timestamp
        self.first_offset = offset
        self.last_offset = offset
        self.count = 0
        self.late_count = 0


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """What was read beyond a committed offset, for clocks whose windows are open while others close.

    Whoever reads it again judges it as it was judged, by the rules and horizons of that time: what is in no open
    window has been emitted or set aside before, and the rest makes the open windows what they were.
    """

    read: Offset
    """The first offset that was not read."""
    watermark_ms: EventTimeMs | None
    """After all that was read."""
    closed_to_ms: int | None
    """Windows that begin before this time of their clock are closed."""
    clock: ClockName
    window_size_ms: int
    lateness_ms: int
    max_future_ms: int
    late_policy: LatePolicy
    horizons: tuple[tuple[Offset, int], ...] = ()
    """From which offset on, which event time was too far ahead; see service.core.clocks.horizon."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the next owner of a partition starts to read, and what it must know there."""

    offset: Offset
    watermark_ms: EventTimeMs | None
    """At ``offset``; if the record there has moved it, that may be in it."""
    ahead: ReadAhead | None = None
    """None where nothing from ``offset`` on has been emitted."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that is in no window."""

    offset: Offset
    reason: Reason
    why: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a run of records."""

    late: int
    """How many were late, whatever the policy did with them."""
    set_aside: list[SetAside]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A detector's finding about one key of a closed window."""

    detector: str
    transaction_id: str
    limit: Decimal


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """A window that is over, with everything it held and the watermark at that moment."""

    clock: ClockName
    window: TumblingWindow
    watermark_ms: EventTimeMs
    aggregates: dict[str, Aggregate]
    anomalies: list[Anomaly]
