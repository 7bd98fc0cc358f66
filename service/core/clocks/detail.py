"""A second pass over a batch, for what only some detectors look at: extremes, and each key's latest record.

The hot loops add sums and counts for everyone. They stay as they are, whatever is configured: the clocks call this
pass after them, and only where TaskRules.detail asks for something.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from service.core.clocks import OpenWindow
from service.core.clocks.add_records import NO_HORIZON, add_records
from service.core.clocks.open_windows import OpenWindows
from service.core.model import (
    Accepted,
    Aggregate,
    AggregateDetail,
    Extremes,
    Latest,
    Offset,
    SetAside,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.rules import TaskRules
from service.core.watermark import BoundedOutOfOrderness
from service.core.window import TumblingWindows


def add_with_detail(
    rules: TaskRules,
    watermark: BoundedOutOfOrderness,
    aggregates: dict[str, Aggregate],
    *,
    now_ms: WallTimeMs,
    horizon_ms: int = NO_HORIZON,
    offsets: Sequence[Offset],
    transactions: Sequence[Transaction],
) -> Accepted:
    """Add records of one window by add_records(), and complete their aggregates where a detector asks for more."""
    accepted = add_records(rules, watermark, aggregates, now_ms, horizon_ms, offsets, transactions)
    if rules.detail.any:
        add_detail(
            rules.detail,
            aggregates,
            now_ms=now_ms,
            offsets=offsets,
            transactions=transactions,
            set_aside=accepted.set_aside,
        )
    return accepted


def add_detail(
    wanted: AggregateDetail,
    aggregates: dict[str, Aggregate],
    *,
    now_ms: WallTimeMs,
    offsets: Iterable[Offset],
    transactions: Sequence[Transaction],
    set_aside: Sequence[SetAside] = (),
) -> None:
    """Complete the aggregates of records that add_records() has just added, all of one window."""
    if set_aside:
        skipped = {one.offset for one in set_aside}
        kept = [one for one in zip(offsets, transactions, strict=True) if one[0] not in skipped]
        offsets, transactions = [one[0] for one in kept], [one[1] for one in kept]
    if wanted.extremes:
        _add_extremes(aggregates, transactions)
    if wanted.latest:
        _add_latest(aggregates, now_ms, offsets, transactions)


def add_detail_by_event_time(
    wanted: AggregateDetail,
    windows: TumblingWindows,
    *,
    closed: Sequence[WindowClosed],
    still_open: OpenWindows,
    now_ms: WallTimeMs,
    offsets: Sequence[Offset],
    transactions: Sequence[Transaction],
    set_aside: Sequence[SetAside],
) -> None:
    """Do the same for a batch whose records are in several windows; ``closed`` are those that it has closed."""
    skipped = {one.offset for one in set_aside}
    by_start: dict[int, tuple[list[Offset], list[Transaction]]] = {}
    start_ms = end_ms = 0
    for offset, transaction in zip(offsets, transactions, strict=True):
        if offset in skipped:
            continue
        if not start_ms <= transaction.timestamp < end_ms:
            window = windows.of(transaction.timestamp)
            start_ms, end_ms = window.start_ms, window.end_ms
            of_window = by_start.setdefault(start_ms, ([], []))
        of_window[0].append(offset)
        of_window[1].append(transaction)
    found: dict[int, WindowClosed | OpenWindow] = {one.window.start_ms: one for one in closed}
    for start_ms, (its_offsets, its_transactions) in by_start.items():
        one = still_open.get(start_ms) or found[start_ms]
        add_detail(wanted, one.aggregates, now_ms=now_ms, offsets=its_offsets, transactions=its_transactions)


def _add_extremes(aggregates: dict[str, Aggregate], transactions: Iterable[Transaction]) -> None:
    """Compare exactly. From a key's first Decimal on, both extremes are Decimals.

    Two floats compare as their shortest decimal forms do; a float and a Decimal would not.
    """
    for transaction in transactions:
        amount = transaction.amount
        aggregate = aggregates[transaction.transaction_id]
        found = aggregate.extremes
        if found is None:
            aggregate.extremes = Extremes(amount, amount)
            continue
        if amount.__class__ is not found.greatest.__class__:
            amount = _decimal(amount)
            found.greatest, found.least = _decimal(found.greatest), _decimal(found.least)
        if amount > found.greatest:
            found.greatest = amount
        elif amount < found.least:
            found.least = amount


def _decimal(amount: float | Decimal) -> Decimal:
    return Decimal(repr(amount)) if isinstance(amount, float) else amount


def _add_latest(
    aggregates: dict[str, Aggregate],
    now_ms: WallTimeMs,
    offsets: Iterable[Offset],
    transactions: Iterable[Transaction],
) -> None:
    for offset, transaction in zip(offsets, transactions, strict=True):
        aggregate = aggregates[transaction.transaction_id]
        found = aggregate.latest
        event_ms = transaction.timestamp
        if found is None:
            aggregate.latest = Latest(event_ms, offset, now_ms)
            continue
        if event_ms > found.event_ms:
            found.event_ms, found.offset = event_ms, offset
        found.arrived_ms = now_ms
