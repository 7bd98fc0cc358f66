"""A checkpoint: what one txn commits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from structlog.typing import FilteringBoundLogger

from service.core.memory.alerts import Judgement
from service.core.memory.failure import DetectorError
from service.core.model import Offset, Partition, Progress, WallTimeMs, WindowClosed
from service.core.task import PartitionTask
from service.loop.errors import Fatal
from service.loop.output_topics import OutputTopics
from service.observe.metrics import Metrics
from service.wire.alerts import aggregate_record, alert_record
from service.wire.records import OutRecord, Source
from service.wire.states import state_record


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The outputs and the progress of every partition that moved. Kafka commits all of it or nothing."""

    taken_ms: WallTimeMs
    tasks: dict[Partition, PartitionTask]
    closed: dict[Partition, list[WindowClosed]]
    set_aside: list[OutRecord]
    """Records that belong in no window and have not been sent."""
    judged: dict[Partition, Judgement] = field(default_factory=dict)
    """What outputs() found."""

    @classmethod
    def take(cls, now_ms: WallTimeMs, tasks: dict[Partition, PartitionTask], set_aside: list[OutRecord]) -> Self:
        """Take the closed windows of these tasks; ``now_ms`` is the wall clock."""
        return cls(now_ms, tasks, {partition: task.take_closed() for partition, task in tasks.items()}, set_aside)

    def outputs(self, topic: str, topics: OutputTopics) -> Iterator[OutRecord]:
        """The set-aside records, then alerts, aggregates and changed states; ``topic`` is the input's.

        The detectors judge here, while the txn is written: what they find is either committed, or found again.

        Raises:
            Fatal: a detector raised an exception.
        """
        yield from self.set_aside
        for partition, task in self.tasks.items():
            source, closed = Source(topic, partition), self.closed[partition]
            try:
                found = self.judged[partition] = task.judge(closed)
            except DetectorError as error:
                raise Fatal(str(error)) from error
            for alert in found.alerts:
                yield alert_record(
                    topics.shadow if alert.shadow else topics.alerts, source, alert, self.taken_ms, topics.rules
                )
            if topics.aggregates:
                for one in closed:
                    for transaction_id, aggregate in one.aggregates.items():
                        yield aggregate_record(topics.aggregates, source, one, transaction_id, aggregate)
            for detector, key, packed in found.changes:
                yield state_record(topics.state, partition, detector, key, packed)

    def progress(self) -> list[tuple[Partition, Progress]]:
        """Where the next owner of each partition starts."""
        return [(partition, task.progress()) for partition, task in self.tasks.items()]

    def positions(self) -> dict[Partition, Offset]:
        """How far each partition has been read."""
        return {partition: task.position for partition, task in self.tasks.items()}

    def windows(self) -> list[tuple[Partition, WindowClosed]]:
        """Every closed window with its partition."""
        return [(partition, one) for partition, closed in self.closed.items() for one in closed]

    def report(self, metrics: Metrics, log: FilteringBoundLogger, done_ms: WallTimeMs) -> None:
        """Write the checkpoint's log line and its metrics; the commit was done at ``done_ms``."""
        metrics.txns.labels("committed").inc()
        metrics.commit.observe(max(0, done_ms - self.taken_ms) / 1000)
        anomalies = changes = 0
        for found in self.judged.values():
            changes += len(found.changes)
            anomalies += found.anomalies.total()
            for detector, count in found.anomalies.items():
                metrics.anomalies.labels(detector).inc(count)
            for detector, count in found.shadow_anomalies.items():
                metrics.shadow_anomalies.labels(detector).inc(count)
            for alert in found.alerts:
                if not alert.shadow:
                    metrics.alert_latency.observe(max(0, done_ms - alert.facts.end_ms) / 1000)
        windows = [one for _, one in self.windows()]
        keys = sum(len(one.aggregates) for one in windows)
        metrics.windows_closed.inc(keys)
        log.info(
            "checkpoint",
            window_end=max((one.window.end_ms for one in windows), default=None),
            windows=keys,
            anomalies=anomalies,
            commit_ms=done_ms - self.taken_ms,
            partitions=len(self.tasks),
            set_aside=len(self.set_aside),
            states=changes,
        )
