"""How a process is asked to stop, and how it ends.

Everything here keeps its deadlines, even when a call of the client does not return or a pipe has no reader.
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
"""From the signal to the end of the process, including the last log lines."""
FORCED_AFTER_S: Final = STOP_TIMEOUT_S - stderr.FLUSH_S
TICK_S: Final = 1.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def _nothing() -> None:
    pass


def _say_forced() -> None:
    print("txwatch: the command did not end in time after the signal", file=sys.stderr)  # noqa: T201


@dataclass(slots=True)
class Stop:
    """The request to stop. A signal sets it; everything that waits checks it."""

    event: threading.Event = field(default_factory=threading.Event)
    reread: threading.Event = field(default_factory=threading.Event)
    """Set by SIGHUP, where the command reads its settings again: the reader clears it."""
    on_tick: Callable[[], None] = _nothing
    """Called once a second on a separate thread until the signal comes. It must not block."""
    forced: Callable[[], None] = _say_forced
    """Called just before the process is forced to end. It must not block."""

    def asked(self) -> bool:
        """Whether a signal has asked the process to stop."""
        return self.event.is_set()


def end_at_once_by_signals() -> None:
    """Let SIGTERM and SIGINT end the process at once with exit code 0, until a command has work to finish."""
    for number in _SIGNALS:
        signal.signal(number, lambda _signal, _frame: os._exit(0))


@contextmanager
def stopped_by_signals(tick_s: float = TICK_S, *, rereads: bool = False) -> Iterator[Stop]:
    """Let SIGTERM and SIGINT set the flag. If the block does not end in time after that, the process ends with 0.

    Where the command ``rereads`` its settings, SIGHUP sets the other flag; else it ends the process as usual.

    A Python handler runs only after the main thread has returned from C, and the client may keep it there for hours.
    So the interpreter writes the signal's number to a pipe from C, and a thread reads the pipe.
    """
    stop = Stop()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(stop, reading, over, tick_s), name="stop", daemon=True)
    thread.start()
    descriptor_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    heard = (*_SIGNALS, signal.SIGHUP) if rereads else _SIGNALS
    before = {number: signal.signal(number, lambda _signal, _frame: None) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor_before)
        over.set()
        os.close(writing)  # wakes the thread
        thread.join()
        os.close(reading)


def _watch(stop: Stop, reading: int, over: threading.Event, tick_s: float) -> None:
    """Call ``on_tick`` until a signal comes; then wait for the command, and force the end if it takes too long."""
    while not over.is_set() and not stop.asked():
        if not select.select([reading], [], [], tick_s)[0]:
            stop.on_tick()
            continue
        numbers = os.read(reading, 1024)
        if signal.SIGHUP in numbers:
            stop.reread.set()
        if any(number in _SIGNALS for number in numbers):
            stop.event.set()
    # Interrupted work was not committed, so the next owner reads those records again.
    if not over.wait(FORCED_AFTER_S):
        stop.forced()
        end_at_once(0)


def end_process(code: int) -> NoReturn:
    """End the process at once, without the exit handlers of the interpreter and of libraries.

    OpenSSL's handler crashes a thread of librdkafka that is in a TLS handshake, and a thread that hangs would delay the
    exit (docs/decisions/operations.md, "Both programs end with `os._exit`").
    """
    if sys.stdout is not None:  # None where the descriptor was closed
        with suppress(OSError):  # the command that wrote there has reported it
            sys.stdout.flush()
    end_at_once(code)


def end_at_once(code: int) -> NoReturn:
    """End the process from any thread. Standard output is not flushed: a thread that waits for its reader locks it."""
    stderr.drain()
    os._exit(code)
