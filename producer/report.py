"""What a replay says of itself: the summary, the rejected rows, one line for each thing a person must know."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import accumulate, islice
from operator import lt
from pathlib import Path
from typing import Final, Protocol, TextIO

from producer.disorder import is_sorted
from producer.ports import Sink
from producer.reading.rows import Chunk, Reject
from producer.replay import NS_PER_MS, NS_PER_S, Batch

SHOWN_REJECTS: Final = 10
SHOWN_RAW_CHARS: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

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
    earlier_rows: int = 0
    """Rows handed over whose event time is earlier than that of one before them in the same pass."""
    first_ms: int | None = None
    """Earliest event time of a row handed over, as in the file."""
    last_ms: int | None = None
    """Latest one."""
    last_line_unfinished: bool = False
    """Whether the file's last line has no end."""
    _pass_number: int = 0
    _reached: list[int] = field(default_factory=list)

    def note_sent(self, batch: Batch, taken: int, lag_ns: int) -> None:
        """Count the first ``taken`` rows of a batch, the first of which went ``lag_ns`` after it was due."""
        if taken:
            times_ms = batch.rows.part(0, taken).timestamps_ms
            self.read += taken
            self._note_order(times_ms, batch.pass_number)
            reached_ms = times_ms[-1] + batch.shift_ms
            self.event_time_ms = reached_ms if self.event_time_ms is None else max(self.event_time_ms, reached_ms)
            self.lag_ns = lag_ns
            self.max_lag_ns = max(self.max_lag_ns, lag_ns)

    def _note_order(self, times_ms: Sequence[int], pass_number: int) -> None:
        if pass_number != self._pass_number:
            self._pass_number, self._reached = pass_number, []
        if is_sorted(times_ms, self._reached):
            first_ms, last_ms = times_ms[0], times_ms[-1]
        else:
            reached_ms = islice(accumulate([*self._reached, *times_ms], max), len(self._reached), None)
            self.earlier_rows += sum(map(lt, times_ms, reached_ms))
            first_ms, last_ms = min(times_ms), max(times_ms)
        self._reached = [max([last_ms, *self._reached])]
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)

    def settle(self, others: Chunk) -> None:
        """Count rejected and skipped rows."""
        self.rejected += len(others.rejects)
        self.skipped_empty += len(others.skipped)
        self.read += len(others.rejects) + len(others.skipped)


def summary_json(tally: Tally, sink: Sink, elapsed_ns: int, next_row: int) -> str:
    """Write the summary, one line of JSON.

    ``seconds`` count from the first row's due time to the last report; ``rows_per_second`` are delivered rows. Event
    times are epoch ms as in the file, null without a row.
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
            "earlier_rows": tally.earlier_rows,
            "first_event_time": tally.first_ms,
            "last_event_time": tally.last_ms,
            "last_line_unfinished": tally.last_line_unfinished,
        }
    )


def times_line(tally: Tally, span_ns: int | None, zone: tzinfo) -> str | None:
    """Say for people when the rows were and how long they take; None without rows."""
    if tally.first_ms is None or tally.last_ms is None:
        return None
    span = "as fast as they can go" if span_ns is None else f"{span_ns / NS_PER_S:,.3f} s at this pace"
    return f"event times {_shown(tally.first_ms, zone)} to {_shown(tally.last_ms, zone)}, {span}"


def order_line(tally: Tally) -> str | None:
    """Say for people how many rows go back in time, and what can be done; None where none does."""
    if not tally.earlier_rows:
        return None
    rows = tally.read - tally.rejected - tally.skipped_empty
    newest_first = tally.earlier_rows >= rows - max(1, rows // 10)
    advice = "; --reverse reads a newest-first file from its end" if newest_first else ""
    return f"{tally.earlier_rows} of {rows} rows are earlier than one before them and go without a wait{advice}"


def _shown(time_ms: int, zone: tzinfo) -> str:
    when = _EPOCH + timedelta(milliseconds=time_ms)
    with suppress(OverflowError):  # the end of year 9999 may be in year 10000 there
        when = when.astimezone(zone)
    return when.isoformat(" ", "milliseconds" if time_ms % 1000 else "seconds")


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
    """Writes rejected rows as CSV: line, reason, and the row exactly as it stands in the input, byte for byte.

    With another ``--encoding`` than UTF-8 the row is in UTF-8, as the whole file.
    """

    HEADER: Final = ("line", "reason", "raw")

    def __init__(self, path: str, input_path: str, *, append: bool) -> None:
        """Name the file, and the input that it must not be; ``append`` keeps what an earlier run has written."""
        self._path = path
        self._input_path = input_path
        self._append = append
        self._file: TextIO | None = None

    def open(self) -> None:
        """Start the file, or go on with it; raises RejectsFileError, also where it is the input or something else."""
        if self._file is not None:
            return
        try:
            there = os.path.exists(self._path) and os.path.exists(self._input_path)  # noqa: PTH110  "" is no path
            if there and os.path.samefile(self._path, self._input_path):  # noqa: PTH121
                raise RejectsFileError(f"--rejects {self._path} is the input file")
            begun = self._is_begun()
            # surrogateescape turns what was not UTF-8 back into the bytes it was.
            self._file = Path(self._path).open(  # noqa: SIM115
                "a" if self._append else "w", newline="", encoding="utf-8", errors="surrogateescape"
            )
        except OSError as error:
            raise RejectsFileError(f"--rejects {self._path}: {error.strerror}") from error
        if not (begun and self._append):
            self._write([self.HEADER])

    def _is_begun(self) -> bool:
        """Tell whether an earlier run has begun the file; raises RejectsFileError where something else is there."""
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
