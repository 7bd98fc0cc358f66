"""Standard error that never blocks: a thread writes the lines. Lines that find no reader are dropped and counted.

O_NONBLOCK would need no thread, but other processes share the open file and would be affected.
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
"""Lines of this size in all wait for a slow reader."""
ONE_WRITE_BYTES: Final = 64 * 1024
FLUSH_S: Final = 2.0
"""How long the end of the process waits for unwritten lines."""
_INSTALLED: Final[list[Stderr]] = []
"""The stream that install() has put in place. A progress bar may have put its own before it."""


class _Line(NamedTuple):
    data: bytes
    gap: int
    """How many dropped lines it reports."""


class Stderr(io.TextIOBase):
    """A text stream whose write() never blocks and never fails.

    Lines keep their order. When more than ``most_bytes`` wait, new lines are dropped until half of that is written.
    Then a line reports how many were dropped.
    """

    def __init__(self, descriptor: int | None, *, encoding: str = "utf-8", most_bytes: int = MOST_BYTES) -> None:
        """``descriptor`` is None where standard error is closed: then every line is dropped."""
        self.gap_line: Callable[[int], str] = lambda lines: f"txwatch: {lines} lines were dropped here\n"
        """Makes the line about dropped lines. It is called with a lock held, so it must not write."""
        self._descriptor = descriptor
        self._encoding = encoding
        self._most = most_bytes
        self._changed = threading.Condition()
        self._begun = ""
        """The start of a line that is not complete yet."""
        self._lines: deque[_Line] = deque()
        self._bytes = 0
        """The size of the lines that are not written yet."""
        self._full = False
        self._dropped = 0
        self._unreported = 0
        self._thread: threading.Thread | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The name of the encoding."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """A character that the encoding lacks is written as a backslash escape."""
        return "backslashreplace"

    @property
    def dropped(self) -> int:
        """How many lines were dropped."""
        return self._dropped

    def writable(self) -> bool:
        """Always true."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def fileno(self) -> int:
        """The descriptor.

        Raises:
            OSError: standard error is closed.
        """
        if self._descriptor is None:
            raise io.UnsupportedOperation("standard error is closed")
        return self._descriptor

    def write(self, text: str) -> int:
        """Accept the text. A line is written when it is complete, or at a flush()."""
        with self._changed:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._take(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Hand over an incomplete line as it is, for progress bars. This does not wait; drain() does."""
        with self._changed:
            self._take_begun()

    def drain(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` until everything is written; returns whether it is."""
        with self._changed:
            self._take_begun()
            return self._changed.wait_for(lambda: not self._bytes, timeout_s)

    def _take_begun(self) -> None:
        if self._begun:
            text, self._begun = self._begun, ""
            self._take(text)

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
        except RuntimeError:  # no more threads are allowed, and the process is about to end with a line about it
            self._write_some()
        else:
            self._thread = thread

    def _run(self) -> None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._lines)
                self._write_some()

    def _write_some(self) -> None:
        """Write the oldest lines. The lock is released meanwhile, so that other threads can add lines."""
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
    """Write, and return the number of bytes. It waits for a slow reader; a closed pipe or full disk ends it early."""
    done = 0
    while done < len(data):
        try:
            done += os.write(descriptor, data[done:])
        except BlockingIOError:  # another process that shares the file has set O_NONBLOCK
            select.select([], [descriptor], [])
        except OSError:
            break
    return done


def install(program: str = "txwatch") -> None:
    """Replace ``sys.stderr`` by a Stderr for the whole process; ``program`` begins the line about dropped lines.

    /dev/null takes the descriptors of closed standard streams. Otherwise a connection to Kafka could get descriptor 2,
    and a C library's last message before an abort would go to a broker.
    """
    stream = sys.stderr
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - the descriptor of standard error
        pass
    os.close(free)
    # It is None where the interpreter found the descriptor closed.
    installed = Stderr(None) if stream is None else Stderr(stream.fileno(), encoding=stream.encoding)
    installed.gap_line = lambda lines: f"{program}: {lines} lines were dropped here\n"
    _INSTALLED[:] = [installed]
    sys.stderr = cast("TextIO", installed)
    # The client can raise an object that is no BaseException. No `except` catches it, and the interpreter ends.
    atexit.register(drain)


def dropped_lines() -> int:
    """How many lines could not be written to standard error since the start."""
    return sum(stream.dropped for stream in _INSTALLED)


def drain() -> None:
    """Wait up to FLUSH_S until the last lines are written."""
    for stream in _INSTALLED:
        stream.drain(FLUSH_S)
