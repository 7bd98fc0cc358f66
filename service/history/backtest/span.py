"""A span of the input topic, by Kafka timestamps, and one configuration's tasks over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from service.core.model import ClockName, Offset, Partition, Progress, Reason, WallTimeMs
from service.core.rules import TaskRules
from service.core.task import PartitionTask
from service.history.backtest.side import Side
from service.wire.decoder import Decoder
from service.wire.feeding import feed, offsets_of
from service.wire.records import InRecord

Times = Sequence[WallTimeMs]
"""The Kafka timestamp of each record of a batch."""


@dataclass(frozen=True, slots=True)
class Span:
    """Epoch milliseconds, ``from_ms <= t < to_ms``."""

    from_ms: int
    to_ms: int | None = None
    """None: to the end of the topic."""
    warm_up_from_ms: int | None = None
    """From where states and watermarks are built up, without a report."""

    @property
    def begin_ms(self) -> int:
        """Where reading begins."""
        return self.from_ms if self.warm_up_from_ms is None else min(self.from_ms, self.warm_up_from_ms)

    def runs(self, records: Sequence[InRecord], times: Times) -> Iterator[tuple[Sequence[InRecord], Times, bool]]:
        """Yield the records of the span in their order, in runs that are reported, or only warm up."""
        if min(times) >= self.from_ms and (self.to_ms is None or max(times) < self.to_ms):
            yield records, times, True
            return
        inside = [
            one
            for one in zip(records, times, strict=True)
            if one[1] >= self.begin_ms and (self.to_ms is None or one[1] < self.to_ms)
        ]
        for report, run in groupby(inside, lambda one: one[1] >= self.from_ms):
            found = list(run)
            yield [one[0] for one in found], [one[1] for one in found], report


class TopicRun:
    """The tasks of one configuration. Each partition begins without a watermark, with empty states."""

    def __init__(self, side: Side, rules: TaskRules, decoder: Decoder, *, warm_up: bool) -> None:
        """``rules`` are those of the tasks: their clock is not ``processing``."""
        self.side: Final = side
        self._rules = rules
        self._decoder = decoder
        self._warm_up = warm_up
        self._tasks: dict[Partition, PartitionTask] = {}
        self._flush_after_ms = rules.flush_after_ms if rules.clock is ClockName.EVENT else 0
        self._last_ms: dict[Partition, WallTimeMs] = {}

    def feed(self, partition: Partition, records: Sequence[InRecord], times: Times, *, report: bool) -> None:
        """Feed consecutive records of a partition.

        Raises:
            DetectorError: a detector raised an exception.
        """
        if self._flush_after_ms:
            for run in self._between_silences(partition, times):
                self._flush(partition, records[run.start], times[run.start])
                self._feed(partition, records[run], times[run], report=report)
        else:
            self._feed(partition, records, times, report=report)

    def _feed(self, partition: Partition, records: Sequence[InRecord], times: Times, *, report: bool) -> None:
        offsets = offsets_of(records)
        task = self._tasks.get(partition)
        if task is None:
            begin = Progress(offsets[0], None)
            task = self._tasks[partition] = PartitionTask(self._rules, times[0], begin, self.side.memory(partition))
        if self._warm_up:
            self.side.reported(partition).from_offset(offsets[0], value=report)
        decoded = self._decoder.decode(records)
        now_ms = max(times)
        fed = feed(task, decoded, offsets, now_ms, lambda: times)
        if report:
            self.side.late += fed.late
            self.side.filtered += len(decoded.filtered)
            self.side.rejected.update(one.reason for one in fed.set_aside if one.reason is not Reason.LATE)
        self.side.judge(partition, task, task.take_closed(), now_ms)

    def _between_silences(self, partition: Partition, times: Times) -> Iterator[slice]:
        """Cut where the partition was silent for so long that the service flushed its windows."""
        before = self._last_ms.get(partition, times[0])
        gaps = enumerate(pairwise([before, *times]))
        cuts = [index for index, (last, this) in gaps if this - last >= self._flush_after_ms]
        self._last_ms[partition] = times[-1]
        for begin, end in pairwise([0, *(cut for cut in cuts if cut), len(times)]):
            yield slice(begin, end)

    def _flush(self, partition: Partition, record: InRecord, at_ms: WallTimeMs) -> None:
        """Close windows as the service does when it has read everything and nothing comes for a while."""
        if partition in self._tasks:
            self.end(partition, record.offset(), at_ms)

    def end(self, partition: Partition, end_offset: Offset, at_ms: WallTimeMs) -> None:
        """Close the windows that the service closes by ``at_ms`` if nothing comes; all below the offset was read.

        Raises:
            DetectorError: a detector raised an exception.
        """
        task = self._tasks.get(partition)
        if task is not None:
            task.reached_end(end_offset)
            task.at_end(at_ms, end_offset)
            self.side.judge(partition, task, task.take_closed(), at_ms)

    def end_all(self, ends: dict[Partition, Offset], now_ms: WallTimeMs, to_ms: int | None) -> None:
        """Close what the service has closed by now of the windows that end within the span."""
        margin_ms = self._rules.margin_ms if self._rules.clock is ClockName.INGESTION else 0
        at_ms = now_ms if to_ms is None else WallTimeMs(min(now_ms, to_ms + margin_ms))
        for partition, end in ends.items():
            self.end(partition, end, at_ms)
