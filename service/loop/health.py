"""How the service fares: troubles with Kafka, partitions that stand still, and what of it is posted for others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Offset, Partition, WallTimeMs
from service.core.task import PartitionTask
from service.loop.errors import Retriable
from service.loop.ports import Ends, InputConsumer, Probe, Question
from service.observe.status import PartitionStatus, Status, StatusBoard

ASK_AFTER_MS: Final = 10_000
"""A partition that has not moved for so long is asked about, and again each time so much has passed."""
STUCK_AFTER_MS: Final = 20_000
"""Behind and unmoved for so long after it was first found so, it is stuck."""


@dataclass(slots=True)
class _Seen:
    position: Offset
    asked_ms: WallTimeMs
    """When it was last asked about, or began to be watched."""
    behind_since_ms: WallTimeMs | None = None
    suspect_since_ms: WallTimeMs | None = None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of partitions that do not move."""

    stuck: str | None = None
    """Which have records for us and do not move."""
    blocked_ms: Mapping[Partition, int] = field(default_factory=dict)
    """For how long an open txn of another producer has held up a partition, in milliseconds."""


class ProgressWatch:
    """Compares positions with the partitions' true ends. Silence alone is no fault, and neither is a broker away."""

    def __init__(self, ends: Question[Collection[Partition], dict[Partition, Ends]]) -> None:
        """``ends`` asks the leaders where partitions end; one question is for all partitions that are due."""
        self._ends = ends
        self._seen: dict[Partition, _Seen] = {}

    def forget(self) -> None:
        """Watch from the beginning: while Kafka is in trouble nothing can be said."""
        self._seen.clear()

    def look(
        self, now_ms: WallTimeMs, positions: Mapping[Partition, Offset], suspects: Collection[Partition]
    ) -> Verdict:
        """Say which partitions are stuck or blocked at these positions.

        ``suspects`` have been read to what the client calls the end, and are longer: they are asked about each time.

        Raises:
            Retriable: the broker does not say where partitions end.
        """
        for gone in self._seen.keys() - positions.keys():
            del self._seen[gone]
        due = [p for p, position in positions.items() if self._note(now_ms, p, position, p in suspects)]
        if due and not self._ends.pending:
            for partition in due:
                self._seen[partition].asked_ms = now_ms
            self._ends.ask(due)
        for partition, ends in (self._ends.answer() or {}).items():
            if partition in self._seen:
                self._judge(self._seen[partition], ends, now_ms)
        stuck = "; ".join(
            f"partition {partition} stands at offset {seen.position} although it has records"
            for partition, seen in self._seen.items()
            if seen.behind_since_ms is not None and now_ms - seen.behind_since_ms >= STUCK_AFTER_MS
        )
        blocked_ms = {
            partition: now_ms - seen.suspect_since_ms
            for partition, seen in self._seen.items()
            if seen.blocked and seen.suspect_since_ms is not None
        }
        return Verdict(stuck or None, blocked_ms)

    def _note(self, now_ms: WallTimeMs, partition: Partition, position: Offset, suspect: bool) -> bool:  # noqa: FBT001
        """Note where it stands; returns whether it is to be asked about."""
        seen = self._seen.get(partition)
        if seen is None or seen.position != position or now_ms < seen.asked_ms:
            self._seen[partition] = _Seen(position, now_ms)
            return False
        if not suspect:
            seen.suspect_since_ms, seen.blocked = None, False
        elif seen.suspect_since_ms is None:
            seen.suspect_since_ms = now_ms
        return suspect or now_ms - seen.asked_ms >= ASK_AFTER_MS

    @staticmethod
    def _judge(seen: _Seen, ends: Ends, now_ms: WallTimeMs) -> None:
        """An answer may be about an earlier position; then the partition has moved, and the end is beyond it or not."""
        seen.blocked = ends.stable <= seen.position < ends.end
        if ends.stable <= seen.position:
            seen.behind_since_ms = None
        elif seen.behind_since_ms is None:
            seen.behind_since_ms = now_ms


POST_EVERY_MS: Final = 1_000
LONG_TURN_MS: Final = 5_000
"""A look that comes so late after the one before: the loop waited for a commit, so no partition could move."""
UNABLE_AFTER: Final = 3
"""So many commits in a row that did not work, and the service is not ready."""
OPEN_TXN: Final = "another producer's open txn in the input"
"""What a blocked partition waits for."""


