"""When each row is due: the pace, and how event times continue from pass to pass. Pure: the time is an argument.

All times are nanoseconds since the replay's start. The schedule depends on the rows alone: a late row does not delay
the next rows, so nothing drifts. A row that is out of order in the file is due with the row before it (see `disorder`
for places), so it is sent at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from producer.disorder import Order
from producer.reading.rows import NOTHING, Chunk, Reject, Rows

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
BATCH_ROWS_MAX: Final = 256
"""The most rows that are handed over before the clock is read again."""
ALIGN_MARGIN_MS: Final = 10
"""How long after the boundary an aligned replay starts. The clocks are not read at the same moment, and only in whole
milliseconds; without this margin the first row could be before the boundary."""
LONE_GAP_MS: Final = 1000
"""The event time between two passes over a file whose rows all have one time."""


@dataclass(frozen=True, slots=True)
class AsFast:
    """No schedule: every row is due at once."""


@dataclass(frozen=True, slots=True)
class AtRate:
    """Row n (from 0) is due n / ``rows_per_second`` after the start."""

    rows_per_second: float


@dataclass(frozen=True, slots=True)
class ByEventTime:
    """A row is due when its place in event time is reached, counted from the first row's and divided by the speed."""

    speed: float = 1.0
    max_gap_ns: int | None = None
    """The longest wait from one row to the next, after the speed is applied. None: no bound."""


Pace = AsFast | AtRate | ByEventTime


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one pass that are due."""

    rows: Rows
    due_ns: int | None
    """When the first of them was due; None without a schedule."""
    shift_ms: int
    """What is added to the rows' event times."""
    pass_number: int


@dataclass(frozen=True, slots=True, order=True)
class RowId:
    """A row among all passes. The order is that of reading."""

    pass_number: int
    number: int


@dataclass(slots=True)
class _Segment:
    rows: Rows
    dues_ns: Sequence[int]
    shift_ms: int
    pass_number: int
    others: Chunk
    """Rows that are not sent. They are settled with the last of ``rows``."""
    at: int = 0


def aligned_wait_ms(wall_ms: int, window_ms: int) -> int:
    """Return the time from ``wall_ms`` to just after the next multiple of ``window_ms``, in ms."""
    return window_ms - wall_ms % window_ms + ALIGN_MARGIN_MS


