"""Reads blocks of bytes from a file, a named pipe or standard input, with bounded waits."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from producer.reading.csv_rows import CsvRows
from producer.reading.encodings import gunzipped
from producer.reading.errors import InputFileError
from producer.reading.layout import Layout

STDIN: Final = "-"
GZIP_SUFFIX: Final = ".gz"
BLOCK_BYTES: Final = 64 * 1024

WaitReadable = Callable[[float, int], bool]
"""(seconds, file descriptor) -> whether it can be read now."""


class Source:
    """A CSV file, which is opened for each pass."""

    def __init__(self, path: str, wait_readable: WaitReadable, layout: Layout) -> None:
        """Take a path, or ``-`` for standard input, and the file's layout."""
        self._path = path
        self._wait_readable = wait_readable
        self._layout = layout
        self.name = "standard input" if path == STDIN else path
        self.size: int | None = None
        """Bytes of one pass, if that was known at its beginning."""
        self.position = 0
        """Bytes read, in all passes."""
        self.patience_s = 0.0
        """How long to wait for a pipe before an empty block means that it has no data yet."""

    def open_pass(self, start_row: int) -> CsvRows:
        """Start a pass at a row. The file is opened when the first chunk is read."""
        blocks = self._blocks()
        if self._path.lower().endswith(GZIP_SUFFIX):
            blocks = gunzipped(blocks, self.name)
        return CsvRows(blocks, self.name, self._layout, start_row=start_row, grown=self.grown)

    def grown(self) -> bool:
        """Whether the file's size has changed since this pass began. A pipe never grows."""
        if self.size is None:
            return False
        try:
            about = os.fstat(0) if self._path == STDIN else os.stat(self._path)  # noqa: PTH116
        except OSError:
            return False  # a removed file cannot grow
        return about.st_size != self.size

    def _blocks(self) -> Iterator[bytes]:
        try:
            # O_NONBLOCK: otherwise opening a named pipe waits for its writer, and no signal ends that wait.
            fd = os.dup(0) if self._path == STDIN else os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                yield from self._read(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise InputFileError(f"{self.name}: {error.strerror}") from error

    def _read(self, fd: int) -> Iterator[bytes]:
        about = os.fstat(fd)
        regular = stat.S_ISREG(about.st_mode)
        self.size = about.st_size if regular else None
        while True:
            if not regular and not self._wait_readable(self.patience_s, fd):
                yield b""
                continue
            block = os.read(fd, BLOCK_BYTES)
            if not block:
                return
            self.position += len(block)
            yield block