class Health:
    """Is told by the loop what goes wrong, and finds out when it is well again."""

    def __init__(self, consumer: InputConsumer, probe: Probe, board: StatusBoard, log: FilteringBoundLogger) -> None:
        """Nothing is wrong yet."""
        self._consumer = consumer
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

    def report_trouble(self, why: str) -> None:
        """Something does not work that is tried again."""
        if self._trouble is None:
            self._log.warning("kafka_trouble", error=why)
        self._trouble = why

    def clear_trouble(self) -> None:
        """Kafka has answered."""
        self._trouble = None

    def commit_failed(self, why: str) -> None:
        """One more."""
        self._failed_commits += 1
        self._why_failed = why

    def reset_failed_commits(self) -> None:
        """What made them fail may be gone with its partitions."""
        self._failed_commits = 0

    def commit_worked(self) -> None:
        """Kafka does all that is needed of it."""
        self._failed_commits = 0
        self._end_trouble()

    def check_is_due(self, now_ms: WallTimeMs) -> bool:
        """Whether the last post is old."""
        return not 0 < self._next_post_ms - now_ms <= POST_EVERY_MS

    def look(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Ask what the client does not report, then post what others may see."""
        self._check_trouble()
        if not self._consumer.joined:
            self._consumer.ask_membership()
        lags = self._lags(tasks)
        self._check_progress(now_ms, tasks, lags)
        self._post(now_ms, tasks, lags)

    def _check_trouble(self) -> None:
        """The client tells when something goes wrong, but not when it is well again: ask."""
        if self._trouble is None or self._consumer.restoring:  # restoring asks, too, and more
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

    def _check_progress(
        self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask], lags: Mapping[Partition, int | None]
    ) -> None:
        """Find partitions that are stuck or blocked. Kafka's own faults show in the readiness instead."""
        long_turn = now_ms - self._looked_ms >= LONG_TURN_MS
        self._looked_ms = now_ms
        if long_turn or self._consumer.throttled or self._not_ready() is not None:
            self._watch.forget()
            return
        suspects = {p for p, task in tasks.items() if task.caught_up() and lags[p]}
        try:
            verdict = self._watch.look(now_ms, {p: task.next_offset for p, task in tasks.items()}, suspects)
        except Retriable as problem:
            self.report_trouble(str(problem))
            return
        if verdict.stuck is not None and self._verdict.stuck is None:
            self._log.error("no_progress", error=verdict.stuck)
        if new := verdict.blocked_ms.keys() - self._verdict.blocked_ms.keys():
            self._log.warning("input_blocked", partitions=sorted(new), why=OPEN_TXN)
        self._verdict = verdict

    def _lags(self, tasks: Mapping[Partition, PartitionTask]) -> dict[Partition, int | None]:
        return {partition: self._lag(partition, task) for partition, task in tasks.items()}

    def _lag(self, partition: Partition, task: PartitionTask) -> int | None:
        """How many offsets the partition is behind its end, which an open txn does not hide."""
        end = self._consumer.end_offset(partition)
        if end is None:
            return 0 if task.caught_up() else None
        return max(0, end - task.position)

    def post(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Post what others may see."""
        self._post(now_ms, tasks, self._lags(tasks))

    def _post(
        self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask], lags: Mapping[Partition, int | None]
    ) -> None:
        self._next_post_ms = now_ms + POST_EVERY_MS
        partitions = []
        for partition, task in sorted(tasks.items()):
            lag = lags[partition]
            blocked_ms = self._verdict.blocked_ms.get(partition)
            partitions.append(
                PartitionStatus(
                    self._consumer.topic,
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
        if not self._consumer.joined:
            return "waiting to join the consumer group" + (f": {self._trouble}" if self._trouble else "")
        if self._consumer.restoring:
            waiting = ", ".join(map(str, sorted(self._consumer.restoring)))
            return f"waiting for the committed offsets of partition {waiting}" + (
                f": {self._trouble}" if self._trouble else ""
            )
        if self._failed_commits >= UNABLE_AFTER:
            return f"the last {self._failed_commits} commits failed: {self._why_failed}"
        # Questions wait with everything else that a throttled consumer asks: that no answer comes says nothing.
        return None if self._consumer.throttled else self._trouble
