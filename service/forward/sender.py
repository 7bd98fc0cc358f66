"""Sends requests, each on a thread of its own, and hands their answers to the loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, Protocol

from service.forward.lane import Lane
from service.forward.templates import Body
from service.forward.verdicts import Answer

REQUESTS_MAX: Final = 16
"""Requests under way at a time, over all partitions."""


class Target(Protocol):
    """Where a body goes; it never raises."""

    def send(self, body: Body, idempotency_key: str) -> Answer:
        """Send it, and wait for the answer."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that has ended, and how long it took."""

    lane: Lane
    answer: Answer
    took_s: float


class Sender:
    """Requests under way. All methods are for the loop's thread, and none waits."""

    def __init__(self, target: Target) -> None:
        """``target`` is called on other threads."""
        self._target = target
        self._ended: SimpleQueue[Ended] = SimpleQueue()
        self.under_way = 0
        self.bug: Exception | None = None
        """What the target has raised, although it must not."""

    @property
    def full(self) -> bool:
        """Whether no further request may go now."""
        return self.under_way >= REQUESTS_MAX

    def send(self, lane: Lane, body: Body, idempotency_key: str) -> None:
        """Begin a request. Its thread does not keep the process from ending.

        Raises:
            RuntimeError: the process cannot start a thread.
        """

        def work() -> None:
            began_s = time.monotonic()
            try:
                answer = self._target.send(body, idempotency_key)
            except Exception as bug:  # noqa: BLE001 - the loop raises it; or the lane would never go on
                self.bug = bug
            else:
                self._ended.put(Ended(lane, answer, time.monotonic() - began_s))

        Thread(target=work, name="request", daemon=True).start()
        self.under_way += 1

    def ended(self) -> Iterator[Ended]:
        """The requests that have ended since the last call."""
        while True:
            try:
                one = self._ended.get_nowait()
            except Empty:
                return
            self.under_way -= 1
            yield one
