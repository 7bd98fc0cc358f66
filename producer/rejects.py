"""Where malformed rows go: to the terminal, or to a file that can be repaired and replayed."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, TextIO

from producer.ports import Say
from producer.reading.rows import Reject

SHOWN_REJECTS: Final = 10
SHOWN_RAW_CHARS: Final = 200


class RejectsFileError(Exception):
    """The file of rejects cannot be written; the message names the option and the file."""


class Rejects(Protocol):
    """Takes malformed rows."""

    def open(self) -> None:
        """Prepare to take rows, once the input is known to be a CSV of transactions. Later calls do nothing.

        Raises:
            RejectsFileError: the file cannot be used.
        """
        ...

    def add(self, rejects: Sequence[Reject]) -> None:
        """Keep the rows or show them; raises RejectsFileError."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class ShownRejects:
    """Shows the first rejected rows and counts the others."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._count = 0

    def open(self) -> None:
        """Do nothing."""

    def add(self, rejects: Sequence[Reject]) -> None:
        """Show each row, up to `SHOWN_REJECTS` in all."""
        for reject in rejects:
            self._count += 1
            if self._count <= SHOWN_REJECTS:
                raw = reject.raw.encode(errors="surrogateescape").decode(errors="backslashreplace")
                raw = "".join(char if char.isprintable() else repr(char)[1:-1] for char in raw[:SHOWN_RAW_CHARS])
                more = "..." if len(reject.raw) > SHOWN_RAW_CHARS else ""
                self._say(f"line {reject.line} rejected: {reject.reason}: {raw}{more}")

    def close(self) -> None:
        """Print how many rows were not shown."""
        if self._count > SHOWN_REJECTS:
            self._say(f"{self._count - SHOWN_REJECTS} more rows rejected; --rejects FILE keeps them all")


class RejectsFile:
    """Writes rejected rows as CSV: line, reason, and the row exactly as in the input, byte for byte.

    With another ``--encoding`` than UTF-8, the row is in UTF-8 like the rest of the file.
    """

    HEADER: Final = ("line", "reason", "raw")

    def __init__(self, path: str, input_path: str, *, append: bool) -> None:
        """Take the path, and the input's, which must differ; with ``append``, rows of an earlier run stay."""
        self._path = path
        self._input_path = input_path
        self._append = append
        self._file: TextIO | None = None

    def open(self) -> None:
        """Create the file, or open it to append.

        Raises:
            RejectsFileError: it cannot be opened, is the input, or is not a file of rejects.
        """
        if self._file is not None:
            return
        try:
            both_exist = os.path.exists(self._path) and os.path.exists(self._input_path)  # noqa: PTH110  "" is no path
            if both_exist and os.path.samefile(self._path, self._input_path):  # noqa: PTH121
                raise RejectsFileError(f"--rejects {self._path} is the input file")
            has_header = self._has_header()
            # surrogateescape turns what was not UTF-8 back into the original bytes.
            self._file = Path(self._path).open(  # noqa: SIM115
                "a" if self._append else "w", newline="", encoding="utf-8", errors="surrogateescape"
            )
        except OSError as error:
            raise RejectsFileError(f"--rejects {self._path}: {error.strerror}") from error
        if not (has_header and self._append):
            self._write([self.HEADER])

    def _has_header(self) -> bool:
        """Whether an earlier run has written to the file; raises RejectsFileError if it holds something else."""
        path = Path(self._path)
        if not path.is_file() or not path.stat().st_size:
            return False
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            first = file.readline(SHOWN_RAW_CHARS).rstrip("\r\n").replace('"', "")
        if first != ",".join(self.HEADER):
            header = ",".join(self.HEADER)
            raise RejectsFileError(f"--rejects {self._path} is not a file of rejects ({header}): it is not overwritten")
        return True

    def add(self, rejects: Sequence[Reject]) -> None:
        """Write the rows at once, so that they are in the file even if the process crashes."""
        self._write([(reject.line, reject.reason, reject.raw) for reject in rejects])

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, rows: Iterable[tuple[str | int, ...]]) -> None:
        if self._file is None:
            return
        try:
            # All text is quoted: csv leaves a lone CR unquoted, and readers take that for a line's end.
            csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
            self._file.flush()
        except OSError as error:
            raise RejectsFileError(f"--rejects {self._path}: {error.strerror}") from error
