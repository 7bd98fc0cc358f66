"""Closes windows over the rows of a CSV: one partition's task, driven by hand, with windows of event time.

It decodes and judges each row as the service would judge the record that the replay makes of it. So the windows are
those of a service with `WINDOW_CLOCK=event` that reads the whole file from one partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from service.core.memory.alerts import Place
from service.core.memory.partition import Memory
from service.core.model import ClockName, LatePolicy, Offset, Partition, Progress, Reason, WallTimeMs, WindowClosed
from service.core.rules import TaskRules
from service.core.task import PartitionTask
from service.core.window import TumblingWindows
from service.wire.transactions import JsonDecoder, encode_transaction

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

    def __init__(self, rules: TaskRules) -> None:
        """Take the service's rules. The clock becomes `event`, and nothing is compared with the wall clock."""
        rules = replace(
            rules,
            clock=ClockName.EVENT,
            late_policy=LatePolicy.DIVERT if rules.late_policy is LatePolicy.INCLUDE else rules.late_policy,
            max_future_ms=0,
            flush_after_ms=_SILENT_MS,
        )
        self._task = PartitionTask(rules, _BEGIN_MS, Progress(Offset(0), None), Memory((), Place("", Partition(0))))
        self._windows = TumblingWindows(rules.window_size_ms)
        self._decoder = JsonDecoder()
        self.tally = Tally()
        self.bad: set[tuple[str, int]] = set()
        """Id and window's start of each window with a bad record."""

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
        values = list(map(encode_transaction, transaction_ids, timestamps_ms, amounts))
        transactions, rejections, _ = self._decoder.decode_values(values)
        kept = [index for index in range(len(values)) if index not in rejections]
        self.tally.rejected.update(one.reason for one in rejections.values())
        first = self._task.next_offset
        offsets = [Offset(first + index) for index in kept]
        accepted = self._task.accept(_BEGIN_MS, offsets, transactions, lambda: [_BEGIN_MS] * len(kept))
        if values:
            self._task.arrived(_BEGIN_MS, Offset(first + len(values)))
        outside = {one.offset - first for one in accepted.set_aside}
        self.tally.late += len(outside)
        self.tally.records += len(kept) - len(outside)
        for index, transaction in zip(kept, transactions, strict=True):
            if index in bad and index not in outside:
                self.bad.add((transaction.transaction_id, self._windows.start_of(transaction.timestamp)))
        return self._task.take_closed()

    def end(self) -> list[WindowClosed]:
        """Close all windows, as the service does for a partition that is read to its end and stays silent."""
        end = self._task.next_offset
        self._task.reached_end(end)
        self._task.at_end(WallTimeMs(_BEGIN_MS + _SILENT_MS), end)
        return self._task.take_closed()
