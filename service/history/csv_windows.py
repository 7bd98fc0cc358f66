"""Closes windows over the rows of a CSV: one partition's task, driven by hand, with windows of event time.

It decodes and judges each row as the service would judge the record that the replay makes of it. So the windows are
those of a service with `WINDOW_CLOCK=event` that reads the whole file from one partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from service.core.memory.alerts import Place
from service.core.memory.partition import Memory
from service.core.model import ClockName, LatePolicy, Offset, Partition, Progress, Reason, WallTimeMs, WindowClosed
from service.core.rules import TaskRules
from service.core.task import PartitionTask
from service.core.window import TumblingWindows
from service.wire.decoder import Decoded
from service.wire.feeding import feed
from service.wire.transactions import decode_rows

_BEGIN_MS: Final = WallTimeMs(0)
_SILENT_MS: Final = 1


@dataclass(slots=True)
class Tally:
    """What became of the rows."""

    records: int = 0
    """Rows in a window."""
    late: int = 0
    """Late rows whose window had closed; they are in no window."""
    rejected: Counter[Reason] = field(default_factory=Counter)
    """Rows that the service would reject."""


class CsvWindows:
    """Takes rows in the file's order, and returns windows as they close."""

    def __init__(
        self, rules: TaskRules, memory: Memory | None = None, on_bad: Callable[[str, int, int], None] | None = None
    ) -> None:
        """Take the service's rules. The clock becomes `event`, and nothing is compared with the wall clock.

        ``memory`` is what the detectors remember; without it nothing is judged. ``on_bad`` gets each bad record that
        is in a window: its id, the window's start and its event time; without it they are kept in ``bad``.
        """
        rules = replace(
            rules,
            clock=ClockName.EVENT,
            late_policy=LatePolicy.DIVERT if rules.late_policy is LatePolicy.INCLUDE else rules.late_policy,
            max_future_ms=0,
            flush_after_ms=_SILENT_MS,
        )
        if memory is None:
            memory = Memory((), Place("", Partition(0)))
        self.task: Final = PartitionTask(rules, _BEGIN_MS, Progress(Offset(0), None), memory)
        self._windows = TumblingWindows(rules.window_size_ms)
        self.tally = Tally()
        self.bad: set[tuple[str, int]] = set()
        """Id and window's start of each window with a bad record."""
        self._on_bad = on_bad or self._keep_bad

    def read(
        self,
        transaction_ids: Sequence[str],
        timestamps_ms: Sequence[int],
        amounts: Sequence[str],
        bad: Collection[int] = (),
    ) -> list[WindowClosed]:
        """Add rows; returns the windows that they close, earliest first.

        Args:
            transaction_ids: one for each row, as the following.
            timestamps_ms: event times.
            amounts: texts of JSON numbers.
            bad: the indexes of bad rows.
        """
        rows = len(transaction_ids)
        if not rows:
            return []
        decoded = decode_rows(transaction_ids, timestamps_ms, amounts)
        first = self.task.next_offset
        offsets: Sequence[Offset] = range(first, first + rows)  # type: ignore[assignment]
        fed = feed(self.task, decoded, offsets, _BEGIN_MS, lambda: [_BEGIN_MS] * rows)
        self.tally.late += sum(one.reason is Reason.LATE for one in fed.set_aside)
        self.tally.rejected.update(one.reason for one in decoded.rejections.values())
        self.tally.records += rows - len(fed.set_aside)
        if bad:
            outside = {one.offset - first for one in fed.set_aside}
            self._note_bad([index for index in bad if index not in outside], decoded)
        return self.task.take_closed()

    def _note_bad(self, indexes: Iterable[int], decoded: Decoded) -> None:
        """Note the windows of these rows, all of which are good."""
        for index in indexes:
            before = sum(one < index for one in decoded.rejections)
            transaction = decoded.transactions[index - before]
            event_ms = transaction.timestamp
            self._on_bad(transaction.transaction_id, self._windows.start_of(event_ms), event_ms)

    def _keep_bad(self, transaction_id: str, window_start_ms: int, _event_ms: int) -> None:
        self.bad.add((transaction_id, window_start_ms))

    def end(self) -> list[WindowClosed]:
        """Close all windows, as the service does for a partition that is read to its end and stays silent."""
        end = self.task.next_offset
        self.task.reached_end(end)
        self.task.at_end(WallTimeMs(_BEGIN_MS + _SILENT_MS), end)
        return self.task.take_closed()
