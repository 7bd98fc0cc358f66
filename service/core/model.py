"""The core's input and output values, with their units as types."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, NewType, TypeVar

import msgspec

from service.core.money import Total

EventTimeMs = NewType("EventTimeMs", int)
"""When a transaction happened, by its producer: milliseconds since the epoch, UTC."""

WallTimeMs = NewType("WallTimeMs", int)
"""A time of this service's own clock: milliseconds since the epoch, UTC."""

Offset = NewType("Offset", int)
Partition = NewType("Partition", int)
ValueT = TypeVar("ValueT")

OLDEST_TIMESTAMP_MS: Final = 100_000_000_000
"""1973-03-03. A smaller timestamp is most likely in seconds, which reach this number only in the year 5138."""

MAX_ID_CHARS: Final = 32_768
"""A longer id could make an alert that no topic accepts, and its partition would never advance."""


class Transaction(msgspec.Struct, gc=False):
    """One payment record.

    A float ``amount`` means its shortest decimal form. An amount with more digits than a float keeps (15 are always
    safe) must be a Decimal.
    """

    transaction_id: Annotated[
        str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS, description="amounts are summed by it")
    ]
    timestamp: Annotated[
        EventTimeMs,
        msgspec.Meta(ge=OLDEST_TIMESTAMP_MS, le=2**63 - 1, description="event time, epoch milliseconds"),
    ]
    amount: float | Decimal


class Reason(StrEnum):
    """Why a record was set aside: the ``txwatch.reason`` header and the label of ``txwatch_records_rejected_total``."""

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
    """The committed offset is beyond the partition's end: the topic was truncated or created again."""
    EXPIRED = "expired"
    """The record at the committed offset has expired."""
    NO_OFFSET = "no_offset"
    """The group has no offset for any partition of the topic, or the broker did not say whether it has one."""
    NEW_PARTITION = "new_partition"
    """The group has offsets for other partitions and none for this one: most likely the partition was added."""


class LatePolicy(StrEnum):
    """What happens to a late record. It is counted in each case."""

    INCLUDE = "include"
    DIVERT = "divert"
    DROP = "drop"


class ClockName(StrEnum):
    """The clock of the windows; service.core.clocks has a module for each."""

    PROCESSING = "processing"
    INGESTION = "ingestion"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class TumblingWindow:
    """A tumbling window, ``start_ms <= t < end_ms``, aligned to the epoch."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class AggregateDetail:
    """What aggregates hold besides sum, count and places: only what the configured detectors look at."""

    extremes: bool = False
    """``greatest`` and ``least``."""
    latest: bool = False
    """``latest_offset`` and ``arrived_ms``."""

    @property
    def any(self) -> bool:
        """Whether anything is looked at."""
        return self.extremes or self.latest


NO_DETAIL: Final = AggregateDetail()


class Extremes(msgspec.Struct, gc=False):
    """The greatest and the least amount of an aggregate: both floats, or both Decimals."""

    greatest: float | Decimal
    least: float | Decimal


class Latest(msgspec.Struct, gc=False):
    """The first record with the greatest event time of an aggregate, and when its last record was read."""

    event_ms: EventTimeMs
    offset: Offset
    arrived_ms: WallTimeMs


class Aggregate(Total, eq=False, gc=False):
    """One key's records in one window: the exact sum, the count, and where the records are.

    Starts with the first record's time and offset. Its amount is added and counted afterwards.
    """

    timestamp: EventTimeMs
    first_offset: Offset
    max_timestamp: EventTimeMs
    last_offset: Offset
    count: int = 0
    late_count: int = 0
    extremes: Extremes | None = None
    latest: Latest | None = None

    @property
    def greatest(self) -> float | Decimal:
        """The greatest amount; a float means its shortest decimal form. Needs ``AggregateDetail.extremes``."""
        return _configured(self.extremes, "extremes").greatest

    @property
    def least(self) -> float | Decimal:
        """The least amount; a float means its shortest decimal form. Needs ``AggregateDetail.extremes``."""
        return _configured(self.extremes, "extremes").least

    @property
    def latest_offset(self) -> Offset:
        """The offset of the first record with the greatest event time. Needs ``AggregateDetail.latest``."""
        return _configured(self.latest, "latest").offset

    @property
    def arrived_ms(self) -> WallTimeMs:
        """When the last record was read. Needs ``AggregateDetail.latest``."""
        return _configured(self.latest, "latest").arrived_ms


# A Struct without cyclic garbage collection is made and freed faster than other objects, and a million of them do not
# slow the collector down. Its own __setattr__ serves only that collection, and costs 70 ns a record.
Aggregate.__setattr__ = object.__setattr__  # type: ignore[method-assign]
Aggregate.__delattr__ = object.__delattr__  # type: ignore[method-assign]


def _configured(value: ValueT | None, name: str) -> ValueT:
    if value is None:
        raise RuntimeError(f"no detector has asked for AggregateDetail.{name}, so aggregates do not hold it")
    return value


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """What an owner read beyond the offset that it committed, for clocks that commit while windows are open.

    The next owner reads these records again, by the rules and horizons of that time. Records in no open window were
    emitted or set aside before, and are skipped; the rest rebuild the open windows.
    """

    read: Offset
    """The first offset that was not read."""
    watermark_ms: EventTimeMs | None
    """The watermark after all of them."""
    closed_to_ms: int | None
    """Windows that start before this time are closed."""
    clock: ClockName
    window_size_ms: int
    lateness_ms: int
    max_future_ms: int
    late_policy: LatePolicy
    horizons: tuple[tuple[Offset, int], ...] = ()
    """Each offset from which a bound on event times holds, and the bound; see service.core.clocks.horizon."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the next owner of a partition starts to read, and the state that it needs."""

    offset: Offset
    watermark_ms: EventTimeMs | None
    """The watermark at ``offset``. It may include the record at ``offset`` itself."""
    ahead: ReadAhead | None = None
    """None if no record from ``offset`` on was emitted or set aside."""
    partitions: int | None = None
    """How many partitions the input had when the detectors' states were read back; None where nothing is remembered."""
    rules: str | None = None
    """The hash of the detectors that judged what is committed, for information; None for the default detector."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A late or bad record that goes to a topic of its own instead of a window."""

    offset: Offset
    reason: Reason
    why: str


@dataclass(frozen=True, slots=True)
class Filtered:
    """A record that the settings leave out. It belongs to no window, is never late, and moves the watermark."""

    offset: Offset
    timestamp: EventTimeMs
    appended_ms: WallTimeMs
    """The broker's append time."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The result of adding a batch of records."""

    late: int
    """How many were late, under every policy."""
    set_aside: list[SetAside]


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """A closed window with its sums, which the detectors have not judged yet, and the watermark when it closed."""

    clock: ClockName
    window: TumblingWindow
    watermark_ms: EventTimeMs
    aggregates: dict[str, Aggregate]
