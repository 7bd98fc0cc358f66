"""When the loop takes a checkpoint, and when it asks whether silent windows are over."""

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
"""While an answer is waited for that lets partitions start or windows close."""
PAUSE_MS: Final = 500
"""After a question where partitions end that nobody answered."""
DRAIN_COMMIT_MS: Final = 200
"""Between commits while a backlog is drained whose windows close faster than that."""
LOOK_MS: Final = 10
"""Between looks for windows that wait to be closed without a record, while records come."""
ASK_MS: Final = 100
"""Between questions where partitions end."""


class CommitSchedule:
    """By when all that has been read must be committed; one time for all tasks."""

    def __init__(self, commit_within_ms: int, batch_records: int) -> None:
        """Nothing has been read; a backlog is drained while a turn brings ``batch_records``."""
        self._commit_within_ms = commit_within_ms
        self._batch_records = batch_records
        self._window: TumblingWindow | None = None
        """The span of the wall clock by whose end all that has been read is to be committed."""
        self._held = False
        """Whether windows are over that wait for DRAIN_COMMIT_MS."""
        self._taken_ms = 0

    def patience_s(self, clock: Callable[[], WallTimeMs], *, answer_awaited: bool) -> float:
        """How long the loop may wait for records; ``clock`` is the wall clock."""
        if self._held:
            return 0.0
        longest_s = ANSWER_POLL_S if answer_awaited else POLL_S
        if self._window is None:
            return longest_s
        return min(longest_s, max(0.0, (self._window.end_ms - clock()) / 1000))

    def read(self, now_ms: WallTimeMs) -> None:
        """Take note of records that are to be committed."""
        if self._window is None:
            self._window = window_at(now_ms, self._commit_within_ms)

    def over(self, now_ms: WallTimeMs) -> bool:
        """Whether the time has come."""
        return self._window is not None and outside(self._window, now_ms)

    def ends_within(self, now_ms: WallTimeMs, span_ms: int) -> bool:
        """Whether it comes within ``span_ms``."""
        return self._window is not None and self._window.end_ms - now_ms <= span_ms

    def due(self, now_ms: WallTimeMs, tasks: Iterable[PartitionTask], events: list[Event]) -> bool:
        """Whether one of these tasks has windows to commit now: at once, but while draining only now and then."""
        for task in tasks:
            self._held = self._held or task.to_commit
            if task.has_closed:
                self.read(now_ms)
        if not self._held or not 0 <= now_ms - self._taken_ms < DRAIN_COMMIT_MS:
            return self._held
        return sum(len(event.messages) for event in events if isinstance(event, Records)) < self._batch_records

    def taken(self, now_ms: WallTimeMs) -> None:
        """Begin again: a checkpoint is taken."""
        self._taken_ms = now_ms
        self.dropped()

    def dropped(self) -> None:
        """Begin again: what was read is dropped."""
        self._window, self._held = None, False


class SilentWindows:
    """Closes windows that only a later record would close, once it is sure that none came before."""

    def __init__(self, probe: Probe, health: Health) -> None:
        """Nothing has been asked."""
        self._probe = probe
        self._health = health
        self._look_at_ms = 0
        self._ask_at_ms = 0
        self._asked_ms = WallTimeMs(0)
        """When the question where partitions end was asked whose answer is waited for."""

    def close(
        self, events: list[Event], now_ms: WallTimeMs, tasks: Mapping[Partition, PartitionTask]
    ) -> Iterable[Partition]:
        """Close what is over, and return those partitions.

        That the client has nothing more is no proof: it may not have heard of it yet. So the leaders are asked where
        the partitions end *after* the windows' end; a later turn takes the answer.
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
            return ()
        closed = [partition for partition in ends if partition in tasks]
        for partition in closed:
            tasks[partition].at_end(self._asked_ms, ends[partition])
        return closed
