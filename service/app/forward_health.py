"""The status of `forward` that other threads read: whether it reads alerts, and whether its target takes them."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from service.forward.metrics import ForwardMetrics
from service.kafka.background import Background
from service.kafka.consumer_status import ConsumerStatus
from service.loop.errors import Retriable
from service.observe.status import Status, StatusBoard


class ForwardHealth:
    """Notes Kafka's errors, and asks what the client does not report: their end, and the membership of the group."""

    def __init__(
        self,
        status: ConsumerStatus,
        reach: Background[None, bool],
        *,
        metrics: ForwardMetrics,
        board: StatusBoard,
        log: FilteringBoundLogger,
    ) -> None:
        """Begin without errors; ``reach`` asks whether the broker answers."""
        self._status = status
        self._reach = reach
        self._metrics = metrics
        self._board = board
        self._log = log
        self._trouble: str | None = None

    def report_trouble(self, why: str) -> None:
        """Note an error after which Kafka's client tries again."""
        if self._trouble is None:
            self._log.warning("kafka_trouble", error=why)
        self._trouble = why

    def look(self, *, joined: bool, target_fails: str | None) -> None:
        """Ask, and post the status. ``joined``: the group has assigned something; ``target_fails``: in words, or None.

        Raises:
            Fatal: the process cannot start a thread for a question.
        """
        self._status.joined = self._status.joined or joined
        if not self._status.joined:  # KIP-848: the client calls back nothing where no partition is left for a member
            self._status.ask_membership()
        if self._trouble is not None:
            self._check_trouble()
        why = target_fails or (f"Kafka does not answer: {self._trouble}" if self._trouble else None)
        if not self._status.joined:
            why = "waiting to join the consumer group" + (f": {self._trouble}" if self._trouble else "")
        self._metrics.ready.set(why is None)
        self._board.status = Status(why)

    def _check_trouble(self) -> None:
        self._reach.ask(None)
        try:
            if self._reach.answer():
                self._log.info("kafka_well_again")
                self._trouble = None
        except Retriable as problem:
            self._trouble = str(problem)
