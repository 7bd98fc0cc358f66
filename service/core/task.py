"""Everything that txwatch keeps of one input partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.core.detectors import Detector
from service.core.model import (
    Accepted,
    Aggregate,
    EventTimeMs,
    LatePolicy,
    Offset,
    Reason,
    SetAside,
    Transaction,
    WallTimeMs,
    Window,
    WindowClosed,
)
from service.core.money import ROUND, SCALE, UNITS_LIMIT
from service.core.watermark import BoundedOutOfOrderness, Idleness
from service.core.window import is_over, window_at


@dataclass(frozen=True, slots=True)
class TaskRules:
    """What a task is told once; all times in milliseconds."""

    window_size_ms: int
    lateness_ms: int
    idle_after_ms: int
    max_future_ms: int
    """An event time further ahead of the wall clock is set aside; 0 lets everything pass."""
    late_policy: LatePolicy
    detectors: tuple[Detector, ...]


class PartitionTask:
    """Watermark, open window and next offset of one partition. It moves as a whole or is dropped as a whole."""

    def __init__(
        self, rules: TaskRules, now_ms: WallTimeMs, next_offset: Offset, watermark_ms: EventTimeMs | None = None
    ) -> None:
        """Take over where the last owner committed."""
        self.next_offset = next_offset
        self.window: Window | None = None
        self._rules = rules
        self._watermark = BoundedOutOfOrderness(rules.lateness_ms, watermark_ms)
        self._idleness = Idleness(rules.idle_after_ms, now_ms)
        self._aggregates: dict[str, Aggregate] = {}

    @property
    def watermark_ms(self) -> EventTimeMs | None:
        """The watermark, or None where no record has been seen."""
        return self._watermark.value_ms

    @property
    def open_keys(self) -> int:
        """How many keys the open window holds."""
        return len(self._aggregates)

    def caught_up(self) -> bool:
        """Whether everything in the partition has been read."""
        return self._idleness.caught_up(self.next_offset)

    def idle(self, now_ms: WallTimeMs) -> bool:
        """Whether the partition is caught up and silent, and so no longer holds back the service's watermark."""
        return self._idleness.idle(self.next_offset, now_ms)

    def arrived(self, now_ms: WallTimeMs, next_offset: Offset) -> None:
        """Records up to ``next_offset`` came at ``now_ms``, good or bad; accept() has had the good ones."""
        self.next_offset = next_offset
        self._idleness.last_arrival_ms = now_ms

    def reached_end(self, end_offset: Offset) -> None:
        """There is nothing below ``end_offset`` that was not read (transaction markers take up offsets, too)."""
        self.next_offset = max(self.next_offset, end_offset)
        self._idleness.reached = end_offset

    def accept(  # noqa: C901 - one loop on purpose, see below
        self, now_ms: WallTimeMs, offsets: Iterable[Offset], transactions: Sequence[Transaction]
    ) -> Accepted:
        """Judge each record by the watermark it meets, then add it to the window of ``now_ms``.

        The hottest loop of the service, which is why it holds everything in local names and does the common
        case of Total.add in place: 0.25 us a record against 0.40 with the calls (CPython 3.11, 2026-11).

        Raises:
            AssertionError: the open window is over; whoever drives the task ticks it first.
        """
        if self.window is None:
            self.window = window_at(now_ms, self._rules.window_size_ms)
        assert not is_over(self.window, now_ms), "tick() before accept()"  # noqa: S101
        rules, mark, aggregates = self._rules, self._watermark, self._aggregates
        lateness_ms, newest_ms = mark.lateness_ms, mark.newest_ms
        watermark_ms = newest_ms - lateness_ms
        horizon_ms = now_ms + rules.max_future_ms if rules.max_future_ms else 2**63
        bar_ms = min(newest_ms, horizon_ms)  # a restored watermark may lie beyond the horizon
        include = rules.late_policy is LatePolicy.INCLUDE
        late_total = 0
        late_keys: list[str] = []
        set_aside: list[SetAside] = []
        scale, rounding, limit = SCALE, ROUND, UNITS_LIMIT

        for offset, transaction in zip(offsets, transactions, strict=True):
            event_ms = transaction.timestamp
            key = transaction.transaction_id
            if event_ms > bar_ms:
                if event_ms > horizon_ms:
                    set_aside.append(SetAside(offset, Reason.TIMESTAMP_IN_FUTURE, _future(event_ms, now_ms, rules)))
                    continue
                newest_ms = bar_ms = event_ms
                watermark_ms = event_ms - lateness_ms
            elif event_ms < watermark_ms:
                late_total += 1
                if not include:
                    set_aside.append(SetAside(offset, Reason.LATE, _late(event_ms, watermark_ms)))
                    continue
                late_keys.append(key)
            try:
                aggregate = aggregates[key]
            except KeyError:
                aggregate = aggregates[key] = Aggregate(event_ms, offset)
            if event_ms > aggregate.max_timestamp:  # noqa: PLR1730 - a call for each record
                aggregate.max_timestamp = event_ms
            amount = transaction.amount
            try:
                units = (amount * scale + rounding) - rounding  # type: ignore[operator]
                total = aggregate.units + units
                if units / scale == amount and -limit < total < limit:
                    aggregate.units = total
                else:
                    aggregate.add(amount)
            except TypeError:  # a Decimal, from a record with more digits than a float keeps
                aggregate.add(amount)
            aggregate.last_offset = offset
            aggregate.count += 1

        for key in late_keys:
            aggregates[key].late_count += 1
        mark.newest_ms = newest_ms
        return Accepted(late_total, set_aside)

    def tick(self, now_ms: WallTimeMs) -> WindowClosed | None:
        """Close the open window if it is over, with no new record needed for it."""
        if self.window is None or not is_over(self.window, now_ms):
            return None
        window, aggregates = self.window, self._aggregates
        self.window, self._aggregates = None, {}
        watermark_ms = self._watermark.value_ms
        if not aggregates or watermark_ms is None:  # every record that opened it was set aside
            return None
        anomalies = [
            anomaly
            for transaction_id, aggregate in aggregates.items()
            for detector in self._rules.detectors
            if (anomaly := detector.judge(transaction_id, aggregate)) is not None
        ]
        return WindowClosed(window, watermark_ms, aggregates, anomalies)


def _future(event_ms: int, now_ms: int, rules: TaskRules) -> str:
    return f"timestamp {event_ms} is {event_ms - now_ms} ms ahead of the wall clock, allowed are {rules.max_future_ms}"


def _late(event_ms: int, watermark_ms: int) -> str:
    return f"timestamp {event_ms} is {watermark_ms - event_ms} ms below the watermark {watermark_ms}"
