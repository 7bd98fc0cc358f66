"""Decides when the loop takes a checkpoint, and when it closes windows without a later record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from service.core.model import Partition, TumblingWindow, WallTimeMs
from service.core.task import PartitionTask
from service.core.window import outside, window_at
from service.loop.errors import Retriable
from service.loop.events import Event, Records
from service.loop.health import Health
from service.loop.ports import Probe

POLL_S: Final = 0.1
ANSWER_POLL_S: Final = 0.01
"""The longest poll while the loop needs an answer to start partitions or to close windows."""
PAUSE_MS: Final = 500
"""The pause after a failed question for the ends of partitions."""
DRAIN_COMMIT_MS: Final = 200
"""The least time between commits during a backlog whose windows close faster than that."""
LOOK_MS: Final = 10
"""The time between looks for windows that close without a record, while records come."""
WHOLE_TOPIC: Final = Partition(0)
"""The partition whose owner judges the silence of the topic."""
ASK_MS: Final = 100
"""The time between questions for the ends of partitions."""


class CommitSchedule:
    """Decides when everything that was read must be committed: one time for all tasks."""

    def __init__(self, commit_within_ms: int, batch_records: int) -> None:
        """Begin with nothing read. While each turn reads ``batch_records`` there is a backlog."""
        self._commit_within_ms = commit_within_ms
        self._batch_records = batch_records
        self._window: TumblingWindow | None = None
        """The span of the wall clock by whose end everything read must be committed; None if nothing was read."""
        self._held = False
        """Whether closed windows wait for DRAIN_COMMIT_MS."""
        self._taken_ms = 0

    def patience_s(self, clock: Callable[[], WallTimeMs], *, answer_awaited: bool) -> float:
        """How long the loop may wait for records, in seconds; ``clock`` is the wall clock."""
        if self._held:
            return 0.0
        longest_s = ANSWER_POLL_S if answer_awaited else POLL_S
        if self._window is None:
            return longest_s
        return min(longest_s, max(0.0, (self._window.end_ms - clock()) / 1000))

    def read(self, now_ms: WallTimeMs) -> None:
        """Note that something was read: the span begins now, unless it has begun."""
        if self._window is None:
            self._window = window_at(now_ms, self._commit_within_ms)

    @property
    def nothing_read(self) -> bool:
        """Whether nothing was read that is not committed. So no txn is open, and this is a boundary."""
        return self._window is None

    def over(self, now_ms: WallTimeMs) -> bool:
        """Whether the span is over."""
        return self._window is not None and outside(self._window, now_ms)

    def ends_within(self, now_ms: WallTimeMs, span_ms: int) -> bool:
        """Whether the span ends within ``span_ms``."""
        return self._window is not None and self._window.end_ms - now_ms <= span_ms

    def due(self, now_ms: WallTimeMs, tasks: Iterable[PartitionTask], events: list[Event]) -> bool:
        """Whether one of these tasks has windows to commit now: at once, but less often during a backlog."""
        for task in tasks:
            self._held = self._held or task.to_commit
            if task.has_output:
                self.read(now_ms)
        if not self._held or not 0 <= now_ms - self._taken_ms < DRAIN_COMMIT_MS:
            return self._held
        return sum(len(event.messages) for event in events if isinstance(event, Records)) < self._batch_records

    def taken(self, now_ms: WallTimeMs) -> None:
        """Begin again, because a checkpoint is taken."""
        self._taken_ms = now_ms
        self.dropped()

    def dropped(self) -> None:
        """Begin again, because everything that was read is dropped."""
        self._window, self._held = None, False


class SilentWindows:
    """Closes windows that otherwise only a later record closes, once everything before their end has been read."""

    def __init__(self, probe: Probe, health: Health) -> None:
        """Begin without a question."""
        self._probe = probe
        self._health = health
        self._look_at_ms = 0
        self._ask_at_ms = 0
        self._asked_ms = WallTimeMs(0)
        """When the pending question was asked."""
        self._topic_asked_ms = WallTimeMs(0)

    def close(
        self, events: list[Event], now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]
    ) -> Iterable[Partition]:
        """Close windows that are over; returns their partitions.

        The client may not know of the newest records yet. So we ask the leaders where the partitions end, *after* the
        windows' end, and a later turn takes the answer.
        """
        if 0 < self._look_at_ms - now_ms <= LOOK_MS and any(isinstance(event, Records) for event in events):
            return ()
        self._look_at_ms = now_ms + LOOK_MS
        if not self._probe.end_offsets.pending and not 0 < self._ask_at_ms - now_ms <= PAUSE_MS:
            waiting = [p for p, task in tasks.items() if task.waits_for_end(now_ms)]
            if waiting:
                self._ask_at_ms, self._asked_ms = now_ms + ASK_MS, now_ms
                self._probe.end_offsets.ask(waiting)
        try:
            ends = self._probe.end_offsets.answer() or {}
        except Retriable as problem:
            self._health.report_trouble(str(problem))
            self._ask_at_ms = now_ms + PAUSE_MS
            ends = {}
        closed = [partition for partition in ends if partition in tasks]
        for partition in closed:
            tasks[partition].at_end(self._asked_ms, ends[partition])
        try:
            return [*closed, *self._look_at_topic(now_ms, tasks)]
        except Retriable as problem:
            self._health.report_trouble(str(problem))
            return closed

    def _look_at_topic(self, now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]) -> Iterable[Partition]:
        """Ask where all partitions of the topic end, if a detector of partition 0 looks at the whole topic.

        Raises:
            Retriable: the broker does not answer.
        """
        task = tasks.get(WHOLE_TOPIC)
        if task is None or not task.memory.silences.any:
            return ()
        question, count = self._probe.topic_ends, self._probe.status.partition_count
        if not question.pending and count is not None and task.memory.silences.wants_topic(now_ms):
            self._topic_asked_ms = now_ms
            question.ask([Partition(one) for one in range(count)])
        ends = question.answer()
        if ends is None or len(ends) != count:
            return ()
        task.memory.silences.topic_ends(self._topic_asked_ms, sum(ends.values()))
        return (WHOLE_TOPIC,)
