"""How a process is asked to stop, and how it ends.

Everything here keeps its time whatever the rest of the process does: a call of the client that does not come back, a
pipe that nobody reads.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

from service.process import stderr

STOP_TIMEOUT_S: Final = 10.0
"""From the signal to the end of the process, the last log lines included."""
FORCED_AFTER_S: Final = STOP_TIMEOUT_S - stderr.FLUSH_S
TICK_S: Final = 1.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def _nothing() -> None:
    pass


def _say_forced() -> None:
    print("txwatch: the command did not end in time after the signal", file=sys.stderr)  # noqa: T201


@dataclass(slots=True)
class Stop:
    """Set by a signal; looked at by everything that waits."""

    event: threading.Event = field(default_factory=threading.Event)
    on_tick: Callable[[], None] = _nothing
    """Called once a second, on a thread of its own, until the signal comes. It must not block."""
    forced: Callable[[], None] = _say_forced
    """Called before the process is ended by force. It must not block."""

    def asked(self) -> bool:
        """Whether it is time to stop."""
        return self.event.is_set()


def end_at_once_by_signals() -> None:
    """Until a command is under way there is nothing to be stopped: SIGTERM and SIGINT end the process, and well."""
    for number in _SIGNALS:
        signal.signal(number, lambda _signal, _frame: os._exit(0))


@contextmanager
def stopped_by_signals(tick_s: float = TICK_S) -> Iterator[Stop]:
    """SIGTERM and SIGINT set the flag; if the block is not left in time after that, the process ends with 0.

    A Python handler runs only when the main thread is back from C, and the client may keep it there for hours. So the
    interpreter writes the signal's number to a pipe, in C, and a thread reads that.
    """
    stop = Stop()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(stop, reading, over, tick_s), name="stop", daemon=True)
    thread.start()
    descriptor_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda _signal, _frame: None) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor_before)
        over.set()
        os.close(writing)  # ends the thread's wait
        thread.join()
        os.close(reading)


def _watch(stop: Stop, reading: int, over: threading.Event, tick_s: float) -> None:
    """Call ``on_tick`` until a signal comes, then give the command its time, and end the process after that."""
    while not over.is_set() and not stop.asked():
        if not select.select([reading], [], [], tick_s)[0]:
            stop.on_tick()
        elif any(number in _SIGNALS for number in os.read(reading, 1024)):
            stop.event.set()
    # What is cut off here was not committed, so the next owner reads it again.
    if not over.wait(FORCED_AFTER_S):
        stop.forced()
        end_at_once(0)


def end_process(code: int) -> NoReturn:
    """End the process at once, with nothing of the interpreter's or the libraries' own end.

    Threads of librdkafka may be at work, and one that is in a TLS handshake while OpenSSL cleans up crashes: of 400
    replays that a broker refused two ended with SIGSEGV. One that hangs would hold the end up.
    """
    if sys.stdout is not None:  # None where the descriptor was closed
        with suppress(OSError):  # whoever wrote there was told
            sys.stdout.flush()
    end_at_once(code)


def end_at_once(code: int) -> NoReturn:
    """The same from any thread, without standard output: a thread that waits there for a reader has locked it."""
    stderr.drain()
    os._exit(code)
