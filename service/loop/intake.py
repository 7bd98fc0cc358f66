"""Decodes fetched records, feeds them to tasks, and sets aside those that belong in no window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import Counter

from service.core.clocks import AppendTimes
from service.core.model import EventTimeMs, Filtered, Offset, Partition, Reason, SetAside, WallTimeMs
from service.core.task import NONE_FILTERED, PartitionTask
from service.loop.output_topics import OutputTopics
from service.observe.metrics import Metrics
from service.wire.decoder import Decoder, Rejection
from service.wire.records import Headers, InRecord, Original, OutRecord, Source, set_aside_record


class Intake:
    """Feeds tasks. Set-aside records wait in ``pending`` for the txn that commits past them."""

    def __init__(self, topic: str, topics: OutputTopics, metrics: Metrics, decoder: Decoder) -> None:
        """``topic`` is the input's, and ``decoder`` knows its format."""
        self._topic: Final = topic
        self._topics = topics
        self._metrics = metrics
        self._decoder = decoder
        self._records: dict[Partition, Counter] = {}
        self.pending: list[OutRecord] = []
        self.pending_bytes = 0

    def clear(self) -> None:
        """Forget the set-aside records: they have been sent, or will be read again."""
        self.pending, self.pending_bytes = [], 0

    def feed(self, partition: Partition, task: PartitionTask, messages: Sequence[InRecord], now_ms: WallTimeMs) -> None:
        """Feed a task consecutive messages of its partition, at least one."""
        first, last = messages[0].offset(), messages[-1].offset()
        offsets: Sequence[Offset]
        # Offsets have gaps only at txn markers and after compaction. Otherwise a range saves a call for each record.
        offsets = range(first, last + 1) if last - first + 1 == len(messages) else [m.offset() for m in messages]  # type: ignore[assignment]
        good, passing = messages, NONE_FILTERED
        transactions, rejections, filtered = decoded = self._decoder.decode(messages)
        if rejections or filtered:
            good = decoded.good(messages)
            offsets = [message.offset() for message in good]
            passing = self._filter(partition, task, messages, filtered, now_ms)
            self._reject(partition, task, messages, rejections)
        new = len(messages) if first >= task.read else sum(message.offset() >= task.read for message in messages)
        append_times: AppendTimes = lambda: [_append_time(m, now_ms) for m in good]  # noqa: E731 - one a batch
        accepted = task.accept(now_ms, offsets, transactions, append_times, passing)
        task.arrived(now_ms, Offset(last + 1))
        self._records_of(partition).inc(new)
        if accepted.late:
            self._metrics.late.labels(self._topic, str(partition)).inc(accepted.late)
        if accepted.set_aside:
            self._set_aside(partition, messages, accepted.set_aside)

    def _records_of(self, partition: Partition) -> Counter:
        """The partition's counter, kept because the look-up of its labels takes 3 us."""
        try:
            return self._records[partition]
        except KeyError:
            counter = self._records[partition] = self._metrics.records.labels(self._topic, str(partition))
            return counter

    def _filter(
        self,
        partition: Partition,
        task: PartitionTask,
        messages: Sequence[InRecord],
        filtered: Mapping[int, EventTimeMs | None],
        now_ms: WallTimeMs,
    ) -> list[Filtered]:
        """Count filtered records, except those below ``read``; returns those that have an event time."""
        if new := sum(messages[index].offset() >= task.read for index in filtered):
            self._metrics.filtered.labels(self._topic, str(partition)).inc(new)
        return [
            Filtered(messages[index].offset(), event_ms, _append_time(messages[index], now_ms))
            for index, event_ms in filtered.items()
            if event_ms is not None
        ]

    def _reject(
        self,
        partition: Partition,
        task: PartitionTask,
        messages: Sequence[InRecord],
        rejections: Mapping[int, Rejection],
    ) -> None:
        """Set rejected records aside, except those below ``read``: they are in the dead-letter topic already."""
        found = [SetAside(messages[index].offset(), one.reason, one.why) for index, one in rejections.items()]
        self._set_aside(partition, messages, [one for one in found if one.offset >= task.read])

    def _set_aside(self, partition: Partition, messages: Sequence[InRecord], set_aside: list[SetAside]) -> None:
        source = Source(self._topic, partition)
        by_offset = {message.offset(): message for message in messages}
        for one in set_aside:
            if one.reason is Reason.LATE:
                if not self._topics.late:
                    continue
                topic, max_bytes = self._topics.late, self._topics.late_max_bytes
            else:
                self._metrics.rejected.labels(one.reason.value).inc()
                topic, max_bytes = self._topics.dead_letter, self._topics.dead_letter_max_bytes
            original = original_of(source, by_offset[one.offset])
            record = set_aside_record(topic, original, one.reason, one.why, max_bytes)
            self.pending.append(record)
            self.pending_bytes += record.size


LOG_APPEND_TIME: Final = 2
"""The client's TIMESTAMP_LOG_APPEND_TIME."""


def _append_time(message: InRecord, now_ms: WallTimeMs) -> WallTimeMs:
    """When the broker appended it, or the producer's time in a record that is older than the topic's setting."""
    kind, time_ms = message.timestamp()
    if kind == LOG_APPEND_TIME:
        return WallTimeMs(time_ms)
    return WallTimeMs(min(time_ms, now_ms)) if time_ms >= 0 else now_ms


def original_of(source: Source, message: InRecord) -> Original:
    """The record as it is in the input."""
    _, timestamp_ms = message.timestamp()
    return Original(
        source,
        message.offset(),
        message.key(),
        message.value(),
        _headers(message),
        timestamp_ms if timestamp_ms >= 0 else None,  # a record without one says -1
    )


def _headers(message: InRecord) -> Headers | None:
    try:
        return message.headers()
    except (SystemError, UnicodeDecodeError):  # a name is not UTF-8, so the client returns no header at all
        return [("txwatch.headers_dropped", b"not_utf8")]
