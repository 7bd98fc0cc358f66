"""A checkpoint: what one txn commits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from structlog.typing import FilteringBoundLogger

from service.core.model import Offset, Partition, Progress, WallTimeMs, WindowClosed
from service.core.task import PartitionTask
from service.loop.output_topics import OutputTopics
from service.observe.metrics import Metrics
from service.wire.alerts import aggregate_record, alert_record
from service.wire.records import OutRecord, Source


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The outputs and the progress of every partition that moved. Kafka commits all of it or nothing."""

    taken_ms: WallTimeMs
    tasks: dict[Partition, PartitionTask]
    closed: list[tuple[Partition, WindowClosed]]
    set_aside: list[OutRecord]
    """Records that belong in no window and have not been sent."""

    @classmethod
    def take(cls, now_ms: WallTimeMs, tasks: dict[Partition, PartitionTask], set_aside: list[OutRecord]) -> Self:
        """Take the closed windows of these tasks; ``now_ms`` is the wall clock."""
        closed = [(partition, one) for partition, task in tasks.items() for one in task.take_closed()]
        return cls(now_ms, tasks, closed, set_aside)

    def outputs(self, topic: str, topics: OutputTopics) -> Iterator[OutRecord]:
        """The set-aside records, then alerts and aggregates; ``topic`` is the input's."""
        yield from self.set_aside
        for partition, one in self.closed:
            source = Source(topic, partition)
            for anomaly in one.anomalies:
                yield alert_record(topics.alerts, source, one, anomaly, self.taken_ms)
            if topics.aggregates:
                for transaction_id, aggregate in one.aggregates.items():
                    yield aggregate_record(topics.aggregates, source, one, transaction_id, aggregate)

    def progress(self) -> list[tuple[Partition, Progress]]:
        """Where the next owner of each partition starts."""
        return [(partition, task.progress()) for partition, task in self.tasks.items()]

    def positions(self) -> dict[Partition, Offset]:
        """How far each partition has been read."""
        return {partition: task.position for partition, task in self.tasks.items()}

    def report(self, metrics: Metrics, log: FilteringBoundLogger, done_ms: WallTimeMs) -> None:
        """Write the checkpoint's log line and its metrics; the commit was done at ``done_ms``."""
        metrics.txns.labels("committed").inc()
        metrics.commit.observe(max(0, done_ms - self.taken_ms) / 1000)
        keys = anomalies = 0
        for _, one in self.closed:
            keys += len(one.aggregates)
            anomalies += len(one.anomalies)
            for anomaly in one.anomalies:
                metrics.anomalies.labels(anomaly.detector).inc()
                metrics.alert_latency.observe(max(0, done_ms - one.window.end_ms) / 1000)
        metrics.windows_closed.inc(keys)
        log.info(
            "checkpoint",
            window_end=max((one.window.end_ms for _, one in self.closed), default=None),
            windows=keys,
            anomalies=anomalies,
            commit_ms=done_ms - self.taken_ms,
            partitions=len(self.tasks),
            set_aside=len(self.set_aside),
        )
