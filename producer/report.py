"""What a replay reports: the summary, and lines about its times and their order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import accumulate, islice
from operator import lt
from typing import Final

from producer.disorder import is_sorted
from producer.ports import Sink
from producer.reading.rows import Chunk
from producer.replay import NS_PER_MS, NS_PER_S, Batch

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Tally:
    """What has happened so far. The sink counts what was sent, delivered and failed."""

    read: int = 0
    skipped_empty: int = 0
    rejected: int = 0
    event_time_ms: int | None = None
    """The greatest event time sent, shifted as it was sent."""
    lag_ns: int = 0
    """The time from when the last row was due to when it was handed over."""
    max_lag_ns: int = 0
    earlier_rows: int = 0
    """Rows handed over that are earlier than a row before them in the same pass."""
    first_ms: int | None = None
    """The earliest event time of the rows handed over, as in the file."""
    last_ms: int | None = None
    """The latest one."""
    last_line_unfinished: bool = False
    """Whether the file's last line has no end."""
    _pass_number: int = 0
    _reached: list[int] = field(default_factory=list)

    def note_sent(self, batch: Batch, taken: int, lag_ns: int) -> None:
        """Count the first ``taken`` rows of a batch. Its first row was handed over ``lag_ns`` after it was due."""
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
    """Return the summary, one line of JSON.

    ``seconds`` is the time from when the first row was due to the last report. ``rows_per_second`` counts delivered
    rows. Event times are epoch ms as in the file, or null without a row.
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
    """Return a line with the first and last event time and the duration of the replay; None without rows."""
    if tally.first_ms is None or tally.last_ms is None:
        return None
    span = "as fast as possible" if span_ns is None else f"{span_ns / NS_PER_S:,.3f} s at this pace"
    return f"event times {_shown(tally.first_ms, zone)} to {_shown(tally.last_ms, zone)}, {span}"


def order_line(tally: Tally) -> str | None:
    """Return a line with the number of rows that go back in time, and advice; None where no row does."""
    if not tally.earlier_rows:
        return None
    rows = tally.read - tally.rejected - tally.skipped_empty
    newest_first = tally.earlier_rows >= rows - max(1, rows // 10)
    advice = "; --reverse reads a newest-first file from its end" if newest_first else ""
    return f"{tally.earlier_rows} of {rows} rows are earlier than a row before them and are sent without a wait{advice}"


def _shown(time_ms: int, zone: tzinfo) -> str:
    when = _EPOCH + timedelta(milliseconds=time_ms)
    with suppress(OverflowError):  # the end of year 9999 may be in year 10000 in this zone
        when = when.astimezone(zone)
    return when.isoformat(" ", "milliseconds" if time_ms % 1000 else "seconds")
