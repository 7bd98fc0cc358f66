"""What a replay says of itself: the summary, the rejected rows, one line for each thing a person must know."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TextIO

from producer.csv_rows import Chunk, Reject
from producer.ports import Sink
from producer.replay import NS_PER_MS, NS_PER_S, Batch

SHOWN_REJECTS: Final = 10
SHOWN_RAW_CHARS: Final = 200

Say = Callable[[str], None]
"""Prints one line for people, to standard error."""


class RejectsFileError(Exception):
    """The file of rejected rows can't be written; the message names the option and the file."""


@dataclass(slots=True)
class Tally:
    """What happened so far; `Publisher` keeps the account of sink."""

    read: int = 0
    skipped_empty: int = 0
    rejected: int = 0
    event_time_ms: int | None = None
    """Event time reached, as sent."""
    lag_ns: int = 0
    """How long after it was due the last row was handed over."""
    max_lag_ns: int = 0

    def note_sent(self, batch: Batch, taken: int, lag_ns: int) -> None:
        """Count the first ``taken`` rows of a batch, the first of which went ``lag_ns`` after it was due."""
        if taken:
            self.read += taken
            reached_ms = batch.rows.timestamps_ms[taken - 1] + batch.shift_ms
            self.event_time_ms = reached_ms if self.event_time_ms is None else max(self.event_time_ms, reached_ms)
            self.lag_ns = lag_ns
            self.max_lag_ns = max(self.max_lag_ns, lag_ns)

    def settle(self, others: Chunk) -> None:
        """Count rejected and skipped rows."""
        self.rejected += len(others.rejects)
        self.skipped_empty += len(others.skipped)
        self.read += len(others.rejects) + len(others.skipped)


def summary_json(tally: Tally, sink: Sink, elapsed_ns: int, next_row: int) -> str:
    """Write the summary, one line of JSON.

    ``seconds`` count from the first row's due time to the last report; ``rows_per_second`` are delivered rows.
    """
    seconds = elapsed_ns / NS_PER_S
    return json.dumps(
        {
            "read": tally.read,
            "sent": sink.sent,
            "delivered": sink.delivered,
            "skipped_empty": tally.skipped_empty,
            "rejected": tally.rejected,
            "failed": sink.failed,
            "seconds": round(seconds, 3),
            "rows_per_second": round(sink.delivered / seconds, 1) if seconds else 0.0,
            "max_schedule_lag_ms": round(tally.max_lag_ns / NS_PER_MS, 1),
            "next_row": next_row,
        }
    )


class Rejects(Protocol):
    """Where malformed rows go."""

    def open(self) -> None:
        """Get ready, once the input is known to be good; raises RejectsFileError. Again is allowed."""
        ...

    def add(self, rejects: Sequence[Reject]) -> None:
        """Keep or show them; raises RejectsFileError."""
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
        """Show them, while they are few."""
        for reject in rejects:
            self._count += 1
            if self._count <= SHOWN_REJECTS:
                raw = reject.raw.encode(errors="surrogateescape").decode(errors="backslashreplace")
                raw = "".join(char if char.isprintable() else repr(char)[1:-1] for char in raw[:SHOWN_RAW_CHARS])
                more = "..." if len(reject.raw) > SHOWN_RAW_CHARS else ""
                self._say(f"line {reject.line} rejected: {reject.reason}: {raw}{more}")

    def close(self) -> None:
        """Say how many were not shown."""
        if self._count > SHOWN_REJECTS:
            self._say(f"{self._count - SHOWN_REJECTS} more rows rejected; --rejects FILE keeps them all")


class RejectsFile:
    """Writes rejected rows as CSV: line, reason, and the row exactly as it stands in the input, byte for byte."""

    HEADER: Final = ("line", "reason", "raw")

    def __init__(self, path: str, input_path: str) -> None:
        """Name the file, and the input that it must not be."""
        self._path = path
        self._input_path = input_path
        self._file: TextIO | None = None

    def open(self) -> None:
        """Start the file anew; raises RejectsFileError, also where it is the input."""
        if self._file is not None:
            return
        try:
            there = os.path.exists(self._path) and os.path.exists(self._input_path)  # noqa: PTH110  "" is no path
            if there and os.path.samefile(self._path, self._input_path):  # noqa: PTH121
                raise RejectsFileError(f"--rejects {self._path} is the input file")
            # surrogateescape turns what was not UTF-8 back into the bytes it was.
            self._file = Path(self._path).open("w", newline="", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        except OSError as error:
            raise RejectsFileError(f"--rejects {self._path}: {error.strerror}") from error
        self._write([self.HEADER])

    def add(self, rejects: Sequence[Reject]) -> None:
        """Write them at once, so that they are there whatever happens next."""
        self._write([(reject.line, reject.reason, reject.raw) for reject in rejects])

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, rows: Iterable[tuple[str | int, ...]]) -> None:
        if self._file is None:
            return
        try:
            # Quoted in any case: csv leaves a lone CR bare, and readers take that for a line's end.
            csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
            self._file.flush()
        except OSError as error:
            raise RejectsFileError(f"--rejects {self._path}: {error.strerror}") from error
