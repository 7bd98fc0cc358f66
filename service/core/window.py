"""Tumbling windows of the wall clock."""

from __future__ import annotations

from service.core.model import WallTimeMs, Window


def window_at(time_ms: int, size_ms: int) -> Window:
    """The window of ``size_ms`` that ``time_ms`` lies in. The start belongs to it, the end to the next one."""
    start_ms = time_ms - time_ms % size_ms
    return Window(start_ms, start_ms + size_ms)


def outside(window: Window, now_ms: WallTimeMs) -> bool:
    """Whether ``now_ms`` lies outside: beyond the end, or before the start because the clock was set back."""
    return not window.start_ms <= now_ms < window.end_ms


class SteadyClock:
    """The wall clock as windows need it: it stands still where it was set back a little.

    What has been emitted stays emitted, and all partitions are in one window at any time. A step back of more than
    a window is believed; it ends the open windows at once, or they would stay open until that time comes again.
    """

    __slots__ = ("_now_ms", "_tolerance_ms")

    def __init__(self, window_size_ms: int) -> None:
        """No time has been seen."""
        self._tolerance_ms = window_size_ms
        self._now_ms: WallTimeMs | None = None

    def at(self, wall_ms: WallTimeMs) -> WallTimeMs:
        """The time to go by when the wall clock shows ``wall_ms``."""
        if self._now_ms is None or not 0 < self._now_ms - wall_ms <= self._tolerance_ms:
            self._now_ms = wall_ms
        return self._now_ms
