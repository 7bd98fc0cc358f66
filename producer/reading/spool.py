"""Parts of a file, written down in order and given back from the last to the first.

Where a record starts can only be known from the file's beginning. So a file that is read from its end is read forward
once, into a temporary file that has no name; memory holds one part at a time.
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
    """None where each line is a record."""


class Spool:
    """Takes parts, then gives them back; close it. All methods raise InputFileError where the disk says no."""

    def __init__(self) -> None:
        """Make the temporary file where TMPDIR says."""
        with _named_errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
        self._starts: list[int] = []

    def add(self, part: Part) -> None:
        """Write a part down."""
        self._starts.append(self._file.tell())
        with _named_errors():
            pickle.dump(part, self._file, pickle.HIGHEST_PROTOCOL)

    def reversed(self) -> Iterator[Part]:
        """Yield the parts, the last one first."""
        for start in reversed(self._starts):
            with _named_errors():
                self._file.seek(start)
                part: Part = pickle.load(self._file)  # noqa: S301  nobody else can write there
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
