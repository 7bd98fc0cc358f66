"""Windows of event time: a record belongs to the window that its own timestamp is in."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.clocks import AppendTimes, OpenWindow
from service.core.clocks.add_records import below_watermark, too_far_ahead, without_future
from service.core.clocks.detail import add_detail_by_event_time
from service.core.clocks.horizon import Horizon
from service.core.clocks.open_windows import OpenWindows
from service.core.model import (
    Accepted,
    Aggregate,
    ClockName,
    EventTimeMs,
    Filtered,
    Offset,
    Progress,
    ReadAhead,
    Reason,
    SetAside,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.money import ROUND, SCALE, UNITS_LIMIT
from service.core.rules import TaskRules
from service.core.watermark import NEVER_MS, BoundedOutOfOrderness, watermark_at
from service.core.window import TumblingWindows


class EventClock:
    """Several windows can be open. A window closes at the very record that moves the watermark to its end.

    A record below the watermark is late. It is added to its window while that is open, and set aside afterwards.
    """

    commits_while_open = True

    def __init__(self, rules: TaskRules, watermark: BoundedOutOfOrderness, ahead: ReadAhead | None = None) -> None:
        """Start without a window; windows that an earlier owner closed stay closed."""
        self.closed: list[WindowClosed] = []
        self._rules = rules
        self._watermark = watermark
        self._windows = TumblingWindows(rules.window_size_ms)
        self._open = OpenWindows()
        self._flushed_to_ms = NEVER_MS if ahead is None or ahead.closed_to_ms is None else ahead.closed_to_ms
        steps, known_to = ((), Offset(0)) if ahead is None else (ahead.horizons, ahead.read)
        self._ahead_of_append_ms = rules.max_future_ms if rules.future_by_append_time else 0
        """How far an event time may be ahead of its append time; 0: the wall clock decides."""
        self._horizon = Horizon(0 if rules.future_by_append_time else rules.max_future_ms, steps, known_to)

    @property
    def open_keys(self) -> int:
        """How many keys the open windows hold, counted for each window."""
        return self._open.keys

    def open_windows(self, most: int) -> list[OpenWindow]:
        """The windows that are open; at most ``most`` of them, those that were opened first."""
        return self._open.some(most)

    def open_aggregate(self, transaction_id: str) -> Aggregate | None:
        """A key's newest aggregate in the open windows; None where it has none."""
        return self._open.newest(transaction_id)

    def accept(  # noqa: C901, PLR0912, PLR0915 - one loop on purpose, as in add_records.py
        self,
        now_ms: WallTimeMs,
        offsets: Sequence[Offset],
        transactions: Sequence[Transaction],
        append_times: AppendTimes,
    ) -> Accepted:
        """Add each record by itself: it may advance the watermark, close windows, and belong to any open window.

        The sums repeat add_records() on purpose: with a call for each record the loop takes 0.40 us, not 0.26.
        """
        set_aside: list[SetAside] = []
        if self._ahead_of_append_ms:
            allowed_ms, times = self._ahead_of_append_ms, append_times()
            offsets, transactions, _ = without_future(allowed_ms, offsets, transactions, times, set_aside)
        if not transactions:
            return Accepted(0, set_aside)
        windows, watermark, horizon, flushed_to_ms = self._windows, self._watermark, self._horizon, self._flushed_to_ms
        closed_before = len(self.closed)
        lateness_ms, newest_ms = watermark.lateness_ms, watermark.newest_ms
        watermark_ms = newest_ms - lateness_ms
        sure_ms = horizon.sure_ms(offsets[0], now_ms)
        ceiling_ms = min(newest_ms, sure_ms)
        closes_at_ms = self._open.next_end_ms
        start_ms = end_ms = 0
        aggregates: dict[str, Aggregate] = {}
        late_total = 0
        late_ones: list[Aggregate] = []
        scale, rounding, bound, find = SCALE, ROUND, UNITS_LIMIT * UNITS_LIMIT, aggregates.get

        for offset, transaction in zip(offsets, transactions, strict=True):
            event_ms = transaction.timestamp
            if event_ms > ceiling_ms:
                if event_ms > sure_ms:
                    if not horizon.allows(offset, event_ms, now_ms):
                        set_aside.append(too_far_ahead(offset, event_ms, now_ms, self._rules.max_future_ms))
                        continue
                    sure_ms = horizon.sure_ms(offset, now_ms)
                if event_ms > newest_ms:
                    newest_ms = event_ms
                    watermark_ms = event_ms - lateness_ms
                    if watermark_ms >= closes_at_ms:
                        self._close(EventTimeMs(watermark_ms), watermark_ms)
                        closes_at_ms = self._open.next_end_ms
                        start_ms = end_ms = 0
                ceiling_ms = min(newest_ms, sure_ms)
            late = event_ms < watermark_ms
            late_total += late
            if not start_ms <= event_ms < end_ms:
                start = windows.start_of(event_ms)
                if start < windows.first_open_ms(watermark_ms) or start < flushed_to_ms:
                    late_total += not late
                    set_aside.append(SetAside(offset, Reason.LATE, self._closed(event_ms, start, watermark_ms)))
                    continue
                window = self._open.get(start)
                if window is None:
                    window = self._open.add(windows.at(start), offset, newest_ms)
                    closes_at_ms = self._open.next_end_ms
                start_ms, end_ms, aggregates = window.window.start_ms, window.window.end_ms, window.aggregates
                find = aggregates.get
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
            if late:
                late_ones.append(aggregate)
            aggregate.last_offset = offset
            aggregate.count += 1

        for aggregate in late_ones:
            aggregate.late_count += 1
        watermark.newest_ms = newest_ms
        if self._rules.detail.any:
            add_detail_by_event_time(
                self._rules.detail,
                windows,
                closed=self.closed[closed_before:],
                still_open=self._open,
                now_ms=now_ms,
                offsets=offsets,
                transactions=transactions,
                set_aside=set_aside,
            )
        return Accepted(late_total, set_aside)

    def pass_by(self, now_ms: WallTimeMs, record: Filtered) -> None:
        """Advance the watermark, and close the windows that it passes."""
        event_ms, watermark = record.timestamp, self._watermark
        if event_ms <= watermark.newest_ms:
            return
        if self._ahead_of_append_ms and event_ms > record.appended_ms + self._ahead_of_append_ms:
            return
        if event_ms > self._horizon.sure_ms(record.offset, now_ms) and not self._horizon.allows(
            record.offset, event_ms, now_ms
        ):
            return
        watermark.newest_ms = event_ms
        watermark_ms = EventTimeMs(event_ms - watermark.lateness_ms)
        if watermark_ms >= self._open.next_end_ms:
            self._close(watermark_ms, watermark_ms)

    def _close(self, watermark_ms: EventTimeMs, to_ms: int) -> None:
        """Close every window that ends at ``to_ms`` or earlier, earliest first."""
        self.closed += [
            WindowClosed(ClockName.EVENT, one.window, watermark_ms, one.aggregates) for one in self._open.take(to_ms)
        ]

    def _closed(self, event_ms: int, start_ms: int, watermark_ms: int) -> str:
        if start_ms < self._windows.first_open_ms(watermark_ms):
            return f"{below_watermark(event_ms, watermark_ms)}, which has closed its window"
        return f"timestamp {event_ms}: its window was closed by the wall clock while no record came"

    def tick(self, now_ms: WallTimeMs) -> None:
        """Do nothing: the wall clock does not advance event time."""

    def waits_for_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> bool:
        """Whether a window is open and no record has come for ``flush_after_ms``."""
        flush_after_ms = self._rules.flush_after_ms
        return bool(flush_after_ms and self._open) and now_ms - last_arrival_ms >= flush_after_ms

    def at_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> None:
        """Close every window if no record has come for ``flush_after_ms``. The watermark does not change."""
        if self.waits_for_end(now_ms, last_arrival_ms):
            self._flushed_to_ms = max(self._flushed_to_ms, self._open.last_end_ms)
            self.close_open()

    def close_open(self) -> None:
        """Close every open window, whatever the time."""
        watermark_ms = self._watermark.value_ms
        if watermark_ms is not None and self._open:
            self._close(watermark_ms, self._open.last_end_ms)

    def progress(self, next_offset: Offset) -> Progress:
        """Recovery starts at the earliest record of any open window, with the watermark there."""
        rules, watermark = self._rules, self._watermark
        first = self._open.first
        offset = next_offset if first is None else first.first_offset
        newest_ms = watermark.newest_ms if first is None else first.newest_ms
        closed_to_ms = self._flushed_to_ms
        if watermark.value_ms is not None:
            closed_to_ms = max(closed_to_ms, self._windows.first_open_ms(watermark.value_ms))
        ahead = ReadAhead(
            read=next_offset,
            watermark_ms=watermark.value_ms,
            closed_to_ms=None if closed_to_ms == NEVER_MS else closed_to_ms,
            clock=ClockName.EVENT,
            window_size_ms=rules.window_size_ms,
            lateness_ms=rules.lateness_ms,
            max_future_ms=rules.max_future_ms,
            late_policy=rules.late_policy,
            horizons=self._horizon.since(offset, next_offset),
        )
        return Progress(offset, watermark_at(newest_ms, rules.lateness_ms), ahead)
