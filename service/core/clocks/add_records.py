"""The loop that adds records to one window. The processing and ingestion clocks use it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from service.core.model import (
    Accepted,
    Aggregate,
    LatePolicy,
    Offset,
    Reason,
    SetAside,
    Transaction,
    WallTimeMs,
)
from service.core.money import ROUND, SCALE, UNITS_LIMIT
from service.core.rules import TaskRules
from service.core.watermark import BoundedOutOfOrderness

NO_HORIZON: Final = 2**63 - 1
"""The greatest possible event time."""


def add_records(  # noqa: C901, PLR0917 - one loop on purpose, see below
    rules: TaskRules,
    watermark: BoundedOutOfOrderness,
    aggregates: dict[str, Aggregate],
    now_ms: WallTimeMs,
    horizon_ms: int,
    offsets: Iterable[Offset],
    transactions: Sequence[Transaction],
) -> Accepted:
    """Judge each record by the current watermark, then add it to ``aggregates``.

    This is the hottest loop of the service, so it uses local names and does the common case of Total.add inline.
    EventClock.accept repeats it on purpose: with a call for each record the loop takes 0.40 us a record, not 0.26.
    """
    lateness_ms, newest_ms = watermark.lateness_ms, watermark.newest_ms
    watermark_ms = newest_ms - lateness_ms
    ceiling_ms = min(newest_ms, horizon_ms)  # a restored watermark may lie beyond the horizon
    include = rules.late_policy is LatePolicy.INCLUDE
    late_total = 0
    late_keys: list[str] = []
    set_aside: list[SetAside] = []
    scale, rounding, bound, find = SCALE, ROUND, UNITS_LIMIT * UNITS_LIMIT, aggregates.get

    for offset, transaction in zip(offsets, transactions, strict=True):
        event_ms = transaction.timestamp
        if event_ms > ceiling_ms:
            if event_ms > horizon_ms:
                set_aside.append(too_far_ahead(offset, event_ms, now_ms, rules.max_future_ms))
                continue
            newest_ms = ceiling_ms = event_ms
            watermark_ms = event_ms - lateness_ms
        elif event_ms < watermark_ms:
            late_total += 1
            if not include:
                set_aside.append(SetAside(offset, Reason.LATE, below_watermark(event_ms, watermark_ms)))
                continue
            late_keys.append(transaction.transaction_id)
        aggregate = find(transaction.transaction_id)
        if aggregate is None:
            aggregate = aggregates[transaction.transaction_id] = Aggregate(event_ms, offset, event_ms, offset)
        amount = transaction.amount
        try:
            units = (amount * scale + rounding) - rounding  # type: ignore[operator]
            total = aggregate.units + units
            if units / scale == amount and total * total < bound:
                aggregate.units = total
            else:
                aggregate.add(amount)
        except TypeError:  # a Decimal, from a record with more digits than a float keeps
            aggregate.add(amount)
        if event_ms > aggregate.max_timestamp:  # noqa: PLR1730 - a call for each record
            aggregate.max_timestamp = event_ms
        aggregate.last_offset = offset
        aggregate.count += 1

    for key in late_keys:
        aggregates[key].late_count += 1
    watermark.newest_ms = newest_ms
    return Accepted(late_total, set_aside)


def without_future(
    allowed_ms: int,
    offsets: Sequence[Offset],
    transactions: Sequence[Transaction],
    times: Sequence[WallTimeMs],
    set_aside: list[SetAside],
) -> tuple[list[Offset], list[Transaction], list[WallTimeMs]]:
    """Set aside event times too far ahead of the append time, which is the same when a record is read again."""
    kept = []
    for one in zip(offsets, transactions, times, strict=True):
        offset, transaction, time_ms = one
        if transaction.timestamp > time_ms + allowed_ms:
            set_aside.append(too_far_ahead(offset, transaction.timestamp, time_ms, allowed_ms, "append time"))
        else:
            kept.append(one)
    return [one[0] for one in kept], [one[1] for one in kept], [one[2] for one in kept]


def too_far_ahead(offset: Offset, event_ms: int, now_ms: int, allowed_ms: int, clock: str = "wall clock") -> SetAside:
    """Set aside a record whose event time is too far ahead."""
    why = f"timestamp {event_ms} is {event_ms - now_ms} ms ahead of the {clock}, allowed are {allowed_ms}"
    return SetAside(offset, Reason.TIMESTAMP_IN_FUTURE, why)


def below_watermark(event_ms: int, watermark_ms: int) -> str:
    """Say why a record is late."""
    return f"timestamp {event_ms} is {watermark_ms - event_ms} ms below the watermark {watermark_ms}"
