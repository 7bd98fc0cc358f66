"""How the service waits for Kafka: it stays alive, is not ready, and logs the reason."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final, TypeVar

from confluent_kafka import KafkaError
from structlog.typing import FilteringBoundLogger

from service.app.waiting import wait_for_broker
from service.kafka.classify import classify
from service.kafka.guards.throttle import Throttle
from service.loop.errors import Fatal
from service.observe.status import Status, StatusBoard
from service.process.stop import Stop
from service.wire.client import no_token_server

NOT_READY_AFTER_S: Final = 1.5
SAY_EVERY_S: Final = 5.0
AnswerT = TypeVar("AnswerT")


class ServiceWait:
    """Every wait of the loop's thread for Kafka, apart from the poll."""

    def __init__(
        self,
        servers: str,
        stop: Stop,
        errors: deque[KafkaError],
        throttles: Collection[Throttle],
        *,
        board: StatusBoard,
        log: FilteringBoundLogger,
    ) -> None:
        """``servers`` are named in what is logged; the clients' error callbacks append to ``errors``."""
        self._servers = servers
        self._stop = stop
        self._errors = errors
        self._throttles = throttles
        self._board = board
        self._log = log
        self._waiting_since_s = 0.0
        self._said_s = float("-inf")

    def until_done(self, attempt: Callable[[], AnswerT], event: str) -> AnswerT:
        """Repeat the attempt until it succeeds; returns its result. Meanwhile log ``event`` now and then.

        Raises:
            StoppedWaiting: the stop came first.
            SettingsError: the broker and KAFKA_PROPERTIES do not fit together.
            Fatal: the broker refuses.
        """
        said_s = float("-inf")

        def beating() -> AnswerT:
            self._board.beat()
            return attempt()

        def waiting(why: str) -> None:
            nonlocal said_s
            why = self._board.throttled() or why
            for error in self._errors:
                if isinstance(problem := classify(error, "connect"), Fatal) and not no_token_server(error.str()):
                    raise problem
            self._board.status = Status(f"{event.replace('_', ' ')} {self._servers}: {why}")
            if said_s < 0:  # at first the broker may just be starting
                said_s = time.monotonic()
                self._log.info(event, bootstrap_servers=self._servers, error=why)
            elif time.monotonic() - said_s >= SAY_EVERY_S:
                said_s = time.monotonic()
                self._log.warning(event, bootstrap_servers=self._servers, error=why)

        return wait_for_broker(beating, self._stop, self._errors, waiting=waiting)

    def keep_going(self) -> bool:
        """Whether a blocking call may be repeated. The service counts as alive meanwhile, but not as ready."""
        self._board.beat()
        now_s = time.monotonic()
        self._waiting_since_s = self._waiting_since_s or now_s
        if now_s - self._waiting_since_s > NOT_READY_AFTER_S:
            throttled = self._board.throttled()
            why = "waiting for Kafka" + (f": {throttled}" if throttled else "")
            self._board.status = replace(self._board.status, not_ready=why)
            self._say_throttled()
            if now_s - self._said_s >= SAY_EVERY_S:
                self._said_s = now_s
                self._log.warning("waiting_for_kafka")
        return not self._stop.asked()

    def turned(self) -> None:
        """Note that the loop has finished a turn: no call waits any more."""
        self._say_throttled()
        self._waiting_since_s, self._said_s = 0.0, float("-inf")

    def _say_throttled(self) -> None:
        for throttle in self._throttles:
            throttle.say(self._log)
