"""Takes records in place of the tasks, and writes each to another topic, keyed by its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Offset, Partition, SetAside, WallTimeMs
from service.core.task import PartitionTask
from service.loop.intake import Intake, original_of
from service.loop.output_topics import OutputTopics
from service.observe.metrics import Metrics
from service.wire.decoder import Decoder
from service.wire.records import InRecord, Source, rekeyed_record

SAY_EVERY_MS: Final = 60_000
"""The time between warnings about old records."""


class RekeyIntake(Intake):
    """Rejects records as the service does; the good ones wait in ``pending``, too, keyed by their ids.

    No record comes to a task, so tasks have no windows: they only count offsets.
    """

    def __init__(
        self,
        topic: str,
        topics: OutputTopics,
        metrics: Metrics,
        decoder: Decoder,
        *,
        retention_ms: int,
        log: FilteringBoundLogger,
    ) -> None:
        """``topic`` is the input's, and ``decoder`` knows its format.

        The log warns of records older than ``retention_ms``; -1: none is too old.
        """
        super().__init__(topic, topics, metrics, decoder)
        self._target: Final = topics.rekeyed
        self._retention_ms: Final = retention_ms
        self._log = log
        self._old = 0
        self._said_ms = -SAY_EVERY_MS

    def feed(self, partition: Partition, task: PartitionTask, messages: Sequence[InRecord], now_ms: WallTimeMs) -> None:
        """Take consecutive messages of a partition, at least one."""
        transactions, rejections, filtered = decoded = self._decoder.decode(messages)
        source = Source(self._topic, partition)
        for message, transaction in zip(decoded.good(messages), transactions, strict=True):
            record = rekeyed_record(self._target, transaction.transaction_id, original_of(source, message))
            self.pending.append(record)
            self.pending_bytes += record.size
            if self._retention_ms >= 0 and 0 < record.timestamp_ms < now_ms - self._retention_ms:
                self._old += 1
        if filtered:
            self._count_filtered(partition, task, messages, filtered)
        if rejections:
            found = [SetAside(messages[index].offset(), one.reason, one.why) for index, one in rejections.items()]
            self._set_aside(partition, messages, [one for one in found if one.offset >= task.read])
        task.arrived(now_ms, Offset(messages[-1].offset() + 1))
        self._records_of(partition).inc(len(messages))
        if self._old and not 0 <= now_ms - self._said_ms < SAY_EVERY_MS:
            self._warn(now_ms)

    def _warn(self, now_ms: WallTimeMs) -> None:
        self._log.warning(
            "older_than_retention",
            topic=self._target,
            records=self._old,
            retention_ms=self._retention_ms,
            why="the broker may delete them before they are read: give the topic a greater retention.ms",
        )
        self._old, self._said_ms = 0, now_ms
