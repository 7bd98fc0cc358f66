"""How SIGINT and SIGTERM stop a replay: they set a flag, end its waits, and start a deadline for the process."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from service.process.stop import FORCED_AFTER_S, end_at_once

OVERDUE_S: Final = 1.5
"""How long before the forced end a call that hangs is released. It is more than the last reports take."""
EXIT_FORCED: Final = 1


def _nothing() -> None:
    pass


class Stop:
    """The first signal requests the stop, and a second one makes it urgent. Only the loop decides when to end."""

    def __init__(self) -> None:
        self.requested = False
        self.urgent = False
        self.release: Callable[[], None] = _nothing
        """Makes a call of the client that hangs return; called on a thread, so it must not block."""
        self._wake_fd, self._signal_fd = os.pipe()
        os.set_blocking(self._signal_fd, False)

    def install(self) -> None:
        """Handle both signals. A handler alone does not end a select(), so each signal also writes a byte to a pipe."""
        signal.set_wakeup_fd(self._signal_fd, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.urgent = self.requested
        self.requested = True

    def end_in_time(self, say: Callable[[], None]) -> None:
        """Force the end of the process `FORCED_AFTER_S` after a signal, whatever the main thread does then.

        A wait of the client may hang for hours when the wall clock is set back, and no handler runs meanwhile.
        Opening a FIFO without a writer does not end by a signal either. `release` is called `OVERDUE_S` before the end,
        so that the main thread can still end the process itself. ``say`` is called just before the end, on a thread,
        and must not block.

        Raises:
            RuntimeError: the thread cannot be started.
        """
        threading.Thread(target=self._force_end, args=(say,), name="stop", daemon=True).start()

    def _force_end(self, say: Callable[[], None]) -> None:
        select.select([self._wake_fd], [], [])  # nothing reads the pipe, so the loop's waits see the byte, too
        time.sleep(FORCED_AFTER_S - OVERDUE_S)
        self.requested = self.urgent = True
        self.release()
        time.sleep(OVERDUE_S)
        say()
        end_at_once(EXIT_FORCED)

    def wait(self, seconds: float) -> None:
        """Sleep, but only until the first signal."""
        select.select([] if self.requested else [self._wake_fd], [], [], max(seconds, 0))

    def wait_readable(self, seconds: float, fd: int) -> bool:
        """Wait until ``fd`` can be read, but no longer than the time or the first signal; returns whether it can."""
        watched = [fd] if self.requested else [fd, self._wake_fd]
        return fd in select.select(watched, [], [], max(seconds, 0))[0]
