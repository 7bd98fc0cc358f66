"""Stores parts of a file in order, and returns them from the last to the first.

Only reading from the file's beginning shows where a record starts. So a file that is to be read from its end is first
read forward, into a temporary file without a name. Memory holds one part at a time.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from producer.reading.errors import InputFileError
from producer.reading.records import Records


class Part(NamedTuple):
    """Lines that are whole records."""

    lines: list[str]
    lines_before: int
    damaged: bool
    overlong: bool
    records: Records | None
    """None if each line is a record."""


class Spool:
    """Stores parts and returns them. It must be closed. All methods raise InputFileError for an error of the disk."""

    def __init__(self) -> None:
        """Create the temporary file, in TMPDIR."""
        with _named_errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
        self._starts: list[int] = []

    def add(self, part: Part) -> None:
        """Store a part."""
        self._starts.append(self._file.tell())
        with _named_errors():
            pickle.dump(part, self._file, pickle.HIGHEST_PROTOCOL)

    def reversed(self) -> Iterator[Part]:
        """Yield the parts, the last one first."""
        for start in reversed(self._starts):
            with _named_errors():
                self._file.seek(start)
                part: Part = pickle.load(self._file)  # noqa: S301  no other program can write there
            yield part

    def close(self) -> None:
        """Remove the file."""
        with _named_errors():
            self._file.close()


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputFileError(f"temporary file in {tempfile.gettempdir()}: {error.strerror or error}") from error
