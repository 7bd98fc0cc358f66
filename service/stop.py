"""How a process is told to stop, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn


@dataclass(slots=True)
class Stop:
    """Set by a signal; looked at by everything that waits."""

    event: threading.Event = field(default_factory=threading.Event)

    def asked(self) -> bool:
        """Whether it is time to stop."""
        return self.event.is_set()


def end_at_once_by_signals() -> None:
    """Until a command is under way there is nothing to be stopped: SIGTERM and SIGINT end the process, and well."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: os._exit(0))


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """SIGTERM and SIGINT set the flag and nothing else: an exception there could cost a fetched batch."""
    stop = Stop()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.event.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
