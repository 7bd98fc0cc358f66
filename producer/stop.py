"""SIGINT and SIGTERM as a flag, a sleep that they cut short, and how the process ends."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn


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


def end_process(code: int) -> NoReturn:
    """End the process at once, with nothing of the interpreter's or the libraries' own end.

    Threads of librdkafka may be at work, and one that is in a TLS handshake while OpenSSL cleans up crashes: of 400
    replays that a broker refused two ended with SIGSEGV. One that hangs would hold the end up.
    """
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where the descriptor was closed
        with suppress(OSError):  # whoever wrote there was told
            stream.flush()
    os._exit(code)
