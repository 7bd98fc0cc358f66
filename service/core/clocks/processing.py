"""Windows of the wall clock: a record belongs to the one in which it is read."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.clocks import Appended, OpenWindow, Over
from service.core.clocks.add_records import NO_HORIZON, add_records
from service.core.model import Accepted, ClockName, Offset, Progress, Transaction, WallTimeMs
from service.core.rules import TaskRules
from service.core.watermark import BoundedOutOfOrderness
from service.core.window import TumblingWindows, outside


class ProcessingClock:
    """One open window at a time, the same for all partitions: when it is over, nothing is open but the watermark."""

    at_once = False

    def __init__(self, rules: TaskRules, watermark: BoundedOutOfOrderness) -> None:
        """Start with no window; ``mark`` is the partition's watermark, which accept() moves."""
        self.over: list[Over] = []
        self._rules = rules
        self._watermark = watermark
        self._windows = TumblingWindows(rules.window_size_ms)
        self._open: OpenWindow | None = None

    @property
    def open_keys(self) -> int:
        """How many keys the open window holds."""
        return 0 if self._open is None else len(self._open.aggregates)

    def accept(
        self, now_ms: WallTimeMs, offsets: Sequence[Offset], transactions: Sequence[Transaction], _: Appended
    ) -> Accepted:
        """Add everything to the window of ``now_ms``.

        Raises:
            AssertionError: the open window is over; whoever drives the task ticks it first.
        """
        rules = self._rules
        if self._open is None:
            first = offsets[0] if offsets else Offset(0)
            self._open = OpenWindow(self._windows.of(now_ms), first, self._watermark.newest_ms)
        assert not outside(self._open.window, now_ms), "tick() before accept()"  # noqa: S101
        horizon_ms = now_ms + rules.max_future_ms if rules.max_future_ms else NO_HORIZON
        return add_records(rules, self._watermark, self._open.aggregates, now_ms, horizon_ms, offsets, transactions)

    def tick(self, now_ms: WallTimeMs) -> None:
        """Close the open window if it is over."""
        if self._open is not None and outside(self._open.window, now_ms):
            self.close_open()

    def waits_for_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> bool:
        """Never: what is read later belongs to a later window."""
        del now_ms, last_arrival_ms
        return False

    def at_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> None:
        """Nothing is closed by that."""

    def close_open(self) -> None:
        """Close the open window as it is."""
        done, self._open = self._open, None
        watermark_ms = self._watermark.value_ms
        if done is not None and done.aggregates and watermark_ms is not None:  # else all of it was set aside
            self.over.append(Over(ClockName.PROCESSING, done.window, watermark_ms, done.aggregates))

    def progress(self, next_offset: Offset) -> Progress:
        """All that was read: no window is open."""
        assert self._open is None, "tick() before progress()"  # noqa: S101
        return Progress(next_offset, self._watermark.value_ms)
