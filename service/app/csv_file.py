"""Reads a CSV for a command, with the replay's own reading."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Final

from producer.reading.errors import InputFileError
from producer.reading.layout import Layout
from producer.reading.rows import Chunk
from producer.reading.source import Source
from service.process.stop import Stop
from service.settings import SettingsError

PATIENCE_S: Final = 0.2
"""How long to wait for a pipe before looking at the stop again."""


def _wait_readable(seconds: float, descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


class CsvFile:
    """A file, a pipe, or standard input where the path is ``-``."""

    def __init__(self, path: str, layout: Layout, stop: Stop) -> None:
        """Open nothing yet."""
        self._source = Source(path, _wait_readable, layout)
        self._source.patience_s = PATIENCE_S
        self._stop = stop
        self.name = self._source.name

    @property
    def progress(self) -> tuple[int, int | None]:
        """How many bytes have been read, and of how many; None where that is not known."""
        return self._source.position, self._source.size

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows, until the end or the stop.

        Raises:
            SettingsError: the file cannot be read as a CSV of transactions, or a column is missing.
        """
        try:
            for chunk in self._source.open_pass(1):
                if self._stop.asked():
                    return
                yield chunk
        except InputFileError as error:
            raise SettingsError(str(error)) from None
