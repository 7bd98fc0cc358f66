"""The loop: read a batch, feed the tasks, and commit what they found when windows end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final, assert_never

from structlog.typing import FilteringBoundLogger

from service.core.model import Partition, WallTimeMs
from service.core.rules import TaskRules
from service.core.task import PartitionTask
from service.core.window import SteadyClock
from service.loop.change import Change
from service.loop.checkpoint import Checkpoint
from service.loop.errors import Abortable, KafkaProblem, Retriable
from service.loop.events import Assigned, DeadOwnersFenced, Event, OutOfRange, PartitionEnd, Records, Revoked, Trouble
from service.loop.health import Health
from service.loop.held import HeldPartitions
from service.loop.intake import Intake
from service.loop.memories import Memories
from service.loop.output_topics import OutputTopics
from service.loop.ports import InputConsumer, OutputProducer, Probe
from service.loop.schedule import CommitSchedule, SilentWindows
from service.loop.splits import Splits
from service.loop.starter import PartitionStarter
from service.loop.tasks import Tasks
from service.observe.live import Live
from service.observe.metrics import Metrics
from service.observe.status import StatusBoard
from service.wire.decoder import SchemasPending

BATCH_RECORDS: Final = 500
"""Small batches stay in the processor's cache: docs/decisions/speed.md, "Batches of 500"."""
BUFFER_BYTES: Final = 32 * 1024 * 1024
"""Set-aside records wait here for the window's end; beyond this size a txn begins early and takes them."""
LONGEST_TXN_MS: Final = 14 * 60_000
"""A txn begins early only if the window ends within this time, or it would outlive the longest timeout of brokers."""

_OWNERSHIP: Final = (Assigned, Revoked)
_READING: Final = (Records, PartitionEnd)


