"""How a process is told to stop."""

from __future__ import annotations

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