class Replay:
    """Takes rows as they are read, and returns batches when they are due.

    With ``continues``, the event times of each pass follow those of the pass before, after the mean spacing of its
    rows. Otherwise each pass repeats the same event times.
    """

    def __init__(self, pace: Pace, order: Order, *, continues: bool = False, at_once: bool = False) -> None:
        """Set the pace and the order. With ``at_once`` all rows are due at once, and the pace only sets `span_ns`."""
        self._pace = pace
        self._at_once = at_once
        self._order = order
        self._continues = continues
        self._segments: deque[_Segment] = deque()
        self._shift_ms = 0
        self._origin_ms: int | None = None
        self._scheduled = 0
        self._pass_number = 1
        self._pass_rows = 0
        self._pass_first_ms = self._pass_last_ms = 0
        self._next_pass_ms: int | None = None
        self.pending = 0
        """Rows that wait for their time, without those that the disorder holds back."""
        self.span_ns: int | None = None
        """The time from the first scheduled row to the last; None without a schedule."""
        self._reached_ms = 0

    def rebase(self, first_ms: int, to_ms: int) -> None:
        """Shift event times: ``first_ms``, that of the first row, becomes ``to_ms``. It is called before `add`."""
        self._shift_ms = to_ms - first_ms

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk of the file."""
        rows = chunk.rows
        if rows and not self._pass_rows:
            self._start_pass(rows.timestamps_ms[0])
        self._pass_rows += len(rows)
        if rows and self._continues:
            self._pass_last_ms = max(self._pass_last_ms, *rows.timestamps_ms)
        others = Chunk(Rows(), chunk.rejects, chunk.skipped) if chunk.rejects or chunk.skipped else NOTHING
        self._schedule(*self._order.add(rows), others)

    def end_pass(self) -> None:
        """Note the end of the file: the next row is row 1 of the next pass."""
        self._schedule(*self._order.end(), NOTHING)
        if self._continues and self._pass_rows:
            span_ms = self._pass_last_ms - self._pass_first_ms
            gap_ms = max(span_ms // (self._pass_rows - 1), 1) if span_ms else LONE_GAP_MS
            self._next_pass_ms = self._pass_last_ms + self._shift_ms + gap_ms
        self._pass_rows = 0
        self._pass_number += 1

    def due(self, now_ns: int) -> Batch | None:
        """Return the next rows that are due at ``now_ns`` since the start, in order, or None.

        They stay until `advance` passes over them. A batch without rows only settles rejected and skipped rows.
        """
        if not self._segments:
            return None
        segment = self._segments[0]
        start, end, dues_ns = segment.at, len(segment.rows), segment.dues_ns
        if dues_ns:
            end = bisect_right(dues_ns, now_ns, start, min(start + BATCH_ROWS_MAX, end))
            if end == start:
                return None
        due_ns = dues_ns[start] if dues_ns else None
        return Batch(segment.rows.part(start, end), due_ns, segment.shift_ms, segment.pass_number)

    def advance(self, count: int) -> Chunk:
        """Pass over ``count`` rows; returns the rejected and skipped rows that were read together with them."""
        segment = self._segments[0]
        segment.at += count
        self.pending -= count
        if segment.at < len(segment.rows):
            return NOTHING
        self._segments.popleft()
        return segment.others

    def next_due_ns(self) -> int | None:
        """Return when the next row is due, in ns since the start; None where no row waits."""
        if not self._segments:
            return None
        segment = self._segments[0]
        return segment.dues_ns[segment.at] if segment.dues_ns else 0

    def unsent(self) -> Iterator[RowId]:
        """Yield the rows that were added and not passed over."""
        for segment in self._segments:
            yield from (RowId(segment.pass_number, number) for number in segment.rows.numbers[segment.at :])
        yield from (RowId(self._pass_number, row.number) for row in self._order.held())

    def unsettled(self, before: RowId | None) -> Chunk:
        """Return the rejected and skipped rows that `advance` has not returned: those before a row, or all."""
        rejects: list[Reject] = []
        skipped: list[int] = []
        for segment in self._segments:

            def counts(number: int, pass_number: int = segment.pass_number) -> bool:
                return before is None or RowId(pass_number, number) < before

            rejects += [reject for reject in segment.others.rejects if counts(reject.number)]
            skipped += [number for number in segment.others.skipped if counts(number)]
        return Chunk(Rows(), rejects, skipped)

    def _start_pass(self, first_ms: int) -> None:
        if self._next_pass_ms is not None:
            self._shift_ms = self._next_pass_ms - first_ms
        if self._origin_ms is None:
            self._origin_ms = first_ms + self._shift_ms
        self._pass_first_ms = self._pass_last_ms = first_ms

    def _schedule(self, rows: Rows, places_ms: Sequence[int], others: Chunk) -> None:
        if not rows and others is NOTHING:
            return
        bounded = isinstance(self._pace, ByEventTime) and self._pace.max_gap_ns is not None
        if self._at_once and not bounded:
            # Only the end of the schedule is needed.
            dues_ns = self._dues_ns(places_ms[-1:], self._scheduled + len(rows) - 1, 1) if rows else ()
        else:
            dues_ns = self._dues_ns(places_ms, self._scheduled, len(rows))
        if dues_ns:
            self.span_ns = dues_ns[-1]
        self._scheduled += len(rows)
        self.pending += len(rows)
        self._segments.append(
            _Segment(rows, () if self._at_once else dues_ns, self._shift_ms, self._pass_number, others)
        )

    def _dues_ns(self, places_ms: Sequence[int], first: int, count: int) -> Sequence[int]:
        """Return when ``count`` rows at these places are due; the first of them is row ``first`` of the schedule."""
        match self._pace:
            case AsFast():
                return ()
            case AtRate(rate):
                return [round(n * NS_PER_S / rate) for n in range(first, first + count)]
            case ByEventTime(speed, max_gap_ns):
                base_ms, ns_per_ms = (self._origin_ms or 0) - self._shift_ms, NS_PER_MS / speed
                if max_gap_ns is not None:
                    return self._bounded_dues_ns(places_ms, ns_per_ms, max_gap_ns)
                return [int((place - base_ms) * ns_per_ms) for place in places_ms]

    def _bounded_dues_ns(self, places_ms: Sequence[int], ns_per_ms: float, max_gap_ns: int) -> Sequence[int]:
        """Add up the waits between places, each bounded by ``max_gap_ns``."""
        due_ns = self.span_ns or 0
        reached_ms = (self._origin_ms or 0) if self.span_ns is None else self._reached_ms
        dues_ns = []
        for place_ms in places_ms:
            at_ms = place_ms + self._shift_ms
            due_ns += min(int(max(at_ms - reached_ms, 0) * ns_per_ms), max_gap_ns)
            reached_ms = max(reached_ms, at_ms)
            dues_ns.append(due_ns)
        self._reached_ms = reached_ms
        return dues_ns
