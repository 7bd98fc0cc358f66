"""A checkpoint: what one txn commits."""

from __future__ import annotations

from collections import Counter, deque
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
from service.observe.live import MOST_ALERTS, CommittedAlert
from service.observe.metrics import Metrics
from service.wire.alerts import aggregate_record, alert_record
from service.wire.records import OutRecord, Source
from service.wire.states import state_record


@dataclass(slots=True)
class Checkpoint:
    """The outputs and the progress of every partition that moved. Kafka commits all of it or nothing."""

    taken_ms: WallTimeMs
    tasks: dict[Partition, PartitionTask]
    closed: dict[Partition, list[WindowClosed]]
    set_aside: list[OutRecord]
    """Records that belong in no window and have not been sent."""
    found: Judgement = field(default_factory=Judgement)
    """How many anomalies outputs() found."""
    alert_ends: Counter[int] = field(default_factory=Counter)
    """How many alerts there are about windows that ended at this time. Shadow detectors, silences and the ends of
    episodes do not count: such an alert does not come because its window has closed."""
    states: int = 0
    """How many states changed."""
    to_show: deque[CommittedAlert] | None = None
    """The newest alerts, for the page; None where there is no page."""
    alerts: int = 0
    """How many alerts there were for the page."""

    @classmethod
    def take(
        cls,
        now_ms: WallTimeMs,
        tasks: dict[Partition, PartitionTask],
        set_aside: list[OutRecord],
        *,
        to_show: bool = False,
    ) -> Self:
        """Take the closed windows of these tasks; ``now_ms`` is the wall clock. ``to_show``: alerts are kept, too."""
        closed = {partition: task.take_closed() for partition, task in tasks.items()}
        return cls(now_ms, tasks, closed, set_aside, to_show=deque(maxlen=MOST_ALERTS) if to_show else None)

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
                for alert in task.judge(closed, self.found):
                    if not alert.shadow and alert.facts.count and alert.status != "resolved":
                        self.alert_ends[alert.facts.end_ms] += 1
                    topic_to = (topics.shadow if alert.shadow else "") or topics.alerts
                    record = alert_record(topic_to, source, alert, self.taken_ms, task.memory.rules)
                    if self.to_show is not None and not alert.shadow:
                        self.alerts += 1
                        self.to_show.append(CommittedAlert(alert.alert_id, record.value or b""))
                    yield record
            except DetectorError as error:
                raise Fatal(str(error)) from error
            if topics.aggregates:
                for one in closed:
                    for transaction_id, aggregate in one.aggregates.items():
                        yield aggregate_record(topics.aggregates, source, one, transaction_id, aggregate)
            for detector, key, packed in task.memory.changes():
                self.states += 1
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

    def count(self, metrics: Metrics, done_ms: WallTimeMs) -> None:
        """Write the checkpoint's metrics; the commit was done at ``done_ms``."""
        metrics.txns.labels("committed").inc()
        metrics.commit.observe(max(0, done_ms - self.taken_ms) / 1000)
        for detector, count in self.found.anomalies.items():
            metrics.anomalies.labels(detector).inc(count)
        for detector, count in self.found.shadow_anomalies.items():
            metrics.shadow_anomalies.labels(detector).inc(count)
        for end_ms, count in self.alert_ends.items():
            for _ in range(count):
                metrics.alert_latency.observe(max(0, done_ms - end_ms) / 1000)
        metrics.windows_closed.inc(self._keys())

    def report(self, log: FilteringBoundLogger, done_ms: WallTimeMs) -> None:
        """Write the checkpoint's log line; the commit was done at ``done_ms``."""
        log.info(
            "checkpoint",
            window_end=max((one.window.end_ms for _, one in self.windows()), default=None),
            windows=self._keys(),
            anomalies=self.found.anomalies.total(),
            commit_ms=done_ms - self.taken_ms,
            partitions=len(self.tasks),
            set_aside=len(self.set_aside),
            states=self.states,
        )

    def _keys(self) -> int:
        return sum(len(one.aggregates) for _, one in self.windows())
