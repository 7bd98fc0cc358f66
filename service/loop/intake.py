"""Decodes fetched records, feeds them to tasks, and sets aside those that belong in no window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import Counter

from service.core.clocks import AppendTimes
from service.core.model import EventTimeMs, Partition, Reason, SetAside, WallTimeMs
from service.core.task import PartitionTask
from service.loop.output_topics import OutputTopics
from service.observe.metrics import Metrics
from service.wire.decoder import Decoder
from service.wire.feeding import append_time, feed, offsets_of
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
        decoded = self._decoder.decode(messages)
        first, read = messages[0].offset(), task.read
        append_times: AppendTimes = lambda: [append_time(m, now_ms) for m in messages]  # noqa: E731 - one a batch
        fed = feed(task, decoded, offsets_of(messages), now_ms, append_times)
        new = len(messages) if first >= read else sum(message.offset() >= read for message in messages)
        self._records_of(partition).inc(new)
        if decoded.filtered:
            self._count_filtered(partition, task, messages, decoded.filtered)
        if fed.late:
            self._metrics.late.labels(self._topic, str(partition)).inc(fed.late)
        if fed.set_aside:
            self._set_aside(partition, messages, fed.set_aside)

    def _records_of(self, partition: Partition) -> Counter:
        """The partition's counter, kept because the look-up of its labels takes 3 us."""
        try:
            return self._records[partition]
        except KeyError:
            counter = self._records[partition] = self._metrics.records.labels(self._topic, str(partition))
            return counter

    def _count_filtered(
        self,
        partition: Partition,
        task: PartitionTask,
        messages: Sequence[InRecord],
        filtered: Mapping[int, EventTimeMs | None],
    ) -> None:
        """Count filtered records, except those below ``read``."""
        if new := sum(messages[index].offset() >= task.read for index in filtered):
            self._metrics.filtered.labels(self._topic, str(partition)).inc(new)

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
