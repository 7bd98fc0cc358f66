"""Standard error that holds nobody up: a thread writes, and what it cannot write is dropped and counted.

O_NONBLOCK needs no thread, but it belongs to the open file, which other processes share.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, TextIO, cast

MOST_BYTES: Final = 256 * 1024
"""So much waits for a slow reader."""
ONE_WRITE_BYTES: Final = 64 * 1024
FLUSH_S: Final = 2.0
"""The end of the process waits so long for what is not written yet."""


class _Line(NamedTuple):
    data: bytes
    gap: int
    """So many dropped lines does it report."""


class Stderr(io.TextIOBase):
    """A text stream whose write() never blocks and never fails.

    Lines are written in their order. When more than ``most_bytes`` wait, whole lines are dropped until half of that is
    written; the next line then follows one that says how many.
    """

    def __init__(self, descriptor: int | None, *, encoding: str = "utf-8", most_bytes: int = MOST_BYTES) -> None:
        """``descriptor`` is None where standard error is closed: every line is dropped then."""
        self.gap_line: Callable[[int], str] = lambda lines: f"txwatch: {lines} lines were dropped here\n"
        """Makes the line about dropped ones. It is called with a lock held, so it may not write."""
        self._descriptor = descriptor
        self._encoding = encoding
        self._most = most_bytes
        self._changed = threading.Condition()
        self._begun = ""
        """A line whose end has not come yet."""
        self._lines: deque[_Line] = deque()
        self._bytes = 0
        """In lines that are not written yet."""
        self._full = False
        self._dropped = 0
        self._unreported = 0
        self._thread: threading.Thread | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How text becomes bytes."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What the encoding does not have is written with a backslash."""
        return "backslashreplace"

    @property
    def dropped(self) -> int:
        """Lines that were dropped."""
        return self._dropped

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def fileno(self) -> int:
        """The descriptor.

        Raises:
            OSError: there is none.
        """
        if self._descriptor is None:
            raise io.UnsupportedOperation("standard error is closed")
        return self._descriptor

    def write(self, text: str) -> int:
        """Take the text. A line is written when it has its end."""
        with self._changed:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._take(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Do nothing: to flush is to wait for a reader. drain() does that."""

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is written, at most so long; returns whether it is."""
        with self._changed:
            if self._begun:
                line, self._begun = self._begun, ""
                self._take(line)
            return self._changed.wait_for(lambda: not self._bytes, timeout_s)

    def _take(self, line: str) -> None:
        data = line.encode(self._encoding, self.errors)
        limit = self._most // 2 if self._full else self._most
        self._full = self._bytes > 0 and self._bytes + len(data) > limit
        if self._full or self._descriptor is None:
            self._drop(_Line(data, 0))
            return
        gap, self._unreported = self._unreported, 0
        if gap:
            data = self.gap_line(gap).encode(self._encoding, self.errors) + data
        self._lines.append(_Line(data, gap))
        self._bytes += len(data)
        self._changed.notify_all()
        if self._thread is None:
            self._start()

    def _drop(self, line: _Line) -> None:
        self._dropped += 1
        self._unreported += 1 + line.gap

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="stderr", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # this process may have no more threads, and is about to end with a line about it
            self._write_some()
        else:
            self._thread = thread

    def _run(self) -> None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._lines)
                self._write_some()

    def _write_some(self) -> None:
        """Write the oldest lines, without the lock: others add theirs meanwhile."""
        some: list[_Line] = []
        size = 0
        while self._lines and (not some or size + len(self._lines[0].data) <= ONE_WRITE_BYTES):
            some.append(self._lines.popleft())
            size += len(some[-1].data)
        self._changed.release()
        try:
            left = size - _written(cast("int", self._descriptor), b"".join(line.data for line in some))
        finally:
            self._changed.acquire()
        self._bytes -= size
        while left > 0:
            line = some.pop()
            left -= len(line.data)
            self._drop(line)
        self._changed.notify_all()


def _written(descriptor: int, data: bytes) -> int:
    """Write, however long that takes; returns how many bytes. Without a reader, or on a full disk, it is not all."""
    done = 0
    while done < len(data):
        try:
            done += os.write(descriptor, data[done:])
        except BlockingIOError:  # another process that shares the file has set O_NONBLOCK
            select.select([], [descriptor], [])
        except OSError:
            break
    return done


def install() -> None:
    """Put a Stderr in the place of standard error, for all of this process.

    Where standard streams are closed, /dev/null takes their descriptors. Otherwise a connection to Kafka could get
    descriptor 2, and what C libraries print before they abort would be sent to a broker.
    """
    stream = sys.stderr
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - the descriptor of standard error
        pass
    os.close(free)
    if stream is None:  # the interpreter found it closed
        sys.stderr = cast("TextIO", Stderr(None))
    else:
        sys.stderr = cast("TextIO", Stderr(stream.fileno(), encoding=stream.encoding))
    # The client can raise what is no BaseException, which ends the interpreter past every `except`.
    atexit.register(drain)


def dropped_lines() -> int:
    """Lines that could not be written to standard error since the start."""
    return sys.stderr.dropped if isinstance(sys.stderr, Stderr) else 0


def drain() -> None:
    """Wait for the last lines, for a bounded time."""
    if isinstance(sys.stderr, Stderr):
        sys.stderr.drain(FLUSH_S)
