"""How the service fares: troubles with Kafka, partitions that stand still, and what of it is posted for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Partition, WallTimeMs
from service.core.task import PartitionTask
from service.kafka.errors import Retriable
from service.ports import Input, Probe
from service.progress_watch import ProgressWatch, Verdict
from service.status import PartitionStatus, Status, StatusBoard

POST_EVERY_MS: Final = 1_000
LONG_TURN_MS: Final = 5_000
"""A look that comes so late after the one before: the loop waited for a commit, so no partition could move."""
UNABLE_AFTER: Final = 3
"""So many commits in a row that did not work, and the service is not ready."""
OPEN_TXN: Final = "another producer's open txn in the input"
"""What a blocked partition waits for."""


class Condition:
    """Is told by the loop what goes wrong, and finds out when it is well again."""

    def __init__(self, source: Input, probe: Probe, board: StatusBoard, log: FilteringBoundLogger) -> None:
        """Nothing is wrong yet."""
        self._source = source
        self._probe = probe
        self._board = board
        self._log = log
        self._watch = ProgressWatch(probe.ends)
        self._trouble: str | None = None
        self._verdict = Verdict()
        self._failed_commits = 0
        self._why_failed = ""
        self._next_post_ms = 0
        self._looked_ms = WallTimeMs(0)

    def heard_of_trouble(self, why: str) -> None:
        """Something does not work that is tried again."""
        if self._trouble is None:
            self._log.warning("kafka_trouble", error=why)
        self._trouble = why

    def well_again(self) -> None:
        """Kafka has answered."""
        self._trouble = None

    def commit_failed(self, why: str) -> None:
        """One more."""
        self._failed_commits += 1
        self._why_failed = why

    def commits_may_work(self) -> None:
        """What made them fail may be gone with its partitions."""
        self._failed_commits = 0

    def commit_worked(self) -> None:
        """Kafka does all that is needed of it."""
        self._failed_commits = 0
        self._end_trouble()

    def look_is_due(self, now_ms: WallTimeMs) -> bool:
        """Whether the last post is old."""
        return not 0 < self._next_post_ms - now_ms <= POST_EVERY_MS

    def look(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Find out what nobody tells, then post what others may see."""
        self._look_after_trouble()
        if not self._source.joined:
            self._source.look_whether_joined()
        self._look_after_progress(now_ms, tasks)
        self.post(now_ms, tasks)

    def _look_after_trouble(self) -> None:
        """The client tells when something goes wrong, but not when it is well again: ask."""
        if self._trouble is None or self._source.restoring:  # restoring asks, too, and more
            return
        self._probe.reach.ask(None)
        try:
            if self._probe.reach.answer():
                self._end_trouble()
        except Retriable as problem:
            self._trouble = str(problem)

    def _end_trouble(self) -> None:
        if self._trouble is not None:
            self._log.info("kafka_well_again")
            self._trouble = None

    def _look_after_progress(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Find partitions that are stuck or blocked. Kafka's own faults show in the readiness instead."""
        long_turn = now_ms - self._looked_ms >= LONG_TURN_MS
        self._looked_ms = now_ms
        if long_turn or self._source.throttled or self._not_ready() is not None:
            self._watch.forget()
            return
        suspects = {p for p, task in tasks.items() if task.caught_up() and self._lag(p, task)}
        try:
            verdict = self._watch.look(now_ms, {p: task.next_offset for p, task in tasks.items()}, suspects)
        except Retriable as problem:
            self.heard_of_trouble(str(problem))
            return
        if verdict.stuck is not None and self._verdict.stuck is None:
            self._log.error("no_progress", error=verdict.stuck)
        if new := verdict.blocked_ms.keys() - self._verdict.blocked_ms.keys():
            self._log.warning("input_blocked", partitions=sorted(new), why=OPEN_TXN)
        self._verdict = verdict

    def _lag(self, partition: Partition, task: PartitionTask) -> int | None:
        """How many offsets the partition is behind its end, which an open txn does not hide."""
        end = self._source.end_offset(partition)
        if end is None:
            return 0 if task.caught_up() else None
        return max(0, end - task.position)

    def post(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Post what others may see."""
        self._next_post_ms = now_ms + POST_EVERY_MS
        partitions = []
        for partition, task in sorted(tasks.items()):
            lag = self._lag(partition, task)
            blocked_ms = self._verdict.blocked_ms.get(partition)
            partitions.append(
                PartitionStatus(
                    self._source.topic,
                    partition,
                    task.position,
                    lag,
                    task.watermark_ms,
                    not lag and task.idle(now_ms),
                    task.open_keys,
                    blocked_ms,
                    None if blocked_ms is None else OPEN_TXN,
                )
            )
        self._board.status = Status(self._not_ready(), tuple(partitions), self._verdict.stuck)

    def _not_ready(self) -> str | None:
        if not self._source.joined:
            return "waiting to join the consumer group" + (f": {self._trouble}" if self._trouble else "")
        if self._source.restoring:
            waiting = ", ".join(map(str, sorted(self._source.restoring)))
            return f"waiting for the committed offsets of partition {waiting}" + (
                f": {self._trouble}" if self._trouble else ""
            )
        if self._failed_commits >= UNABLE_AFTER:
            return f"the last {self._failed_commits} commits failed: {self._why_failed}"
        # Questions wait with everything else that a throttled consumer asks: that no answer comes says nothing.
        return None if self._source.throttled else self._trouble
