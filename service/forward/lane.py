"""The alerts of one partition: sent one at a time and in order.

An alert is *settled* when the target has answered 2xx, or when TOPICS_UNDELIVERED has it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from service.forward.templates import Forwarded
from service.forward.verdicts import Answer, Breaker, Limits, Undelivered, overdue, wait_s
from service.wire.records import Headers


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record of the alerts topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    """The Kafka timestamp, epoch."""
    forwarded: Forwarded | None
    """The alert; None where the record is none."""

    @property
    def alert_ms(self) -> int:
        """When the alert was detected, epoch; of a record that is no alert, its Kafka timestamp."""
        return self.forwarded.alert.detected_at if self.forwarded else self.timestamp_ms


class Step(Enum):
    """What a lane needs next."""

    NOTHING = auto()
    SEND = auto()
    """A request for `first`; then sent() and answered()."""
    WRITE = auto()
    """A record to TOPICS_UNDELIVERED, for `first` with `reason`; then writing() and written()."""


class _State(Enum):
    IDLE = auto()
    REQUEST = auto()
    """A request is under way."""
    UNDELIVERED = auto()
    """It must be written to TOPICS_UNDELIVERED."""
    WRITING = auto()


class Lane:
    """The alerts of one partition that are not settled. ``next_offset`` is behind the last settled one."""

    def __init__(self, partition: int) -> None:
        """Begin without alerts."""
        self.partition = partition
        self.queue: deque[Waiting] = deque()
        self.next_offset: int | None = None
        self.reason: Undelivered | None = None
        self.answer = ""
        """The last answer to `first`, for people."""
        self.sent_ms = 0
        """When the last request went, epoch."""
        self._state = _State.IDLE
        self._first_try_ms: int | None = None
        self._failures = 0
        self._retry_at_ms = 0

    @property
    def first(self) -> Waiting:
        """The alert whose turn it is."""
        return self.queue[0]

    @property
    def busy(self) -> bool:
        """Whether a request or a write is under way."""
        return self._state in {_State.REQUEST, _State.WRITING}

    def add(self, record: Waiting) -> None:
        """Queue a record."""
        self.queue.append(record)

    def step(self, now_ms: int, breaker: Breaker, limits: Limits) -> Step:
        """What to do now. An alert that has waited too long is given up here, whether or not a request may go."""
        if self._state is _State.IDLE:
            self._skip_empty()
        if not self.queue or self.busy:
            return Step.NOTHING
        if self._state is _State.IDLE:
            if self.first.forwarded is None:
                self._give_up(Undelivered.REFUSED, "the record is no alert")
            elif (reason := overdue(limits, self.first.alert_ms, self._first_try_ms, now_ms)) is not None:
                self._give_up(reason, self.answer)
        if self._state is _State.UNDELIVERED:
            return Step.WRITE
        return Step.SEND if now_ms >= self._retry_at_ms and breaker.allows(now_ms) else Step.NOTHING

    def _skip_empty(self) -> None:
        """Pass over records without a value."""
        while self.queue and self.first.value is None:
            self._settle()

    def sent(self, now_ms: int) -> None:
        """A request for `first` is under way."""
        self._state, self.sent_ms = _State.REQUEST, now_ms
        self._first_try_ms = now_ms if self._first_try_ms is None else self._first_try_ms

    def answered(self, answer: Answer, now_ms: int, chance: float) -> bool:
        """Take the answer; returns whether `first` was delivered. ``chance`` is in [0, 1)."""
        self._state, self.answer = _State.IDLE, answer.text
        if answer.good:
            self._settle()
            return True
        if answer.refused:
            self._give_up(Undelivered.REFUSED, answer.text)
            return False
        self._failures += 1
        self._retry_at_ms = now_ms + round(wait_s(self._failures, chance) * 1000)
        return False

    def writing(self) -> None:
        """The record for TOPICS_UNDELIVERED has been handed to the producer."""
        self._state = _State.WRITING

    def written(self) -> None:
        """The broker has it."""
        self._settle()

    def _give_up(self, reason: Undelivered, why: str) -> None:
        self._state, self.reason, self.answer = _State.UNDELIVERED, reason, why

    def _settle(self) -> None:
        self.next_offset = self.queue.popleft().offset + 1
        self._state, self.reason, self.answer = _State.IDLE, None, ""
        self._first_try_ms, self._failures, self._retry_at_ms = None, 0, 0
