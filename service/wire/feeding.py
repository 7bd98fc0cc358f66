"""Feeds a decoded batch to its task: the step that the service and everything that reads the past have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from service.core.clocks import AppendTimes
from service.core.model import Filtered, Offset, SetAside, WallTimeMs
from service.core.task import NONE_FILTERED, PartitionTask
from service.wire.decoder import Decoded
from service.wire.records import InRecord


class Fed(NamedTuple):
    """What became of a batch."""

    late: int
    """How many records were late, under every policy."""
    set_aside: list[SetAside]
    """The rejected records, then the other ones that belong in no window. None that an earlier owner has read."""


def offsets_of(records: Sequence[InRecord]) -> Sequence[Offset]:
    """The offsets of consecutive records of a partition, at least one.

    Offsets have gaps only at txn markers and after compaction. Otherwise a range saves a call for each record.
    """
    first, last = records[0].offset(), records[-1].offset()
    if last - first + 1 == len(records):
        return range(first, last + 1)  # type: ignore[return-value]
    return [record.offset() for record in records]


def feed(
    task: PartitionTask, decoded: Decoded, offsets: Sequence[Offset], now_ms: WallTimeMs, append_times: AppendTimes
) -> Fed:
    """Feed a task consecutive records of its partition.

    Args:
        task: the partition's.
        decoded: the batch.
        offsets: of all records of the batch, at least one.
        now_ms: the wall clock.
        append_times: when the broker appended each record of the batch.
    """
    transactions, rejections, filtered = decoded
    good, passing, times = offsets, NONE_FILTERED, append_times
    rejected: list[SetAside] = []
    if rejections or filtered:
        kept = [index for index in range(len(offsets)) if index not in rejections and index not in filtered]
        every = cache(append_times)
        good, times = [offsets[index] for index in kept], lambda: [every()[index] for index in kept]
        passing = [
            Filtered(offsets[index], event_ms, every()[index])
            for index, event_ms in filtered.items()
            if event_ms is not None
        ]
        found = [SetAside(offsets[index], one.reason, one.why) for index, one in rejections.items()]
        rejected = [one for one in found if one.offset >= task.read]
    accepted = task.accept(now_ms, good, transactions, times, passing)
    task.arrived(now_ms, Offset(offsets[-1] + 1))
    return Fed(accepted.late, rejected + accepted.set_aside)


LOG_APPEND_TIME: Final = 2
"""The client's TIMESTAMP_LOG_APPEND_TIME."""


def append_time(record: InRecord, now_ms: WallTimeMs) -> WallTimeMs:
    """When the broker appended it, or the producer's time in a record that is older than the topic's setting."""
    kind, time_ms = record.timestamp()
    if kind == LOG_APPEND_TIME:
        return WallTimeMs(time_ms)
    return WallTimeMs(min(time_ms, now_ms)) if time_ms >= 0 else now_ms
