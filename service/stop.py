"""How a process is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


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
