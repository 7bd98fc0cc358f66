"""Service health: Kafka errors, stuck partitions, and the status that other threads read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Partition, WallTimeMs
from service.core.task import PartitionTask
from service.loop.errors import Retriable
from service.loop.ports import InputConsumer, Probe
from service.loop.progress_watch import ProgressWatch, Verdict
from service.loop.shown import open_episodes, open_windows
from service.observe.live import Live
from service.observe.status import PartitionStatus, Status, StatusBoard

POST_EVERY_MS: Final = 1_000
LONG_TURN_MS: Final = 5_000
"""If two looks are at least this far apart, the loop waited for a commit, and no partition could advance."""
UNABLE_AFTER: Final = 3
"""After this many failed commits in a row the service is not ready."""
RESTORE_EVERY_MS: Final = 2_000
"""The time between log lines while the detectors' states are read back."""
OPEN_TXN: Final = "another producer's open txn in the input"
"""What a blocked partition waits for."""


class Health:
    """Collects what the loop reports, and finds out when Kafka answers again."""

    def __init__(
        self,
        consumer: InputConsumer,
        probe: Probe,
        board: StatusBoard,
        log: FilteringBoundLogger,
        live: Live | None = None,
    ) -> None:
        """Begin without errors; other threads read the status from ``board``, and the page's from ``live``."""
        self._live = live
        self._consumer = consumer
        self._probe = probe
        self._board = board
        self._log = log
        self._status = probe.status
        self._watch = ProgressWatch(probe.ends)
        self._trouble: str | None = None
        self._verdict = Verdict()
        self._failed_commits = 0
        self._why_failed = ""
        self._next_post_ms = 0
        self._looked_ms = WallTimeMs(0)
        self._restore_reported_ms = WallTimeMs(0)

    def report_trouble(self, why: str) -> None:
        """Note an error after which the caller tries again."""
        if self._trouble is None:
            self._log.warning("kafka_trouble", error=why)
        self._trouble = why

    def clear_trouble(self) -> None:
        """Note that Kafka has answered."""
        self._trouble = None

    def commit_failed(self, why: str) -> None:
        """Note a failed commit."""
        self._failed_commits += 1
        self._why_failed = why

    def reset_failed_commits(self) -> None:
        """Count from zero: the cause may be gone with revoked partitions."""
        self._failed_commits = 0

    def commit_worked(self) -> None:
        """Note a commit: it needs everything of Kafka that the service needs."""
        self._failed_commits = 0
        self._end_trouble()

    def check_is_due(self, now_ms: WallTimeMs) -> bool:
        """Whether the last post is POST_EVERY_MS old."""
        return not 0 < self._next_post_ms - now_ms <= POST_EVERY_MS

    def look(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Ask what the client does not report, then post the status.

        Raises:
            Fatal: the process cannot start a thread for a question.
        """
        self._check_trouble()
        if not self._status.joined:
            self._status.ask_membership()
        self._report_restore(now_ms)
        lags = self._lags(tasks)
        self._check_progress(now_ms, tasks, lags)
        self._post(now_ms, tasks, lags)

    def states_restored(self, seconds: float) -> None:
        """Note how long it took to read detectors' states back."""
        self._board.state_restore_s = seconds

    def _report_restore(self, now_ms: WallTimeMs) -> None:
        """Log now and then how far the detectors' states are read back."""
        progress = self._probe.restore
        if not progress.of:
            self._restore_reported_ms = now_ms
        elif now_ms - self._restore_reported_ms >= RESTORE_EVERY_MS:
            self._restore_reported_ms = now_ms
            self._log.info("states_being_restored", read=progress.read, records=progress.of)

    def _check_trouble(self) -> None:
        """Ask whether the broker answers: the client reports errors, but not their end."""
        if self._trouble is None or self._consumer.restoring:  # the look-up of a start asks the same brokers
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
        """Find partitions that are stuck or blocked. Kafka faults affect readiness, not liveness."""
        long_turn = now_ms - self._looked_ms >= LONG_TURN_MS
        self._looked_ms = now_ms
        if long_turn or self._status.throttled or self._not_ready() is not None:
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
        """How many offsets the partition is behind its true end; None where the end is not known."""
        end = self._status.end_offset(partition)
        if end is None:
            return 0 if task.caught_up() else None
        return max(0, end - task.position)

    def post(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> None:
        """Post the status for other threads."""
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
                    None if task.memory.partitions is None else task.memory.keys,
                )
            )
        episodes: Counter[str] = Counter()
        for task in tasks.values():
            episodes.update(task.memory.open_episodes)
        self._board.status = Status(self._not_ready(), tuple(partitions), self._verdict.stuck, episodes)
        if self._live is not None:
            self._live.posted_ms, self._live.in_topic = now_ms, self._status.partition_count
            self._live.windows, self._live.episodes = open_windows(tasks), open_episodes(tasks)

    def _not_ready(self) -> str | None:
        if not self._status.joined:
            return "waiting to join the consumer group" + (f": {self._trouble}" if self._trouble else "")
        if self._consumer.restoring:
            waiting = ", ".join(map(str, sorted(self._consumer.restoring)))
            states = str(self._probe.restore)
            why = f"waiting for the committed offsets of partition {waiting}"
            if states:
                why = f"partition {waiting}: {states}"
            return why + (f": {self._trouble}" if self._trouble else "")
        if self._failed_commits >= UNABLE_AFTER:
            return f"the last {self._failed_commits} commits failed: {self._why_failed}"
        # A throttled consumer's questions wait, too, so a missing answer is not a fault.
        return None if self._status.throttled else self._trouble
