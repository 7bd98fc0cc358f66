"""Windows of processing time: a record belongs to the window in which the service reads it."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.clocks import AppendTimes, OpenWindow
from service.core.clocks.add_records import NO_HORIZON
from service.core.clocks.detail import add_with_detail
from service.core.model import (
    Accepted,
    Aggregate,
    ClockName,
    Filtered,
    Offset,
    Progress,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.rules import TaskRules
from service.core.watermark import BoundedOutOfOrderness
from service.core.window import TumblingWindows, outside


class ProcessingClock:
    """One window is open at a time, the same for all partitions. At its end the watermark is the only state."""

    commits_while_open = False

    def __init__(self, rules: TaskRules, watermark: BoundedOutOfOrderness) -> None:
        """Start without a window; accept() advances ``watermark``."""
        self.closed: list[WindowClosed] = []
        self._rules = rules
        self._watermark = watermark
        self._windows = TumblingWindows(rules.window_size_ms)
        self._open: OpenWindow | None = None

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
        self, now_ms: WallTimeMs, offsets: Sequence[Offset], transactions: Sequence[Transaction], _: AppendTimes
    ) -> Accepted:
        """Add all records to the window of ``now_ms``.

        Raises:
            AssertionError: the open window should have been closed; call tick() first.
        """
        rules = self._rules
        if self._open is None:
            first = offsets[0] if offsets else Offset(0)
            self._open = OpenWindow(self._windows.of(now_ms), first, self._watermark.newest_ms)
        assert not outside(self._open.window, now_ms), "tick() before accept()"  # noqa: S101
        horizon_ms = now_ms + rules.max_future_ms if rules.max_future_ms else NO_HORIZON
        return add_with_detail(
            rules,
            self._watermark,
            self._open.aggregates,
            now_ms=now_ms,
            horizon_ms=horizon_ms,
            offsets=offsets,
            transactions=transactions,
        )

    def pass_by(self, now_ms: WallTimeMs, record: Filtered) -> None:
        """Advance the watermark, which an open window takes with it when it closes."""
        max_future_ms = self._rules.max_future_ms
        if not max_future_ms or record.timestamp <= now_ms + max_future_ms:
            self._watermark.newest_ms = max(self._watermark.newest_ms, record.timestamp)

    def tick(self, now_ms: WallTimeMs) -> None:
        """Close the open window if ``now_ms`` is outside it."""
        if self._open is not None and outside(self._open.window, now_ms):
            self.close_open()

    def waits_for_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> bool:
        """Always false: a record that is read later belongs to a later window."""
        del now_ms, last_arrival_ms
        return False

    def at_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> None:
        """Do nothing: only tick() closes windows."""

    def close_open(self) -> None:
        """Close the open window, whatever the time."""
        done, self._open = self._open, None
        watermark_ms = self._watermark.value_ms
        if done is not None and done.aggregates and watermark_ms is not None:  # otherwise all records were set aside
            self.closed.append(WindowClosed(ClockName.PROCESSING, done.window, watermark_ms, done.aggregates))

    def progress(self, next_offset: Offset) -> Progress:
        """Recovery starts at ``next_offset``: no window is open."""
        assert self._open is None, "tick() before progress()"  # noqa: S101
        return Progress(next_offset, self._watermark.value_ms)
