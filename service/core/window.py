"""Which window a time belongs to, and a wall clock without small steps back."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.model import TumblingWindow, WallTimeMs


@dataclass(frozen=True, slots=True)
class TumblingWindows:
    """Assigns each time to one window of ``size_ms``. The clocks decide when a window is over.

    A clock and its recovery use only the starts that these methods return, and each open window's own end.
    """

    size_ms: int

    def start_of(self, time_ms: int) -> int:
        """The start of the window that ``time_ms`` belongs to. The start belongs to it, the end to the next one."""
        return time_ms - time_ms % self.size_ms

    def at(self, start_ms: int) -> TumblingWindow:
        """The window that starts at ``start_ms``."""
        return TumblingWindow(start_ms, start_ms + self.size_ms)

    def of(self, time_ms: int) -> TumblingWindow:
        """The window that ``time_ms`` belongs to."""
        return self.at(self.start_of(time_ms))

    def first_open_ms(self, time_ms: int) -> int:
        """The start of the earliest window that ends after ``time_ms``: all that start before it are over."""
        return self.start_of(time_ms)


def window_at(time_ms: int, size_ms: int) -> TumblingWindow:
    """The window of ``size_ms`` that ``time_ms`` belongs to."""
    return TumblingWindows(size_ms).of(time_ms)


def outside(window: TumblingWindow, now_ms: WallTimeMs) -> bool:
    """Whether ``now_ms`` is not in ``start <= t < end``: at or after the end, or before the start.

    A time before the start is seen when the wall clock was set back.
    """
    return not window.start_ms <= now_ms < window.end_ms


class SteadyClock:
    """The wall clock without small steps back: after one, it stands still until the wall clock has caught up.

    So a window that was closed stays closed, and all partitions are in the same window. A step back of more than
    ``window_size_ms`` is accepted. It ends the open windows, which would otherwise stay open until that time comes.
    """

    __slots__ = ("_now_ms", "_tolerance_ms")

    def __init__(self, window_size_ms: int) -> None:
        """Start without a time."""
        self._tolerance_ms = window_size_ms
        self._now_ms: WallTimeMs | None = None

    def at(self, wall_ms: WallTimeMs) -> WallTimeMs:
        """The time to use when the wall clock shows ``wall_ms``."""
        if self._now_ms is None or not 0 < self._now_ms - wall_ms <= self._tolerance_ms:
            self._now_ms = wall_ms
        return self._now_ms
