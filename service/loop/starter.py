"""Starts the tasks of assigned partitions, and tries again after a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Partition, ResetReason, WallTimeMs
from service.core.rules import TaskRules
from service.core.task import PartitionTask
from service.loop.errors import Retriable
from service.loop.health import Health
from service.loop.memories import Memories
from service.loop.ports import InputConsumer, OutputProducer, RestoredMemory, StartPoint
from service.observe.metrics import Metrics

PAUSE_MS: Final = 500
"""The pause after a failed attempt."""
WHY_RESET: Final = {
    ResetReason.BEYOND_END: "the committed offset is beyond the end: the topic was truncated or created again",
    ResetReason.EXPIRED: "the record at the committed offset has expired",
    ResetReason.NO_OFFSET: "the group has no committed offset: it is new, or was deleted, or its offsets have expired",
    ResetReason.NEW_PARTITION: "the group has no committed offset here, only for other partitions: it may be new",
}
WHY_REMOVED: Final = {
    "removed": "there is no such detector in the settings any more, or it keeps no state",
    "changed": "the detector's settings have changed so that its states mean something else: it begins without them",
    "moved": "the input has more partitions, and these ids go to others now, where they begin without a state",
}


class PartitionStarter:
    """Makes tasks from the committed progress of their partitions."""

    def __init__(
        self,
        consumer: InputConsumer,
        producer: OutputProducer,
        *,
        rules: TaskRules,
        memories: Memories,
        clock: Callable[[], WallTimeMs],
        health: Health,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        """Begin without an attempt; ``clock`` is the wall clock."""
        self._consumer = consumer
        self._producer = producer
        self.rules = rules
        self._memories = memories
        self._clock = clock
        self._health = health
        self._metrics = metrics
        self._log = log
        self._failed_at_ms: int | None = None

    def attempt(self, now_ms: WallTimeMs) -> dict[Partition, PartitionTask]:
        """Start waiting partitions; returns the tasks of those that start.

        1. Initialise a new producer first, because that fences the old one. Meanwhile every partition waits.
        2. Start the partitions whose committed offsets are known, and ask for those of the others.

        After a failure there is a pause of PAUSE_MS.

        Raises:
            Fatal: this process cannot go on with Kafka.
        """
        if not self._consumer.restoring:
            return {}
        if self._failed_at_ms is not None and 0 <= self._clock() - self._failed_at_ms < PAUSE_MS:
            return {}
        try:
            if not self._producer.ready:
                self._producer.initialise()
            starts = self._consumer.restore(self._memories.missing(self._consumer.restoring))
        except Retriable as problem:
            self._health.report_trouble(str(problem))
            self._failed_at_ms = self._clock()  # an attempt may take longer than a pause
            return {}
        if starts:
            self._failed_at_ms = None
            self._health.clear_trouble()
        return {start.partition: self._task(start, now_ms) for start in starts}

    def _task(self, start: StartPoint, now_ms: WallTimeMs) -> PartitionTask:
        restored = start.restored
        memory = self._memories.of(start.partition, None if restored is None else restored.memory)
        task = PartitionTask(self.rules, now_ms, start.progress, memory)
        if start.skipped:
            self._metrics.skipped.labels(self._consumer.topic, str(start.partition)).inc(start.skipped)
            self._log.error("records_expired_unread", partition=start.partition, records=start.skipped)
        if start.reset is not None:
            self._metrics.offset_resets.labels(start.reset.value).inc()
            self._log.warning(
                "offset_reset",
                partition=start.partition,
                reason=start.reset.value,
                committed=start.committed,
                offset=start.progress.offset,
                why=f"{WHY_RESET[start.reset]}; reading starts at the earliest record",
            )
        self._log.info(
            "partition_started",
            partition=start.partition,
            offset=task.next_offset,
            read=task.read,
            watermark=task.watermark_ms,
        )
        if restored is not None:
            self._report_restored(start.partition, restored)
        if task.has_windows_of_old_rules:
            self._log.warning("windows_cut", partition=start.partition, why="the settings of windows have changed")
        return task

    def _report_restored(self, partition: Partition, restored: RestoredMemory) -> None:
        self._health.states_restored(restored.seconds)
        self._log.info(
            "states_restored",
            partition=partition,
            states=restored.memory.keys,
            records=restored.records,
            input_partitions=restored.memory.partitions,
            seconds=round(restored.seconds, 3),
        )
        for (detector, reason), states in restored.not_kept.items():
            self._log.warning(
                "states_removed", partition=partition, detector=detector, states=states, why=WHY_REMOVED[reason]
            )
