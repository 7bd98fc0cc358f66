"""How the service fares: troubles with Kafka, partitions that stand still, and what of it is posted for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Partition, WallTimeMs
from service.core.task import PartitionTask
from service.kafka.errors import Retriable
from service.ports import Input
from service.progress_watch import ProgressWatch
from service.status import PartitionStatus, Status, StatusBoard

POST_EVERY_MS: Final = 1_000
LONG_TURN_MS: Final = 5_000
"""A look that comes so late after the one before: the loop waited for a commit, so no partition could move."""
UNABLE_AFTER: Final = 3
"""So many commits in a row that did not work, and the service is not ready."""


class Condition:
    """Is told by the loop what goes wrong, and finds out when it is well again."""

    def __init__(self, source: Input, board: StatusBoard, log: FilteringBoundLogger) -> None:
        """Nothing is wrong yet."""
        self._source = source
        self._board = board
        self._log = log
        self._watch = ProgressWatch(source.ask_end_offset)
        self._trouble: str | None = None
        self._stuck: str | None = None
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
        """One has worked, or what made them fail may be gone with its partitions."""
        self._failed_commits = 0

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
        try:
            self._source.check()
        except Retriable as problem:
            self._trouble = str(problem)
        else:
            self._log.info("kafka_well_again")
            self._trouble = None

    def _look_after_progress(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Find partitions that are stuck; what Kafka is to blame for shows in the readiness instead."""
        long_turn = now_ms - self._looked_ms >= LONG_TURN_MS
        self._looked_ms = now_ms
        if long_turn or self._source.throttled or self._not_ready() is not None:
            self._watch.forget()
            return
        try:
            stuck = self._watch.look(now_ms, {p: task.next_offset for p, task in tasks.items()})
        except Retriable as problem:
            self.heard_of_trouble(str(problem))
            return
        if stuck is not None and self._stuck is None:
            self._log.error("no_progress", error=stuck)
        self._stuck = stuck

    def post(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Post what others may see."""
        self._next_post_ms = now_ms + POST_EVERY_MS
        partitions = []
        for partition, task in sorted(tasks.items()):
            end = self._source.end_offset(partition)
            lag = None if end is None else max(0, end - task.position)
            partitions.append(
                PartitionStatus(
                    self._source.topic,
                    partition,
                    task.position,
                    0 if task.caught_up() else lag,
                    task.watermark_ms,
                    task.idle(now_ms),
                    task.open_keys,
                )
            )
        self._board.status = Status(self._not_ready(), tuple(partitions), self._stuck)

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
