"""Tumbling windows and the clock that says which one is open."""

from __future__ import annotations

from service.core.model import WallTimeMs, Window


def window_at(time_ms: int, size_ms: int) -> Window:
    """The window of ``size_ms`` that ``time_ms`` lies in. The start belongs to it, the end to the next one."""
    start_ms = time_ms - time_ms % size_ms
    return Window(start_ms, start_ms + size_ms)


class ProcessingClock:
    """Windows of the service's own wall clock.

    A wall clock may be set back. What has been emitted stays emitted: a time that falls into the window just
    closed counts for the next one, and only a greater step back is believed.
    """

    __slots__ = ("_closed", "size_ms")

    def __init__(self, size_ms: int) -> None:
        """No window has been closed yet."""
        self.size_ms = size_ms
        self._closed: Window | None = None

    def window_for(self, now_ms: WallTimeMs) -> Window:
        """The window of a record that is read at ``now_ms``."""
        window = window_at(now_ms, self.size_ms)
        if window == self._closed:
            return window_at(window.end_ms, self.size_ms)
        return window

    def is_over(self, window: Window, now_ms: WallTimeMs) -> bool:
        """Whether the wall clock has passed its end."""
        return now_ms >= window.end_ms

    def close(self, window: Window) -> None:
        """Remember that ``window`` has been emitted."""
        self._closed = window
