"""Windows of ingestion time: a record belongs to the window in which the broker appended it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from service.core.clocks import AppendTimes, OpenWindow
from service.core.clocks.add_records import without_future
from service.core.clocks.detail import add_with_detail
from service.core.model import (
    Accepted,
    Aggregate,
    ClockName,
    Filtered,
    LatePolicy,
    Offset,
    Progress,
    ReadAhead,
    Reason,
    SetAside,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.rules import TaskRules
from service.core.watermark import NEVER_MS, BoundedOutOfOrderness, watermark_at
from service.core.window import TumblingWindows

_event_time = attrgetter("timestamp")


class IngestionClock:
    """One window is open at a time. A record of a later window closes it, so a window's offsets are consecutive.

    Append times go back when the partition gets a leader whose clock is behind. A record of a closed window follows the
    late policy; ``include`` adds it to the open window.
    """

    commits_while_open = True

    def __init__(self, rules: TaskRules, watermark: BoundedOutOfOrderness, ahead: ReadAhead | None = None) -> None:
        """Start without a window; windows that an earlier owner closed stay closed."""
        self.closed: list[WindowClosed] = []
        self._rules = rules
        self._watermark = watermark
        self._windows = TumblingWindows(rules.window_size_ms)
        self._open: OpenWindow | None = None
        self._closed_to_ms = NEVER_MS if ahead is None or ahead.closed_to_ms is None else ahead.closed_to_ms

    @property
    def open_keys(self) -> int:
        """How many keys the open window holds."""
        return 0 if self._open is None else len(self._open.aggregates)

    def open_windows(self, most: int) -> list[OpenWindow]:
        """The open window, if there is one."""
        del most
        return [] if self._open is None else [self._open]

    def open_aggregate(self, transaction_id: str) -> Aggregate | None:
        """A key's aggregate in the open window; None where it has none."""
        return None if self._open is None else self._open.aggregates.get(transaction_id)

    def accept(
        self,
        now_ms: WallTimeMs,
        offsets: Sequence[Offset],
        transactions: Sequence[Transaction],
        append_times: AppendTimes,
    ) -> Accepted:
        """Split the batch into runs of one window each, and add each run."""
        if not transactions:
            return Accepted(0, [])
        times = append_times()
        rules, late, set_aside = self._rules, 0, list[SetAside]()
        if rules.max_future_ms and max(map(_event_time, transactions)) > min(times) + rules.max_future_ms:
            offsets, transactions, times = without_future(rules.max_future_ms, offsets, transactions, times, set_aside)
        begin, count = 0, len(times)
        while begin < count:
            time_ms = times[begin]
            if time_ms < self._closed_to_ms:
                end, found = begin + 1, self._below(now_ms, time_ms, offsets[begin], transactions[begin])
            else:
                window = self._window_of(time_ms, offsets[begin])
                end = _run_end(times, begin, window.window.end_ms, self._closed_to_ms)
                found = self._add(window.aggregates, now_ms, offsets[begin:end], transactions[begin:end])
            late += found.late
            set_aside += found.set_aside
            begin = end
        return Accepted(late, set_aside)

    def _add(
        self,
        aggregates: dict[str, Aggregate],
        now_ms: WallTimeMs,
        offsets: Sequence[Offset],
        transactions: Sequence[Transaction],
    ) -> Accepted:
        """Add records of one window."""
        return add_with_detail(
            self._rules, self._watermark, aggregates, now_ms=now_ms, offsets=offsets, transactions=transactions
        )

    def _window_of(self, time_ms: int, offset: Offset) -> OpenWindow:
        """The window of ``time_ms``. An earlier open window is closed first, by the watermark before this record."""
        if self._open is not None and time_ms >= self._open.window.end_ms:
            self.close_open()
        if self._open is None:
            window = self._windows.of(time_ms)
            self._open = OpenWindow(window, offset, self._watermark.newest_ms)
            self._closed_to_ms = max(self._closed_to_ms, window.start_ms)
        return self._open

    def _below(self, now_ms: WallTimeMs, time_ms: int, offset: Offset, transaction: Transaction) -> Accepted:
        """Judge a record whose window is closed: it is late, whatever its event time."""
        rules, watermark = self._rules, self._watermark
        if rules.late_policy is not LatePolicy.INCLUDE:
            watermark.newest_ms = max(watermark.newest_ms, transaction.timestamp)
            why = f"append time {time_ms} is {self._closed_to_ms - time_ms} ms below the windows that are closed"
            return Accepted(1, [SetAside(offset, Reason.LATE, why)])
        aggregates = self._window_of(self._closed_to_ms, offset).aggregates
        found = self._add(aggregates, now_ms, (offset,), (transaction,))
        if not found.late:
            aggregates[transaction.transaction_id].late_count += 1
        return Accepted(1, [])

    def pass_by(self, now_ms: WallTimeMs, record: Filtered) -> None:
        """Advance the watermark. A record of a later window closes the open one first, as any record does.

        Otherwise a window's last watermark would depend on whether the wall clock closed it before this record.
        """
        del now_ms
        rules, appended_ms = self._rules, record.appended_ms
        if rules.max_future_ms and record.timestamp > appended_ms + rules.max_future_ms:
            return
        if self._open is not None and appended_ms >= self._open.window.end_ms:
            self.close_open()
        self._closed_to_ms = max(self._closed_to_ms, self._windows.start_of(appended_ms))
        self._watermark.newest_ms = max(self._watermark.newest_ms, record.timestamp)

    def tick(self, now_ms: WallTimeMs) -> None:
        """Do nothing: at a window's end by the wall clock, its records may still be on their way."""

    def waits_for_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> bool:
        """Whether the wall clock has passed the open window's end and the margin."""
        del last_arrival_ms
        return self._open is not None and now_ms >= self._open.window.end_ms + self._rules.margin_ms

    def at_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> None:
        """Close the open window if its end and the margin have passed: all of its records have been read."""
        if self._open is not None and self.waits_for_end(now_ms, last_arrival_ms):
            self._closed_to_ms = self._open.window.end_ms
            self.close_open()

    def close_open(self) -> None:
        """Close the open window, whatever the time."""
        done, self._open = self._open, None
        watermark_ms = self._watermark.value_ms
        if done is not None and done.aggregates and watermark_ms is not None:
            self.closed.append(WindowClosed(ClockName.INGESTION, done.window, watermark_ms, done.aggregates))

    def progress(self, next_offset: Offset) -> Progress:
        """Recovery starts at the open window's first record, with the watermark before it.

        A window without a sum is dropped: all of its records were set aside, and none must be read again.
        """
        if self._open is not None and not self._open.aggregates:
            self._open = None
        rules, watermark, first = self._rules, self._watermark, self._open
        ahead = ReadAhead(
            read=next_offset,
            watermark_ms=watermark.value_ms,
            closed_to_ms=None if self._closed_to_ms == NEVER_MS else self._closed_to_ms,
            clock=ClockName.INGESTION,
            window_size_ms=rules.window_size_ms,
            lateness_ms=rules.lateness_ms,
            max_future_ms=rules.max_future_ms,
            late_policy=rules.late_policy,
        )
        if first is None:
            return Progress(next_offset, watermark.value_ms, ahead)
        return Progress(first.first_offset, watermark_at(first.newest_ms, rules.lateness_ms), ahead)


def _run_end(times: Sequence[WallTimeMs], begin: int, end_ms: int, from_ms: int) -> int:
    """The index after the last record of the run that starts at ``begin`` and is in one window."""
    if not begin and max(times) < end_ms and min(times) >= from_ms:  # nearly every batch
        return len(times)
    return next((i for i in range(begin, len(times)) if not from_ms <= times[i] < end_ms), len(times))