class Worker:
    """Owns the tasks. Everything happens in turn(), on one thread; ``clock`` is the wall clock."""

    def __init__(
        self,
        consumer: InputConsumer,
        producer: OutputProducer,
        probe: Probe,
        *,
        topics: OutputTopics,
        rules: TaskRules,
        intake: Intake,
        memories: Memories,
        clock: Callable[[], WallTimeMs],
        metrics: Metrics,
        board: StatusBoard,
        log: FilteringBoundLogger,
        line_every_ms: int = 0,
        live: Live | None = None,
        changes: deque[Change] | None = None,
    ) -> None:
        """``topics`` are the outputs, ``rules`` those of each task, and ``board`` gets the status of each turn.

        ``intake`` takes the records, and ``memories`` is what the detectors remember. In ``line_every_ms`` there is at
        most one log line about a checkpoint. ``live`` gets what the page shows; None where there is no page. Another
        thread may append to ``changes``: each is applied at the next boundary.
        """
        self._consumer = consumer
        self._producer = producer
        self._probe = probe
        self._topics = topics
        self._clock = clock
        self._steady = SteadyClock(rules.window_size_ms)
        self._metrics = metrics
        self._board = board
        self._live = live
        self._health = Health(consumer, probe, board, log, live)
        self._memories = memories
        self._starter = PartitionStarter(
            consumer,
            producer,
            rules=rules,
            memories=memories,
            clock=clock,
            health=self._health,
            metrics=metrics,
            log=log,
        )
        self._splits = Splits(metrics, log)
        self._held = HeldPartitions(consumer, self._health, log)
        self._log = log
        self._tasks = Tasks()
        self._intake = intake
        self._line_every_ms = line_every_ms
        self._line_ms = 0
        self._schedule = CommitSchedule(rules.commit_within_ms, BATCH_RECORDS)
        self._silence = SilentWindows(probe, self._health)
        self._changes = deque[Change]() if changes is None else changes

    # ---- one turn -------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Advance by one batch.

        1. Wait for records, at most until the end of the span by which everything read must be committed.
        2. Handle assigned and revoked partitions.
        3. If the span is over, checkpoint: the new records belong to the next span. If nothing is left that was read
           and is not committed, apply a change of the detectors.
        4. Feed the records to their tasks, those first that waited for a schema. If that closed windows that may be
           committed now, checkpoint.
        5. Start waiting partitions.
        6. Post the status.

        Raises:
            Fatal: this process cannot go on with Kafka.
        """
        awaited = bool(self._consumer.restoring) or self._probe.end_offsets.pending
        events = self._consumer.poll(BATCH_RECORDS, self._schedule.patience_s(self._clock, answer_awaited=awaited))
        now_ms = self._steady.at(self._clock())
        ownership = [event for event in events if isinstance(event, _OWNERSHIP)]
        for change in ownership:
            self._handle_ownership(change)
        if self._schedule.over(now_ms):
            self._checkpoint(now_ms)
        if self._changes and self._schedule.nothing_read:
            self._apply(self._changes.popleft())
        events = [*self._held.take(), *events]
        for event in events:
            self._handle(event, now_ms)
        self._held.settle()
        if self._due(events, now_ms, self._silence.close(events, now_ms, self._tasks.by_partition)):
            self._checkpoint(now_ms)
        if self._intake.pending_bytes > BUFFER_BYTES and self._schedule.ends_within(now_ms, LONGEST_TXN_MS):
            self._or_rewind(self._send_pending)
        self._start_partitions(now_ms)
        self._memories.refresh()
        self._or_rewind(self._producer.poll)
        self._board.beat()
        if ownership or self._health.check_is_due(now_ms):
            self._health.look(now_ms, self._tasks.by_partition)

    def _handle_ownership(self, event: Assigned | Revoked) -> None:
        self._splits.ownership_changed()
        match event:
            case Assigned(partitions):
                self._metrics.rebalances.labels("assigned").inc()
                self._log.info("partitions_assigned", partitions=list(partitions))
            case Revoked(partitions, lost):
                self._health.reset_failed_commits()
                kind = "lost" if lost else "revoked"
                self._metrics.rebalances.labels(kind).inc()
                self._log.info("partitions_lost" if lost else "partitions_revoked", partitions=list(partitions))
                self._drop(partitions)
                self._memories.remove(partitions)

    def _drop(self, partitions: Collection[Partition]) -> None:
        """Drop the tasks of these partitions, with their open windows.

        The buffer or the open txn may hold set-aside records of these and of other partitions. Then both are dropped,
        and the other partitions are read again, too.
        """
        self._held.drop(partitions)
        moved = any(p in self._tasks.by_partition and self._tasks.has_news(p) for p in partitions)
        self._tasks.remove(partitions)
        if moved and (self._intake.pending or self._producer.open):
            self._rewind("partitions with records set aside were revoked")

    def _handle(self, event: Event, now_ms: WallTimeMs) -> None:
        match event:
            case Records(partition):
                task = self._tasks.by_partition.get(partition)
                if task is not None and not self._held.behind(event):
                    self._feed(event, task, now_ms)
            case PartitionEnd(partition, offset):
                task = self._tasks.by_partition.get(partition)
                if task is not None and not self._held.behind(event):
                    task.reached_end(offset)
                    if self._tasks.has_news(partition):  # txn markers or aborted records moved the position
                        self._schedule.read(now_ms)
            case OutOfRange(partition, why):
                self._log.warning("offset_out_of_range", partition=partition, error=why)
                self._drop((partition,))
            case Trouble(why):
                self._health.report_trouble(why)
            case DeadOwnersFenced(instances):
                self._log.warning("dead_owners_fenced", instances=list(instances))
            case Assigned() | Revoked():
                pass
            case _:
                assert_never(event)

    def _feed(self, event: Records, task: PartitionTask, now_ms: WallTimeMs) -> None:
        messages = event.messages
        if messages[0].offset() < task.next_offset:  # fetched before a rewind
            messages = [message for message in messages if message.offset() >= task.next_offset]
            if not messages:
                return
        self._schedule.read(now_ms)
        try:
            self._intake.feed(event.partition, task, messages, now_ms)
        except SchemasPending as pending:
            self._held.hold(event, pending)

    def _start_partitions(self, now_ms: WallTimeMs) -> None:
        started = self._starter.attempt(now_ms)
        if started:
            self._tasks.add(started)
            self._health.post(now_ms, self._tasks.by_partition)

    def _send_pending(self) -> None:
        self._producer.send(self._intake.pending)
        self._intake.clear()

    # ---- commit ---------------------------------------------------------------------------------------------

    def _due(self, events: list[Event], now_ms: WallTimeMs, closed: Iterable[Partition]) -> bool:
        """Whether a checkpoint is due, by the tasks to which something happened in this turn.

        docs/decisions/speed.md, "A turn looks only at tasks that something happened to".
        """
        touched = [*(event.partition for event in events if isinstance(event, _READING)), *closed]
        tasks = self._tasks.by_partition
        return self._schedule.due(now_ms, [tasks[partition] for partition in touched if partition in tasks], events)

    def _checkpoint(self, now_ms: WallTimeMs) -> None:
        """Commit everything that was read, and the windows that are over, in one txn.

        1. Tick every task: windows of the wall clock are aligned, so afterwards none of them is open.
        2. Send the set-aside records, then alerts and aggregates.
        3. Commit these with the progress of every partition that moved.

        A txn that cannot be committed is aborted, and everything is read again from the committed offsets. If the
        commit was attempted, its outcome is not known, so the detectors' states are read back, too.
        """
        self._schedule.taken(now_ms)
        for task in self._tasks.by_partition.values():
            task.tick(now_ms)
        moved = self._tasks.with_news()
        if not moved:
            return
        checkpoint = Checkpoint.take(now_ms, moved, self._intake.pending, to_show=self._live is not None)

        def write() -> None:
            self._producer.send(checkpoint.outputs(self._consumer.topic, self._topics))
            offsets = self._consumer.checkpoint(checkpoint.progress())
            self._memories.uncertain(moved)
            self._producer.commit(*offsets)

        if not self._or_rewind(write):
            return
        self._intake.clear()
        self._health.commit_worked()
        self._memories.committed(moved)
        self._tasks.committed(checkpoint.positions())
        done_ms = self._clock()
        checkpoint.count(self._metrics, done_ms)
        if self._live is not None:
            self._live.committed(checkpoint.to_show or (), checkpoint.alerts, done_ms)
        if not 0 <= done_ms - self._line_ms < self._line_every_ms:
            self._line_ms = done_ms
            checkpoint.report(self._log, done_ms)
        owned, in_topic = len(self._tasks.by_partition), self._probe.status.partition_count
        self._splits.look(checkpoint.windows(), owned=owned, in_topic=in_topic, now_ms=now_ms)
        if self._memories.outgrown(in_topic):
            self._log.warning("input_partitions_changed", partitions=in_topic)
            self._rewind(f"topic {self._consumer.topic} has {in_topic} partitions now: read the detectors' states back")

    def _or_rewind(self, work: Callable[[], None]) -> bool:
        """Do work on the txn; where that fails, rewind and return False."""
        try:
            work()
        except (Abortable, Retriable) as problem:
            self._health.commit_failed(str(problem))
            self._rewind(str(problem))
            return False
        return True

    def _rewind(self, why: str) -> None:
        """The one way back: abort, drop every open window, and read again from the committed offsets."""
        self._log.warning("rewind", error=why)
        if self._producer.open or not self._producer.ready:
            self._metrics.txns.labels("aborted").inc()
        self._go_back(list(self._tasks.by_partition))
        self._memories.dropped()
        self._producer.abort()

    def _go_back(self, partitions: list[Partition]) -> None:
        """Drop every open window, and let these partitions start at their committed offsets."""
        self._intake.clear()
        self._schedule.dropped()
        self._held.drop(partitions)
        self._consumer.rewind(partitions)
        self._tasks.clear()

    def _apply(self, change: Change) -> None:
        """Let other detectors judge from here on: every partition starts again, as with another owner.

        No txn is open. A partition that has not started yet may have read back states for the earlier detectors, so it
        goes back, too.
        """
        change.put_in_force()
        self._topics = change.topics
        self._starter.rules = change.rules
        self._memories.begin_again(kept_in_topic=bool(change.topics.state))
        self._go_back([*self._tasks.by_partition, *self._consumer.restoring])

    # ---- the end --------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Abort what has not been committed; the next owner reads it again."""
        try:
            self._producer.abort()
        except KafkaProblem as problem:
            self._log.warning("abort_given_up", error=str(problem))
