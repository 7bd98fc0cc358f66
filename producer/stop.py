"""SIGINT and SIGTERM as a flag, and a sleep that they cut short."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType


class Stop:
    """Set by the first signal; a second one makes it urgent. Handlers only set flags: the loop decides when to end."""

    def __init__(self) -> None:
        self.requested = False
        self.urgent = False
        self._wake_fd, self._signal_fd = os.pipe()
        os.set_blocking(self._signal_fd, False)

    def install(self) -> None:
        """Take over both signals. A handler alone doesn't end a select(), hence the byte written for each."""
        signal.set_wakeup_fd(self._signal_fd, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.urgent = self.requested
        self.requested = True

    def wait(self, seconds: float) -> None:
        """Sleep, but only until the first signal."""
        select.select([] if self.requested else [self._wake_fd], [], [], max(seconds, 0))

    def wait_readable(self, seconds: float, fd: int) -> bool:
        """Wait as long for ``fd``; returns whether it can be read now."""
        watched = [fd] if self.requested else [fd, self._wake_fd]
        return fd in select.select(watched, [], [], max(seconds, 0))[0]
