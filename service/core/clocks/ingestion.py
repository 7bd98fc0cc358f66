"""Windows of the broker's clock: a record belongs to the one in which it was appended to the topic."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from service.core.clocks import Appended, OpenWindow, Over
from service.core.clocks.add_records import NO_HORIZON, add_records, too_far_ahead
from service.core.model import (
    Accepted,
    ClockName,
    LatePolicy,
    Offset,
    Progress,
    ReadAhead,
    Reason,
    SetAside,
    Transaction,
    WallTimeMs,
)
from service.core.rules import TaskRules
from service.core.watermark import NEVER_MS, BoundedOutOfOrderness, watermark_at
from service.core.window import TumblingWindows

_event_time = attrgetter("timestamp")


class IngestionClock:
    """One open window at a time, which a record of a later one closes; so every window is a run of offsets.

    Append times may go back when the partition gets a leader whose clock is behind. A record below what is closed
    follows the late policy; under ``include`` it counts for the window that is open.
    """

    at_once = True

    def __init__(self, rules: TaskRules, watermark: BoundedOutOfOrderness, ahead: ReadAhead | None = None) -> None:
        """Start with no window, after what an earlier owner closed."""
        self.over: list[Over] = []
        self._rules = rules
        self._watermark = watermark
        self._windows = TumblingWindows(rules.window_size_ms)
        self._open: OpenWindow | None = None
        self._closed_to_ms = NEVER_MS if ahead is None or ahead.closed_to_ms is None else ahead.closed_to_ms

    @property
    def open_keys(self) -> int:
        """How many keys the open window holds."""
        return 0 if self._open is None else len(self._open.aggregates)

    def accept(
        self, now_ms: WallTimeMs, offsets: Sequence[Offset], transactions: Sequence[Transaction], appended: Appended
    ) -> Accepted:
        """Cut the batch into runs of one window each, and add those."""
        if not transactions:
            return Accepted(0, [])
        times = appended()
        rules, late, set_aside = self._rules, 0, list[SetAside]()
        if rules.max_future_ms and max(map(_event_time, transactions)) > min(times) + rules.max_future_ms:
            offsets, transactions, times = self._without_future(offsets, transactions, times, set_aside)
        begin, count = 0, len(times)
        while begin < count:
            time_ms = times[begin]
            if time_ms < self._closed_to_ms:
                end, found = begin + 1, self._below(now_ms, time_ms, offsets[begin], transactions[begin])
            else:
                window = self._window_of(time_ms, offsets[begin])
                end = _run_end(times, begin, window.window.end_ms, self._closed_to_ms)
                found = add_records(
                    rules,
                    self._watermark,
                    window.aggregates,
                    now_ms,
                    NO_HORIZON,
                    offsets[begin:end],
                    transactions[begin:end],
                )
            late += found.late
            set_aside += found.set_aside
            begin = end
        return Accepted(late, set_aside)

    def _without_future(
        self,
        offsets: Sequence[Offset],
        transactions: Sequence[Transaction],
        times: Sequence[WallTimeMs],
        set_aside: list[SetAside],
    ) -> tuple[list[Offset], list[Transaction], list[WallTimeMs]]:
        """Leave out event times too far ahead of their own append time, which is the same whenever they are read."""
        allowed_ms = self._rules.max_future_ms
        kept = []
        for one in zip(offsets, transactions, times, strict=True):
            offset, transaction, time_ms = one
            if transaction.timestamp > time_ms + allowed_ms:
                set_aside.append(too_far_ahead(offset, transaction.timestamp, time_ms, allowed_ms, "append time"))
            else:
                kept.append(one)
        return [one[0] for one in kept], [one[1] for one in kept], [one[2] for one in kept]

    def _window_of(self, time_ms: int, offset: Offset) -> OpenWindow:
        """The open window, or, after it, a new one. Its close has the watermark of before this record."""
        if self._open is not None and time_ms >= self._open.window.end_ms:
            self.close_open()
        if self._open is None:
            window = self._windows.of(time_ms)
            self._open = OpenWindow(window, offset, self._watermark.newest_ms)
            self._closed_to_ms = max(self._closed_to_ms, window.start_ms)
        return self._open

    def _below(self, now_ms: WallTimeMs, time_ms: int, offset: Offset, transaction: Transaction) -> Accepted:
        """A record whose window has been closed is late, whatever its event time."""
        rules, watermark = self._rules, self._watermark
        if rules.late_policy is not LatePolicy.INCLUDE:
            watermark.newest_ms = max(watermark.newest_ms, transaction.timestamp)
            why = f"append time {time_ms} is {self._closed_to_ms - time_ms} ms below the windows that are closed"
            return Accepted(1, [SetAside(offset, Reason.LATE, why)])
        aggregates = self._window_of(self._closed_to_ms, offset).aggregates
        found = add_records(rules, watermark, aggregates, now_ms, NO_HORIZON, (offset,), (transaction,))
        if not found.late:
            aggregates[transaction.transaction_id].late_count += 1
        return Accepted(1, [])

    def tick(self, now_ms: WallTimeMs) -> None:
        """The wall clock alone closes nothing: a record of the window may be on its way."""

    def waits_for_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> bool:
        """Whether the open window is over by the wall clock and the margin."""
        del last_arrival_ms
        return self._open is not None and now_ms >= self._open.window.end_ms + self._rules.margin_ms

    def at_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> None:
        """Close the open window: nothing that was appended in it is still to be read."""
        if self._open is not None and self.waits_for_end(now_ms, last_arrival_ms):
            self._closed_to_ms = self._open.window.end_ms
            self.close_open()

    def close_open(self) -> None:
        """Close the open window as it is."""
        done, self._open = self._open, None
        watermark_ms = self._watermark.value_ms
        if done is not None and done.aggregates and watermark_ms is not None:
            self.over.append(Over(ClockName.INGESTION, done.window, watermark_ms, done.aggregates))

    def progress(self, next_offset: Offset) -> Progress:
        """Start again at the open window's first record, by the watermark of before it.

        A window all of whose records were set aside is none: nothing of it need be read again.
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
    """Where the run of records of one window ends that begins at ``begin``."""
    if not begin and max(times) < end_ms and min(times) >= from_ms:  # nearly every batch
        return len(times)
    return next((i for i in range(begin, len(times)) if not from_ms <= times[i] < end_ms), len(times))
