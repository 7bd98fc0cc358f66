"""`forward` that kills itself: `python -m tests.integration.killed_forward POINT forward --to NAME`.

It gets SIGKILL when it comes to that point for the first time.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, Final, cast

from confluent_kafka import Consumer, Producer, TopicPartition

from service.app.forwarding import Forwarding
from service.forward.http_client import HttpTarget
from service.forward.templates import Body
from service.forward.verdicts import Answer
from service.observe import log
from service.process.stop import stopped_by_signals
from service.settings import load

POINTS: Final = (
    "before the request", "after the answer", "before the write", "in the write", "between the write and the commit",
    "before the commit", "in the commit", "after the commit",
)  # fmt: skip

LATER_S: Final = 1.5
"""Long enough for a commit by the loop, which must not pass over what is not settled."""


class Killer:
    """Kills the process at one point."""

    def __init__(self, point: str) -> None:
        """`point` is one of POINTS."""
        self._point = point

    def is_at(self, point: str) -> bool:
        """Whether this is the point."""
        return point == self._point

    def at(self, point: str, after_s: float = 0.0) -> None:
        """The process is at this point, and is killed so much later."""
        if self.is_at(point):
            time.sleep(after_s)
            os.kill(os.getpid(), signal.SIGKILL)


class KilledTarget(HttpTarget):
    """Has points before a request and after its answer."""

    killer: Killer

    def send(self, body: Body, idempotency_key: str) -> Answer:
        """As the real one."""
        self.killer.at("before the request", LATER_S)
        answer = super().send(body, idempotency_key)
        self.killer.at("after the answer")
        return answer


class KilledProducer:
    """Has points at the write of an alert that is not delivered."""

    def __init__(self, producer: Producer, killer: Killer) -> None:
        """Wrap the real one."""
        self._producer = producer
        self._killer = killer
        self.written = False
        """Whether a write has succeeded since the last commit."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Everything else is the real one's."""
        return getattr(self._producer, name)

    def produce(self, *arguments: Any, on_delivery: Callable[..., None], **named: Any) -> None:  # noqa: ANN401
        """As the real one."""

        def delivered(*result: Any) -> None:  # noqa: ANN401
            on_delivery(*result)
            self.written = True

        self._killer.at("before the write")
        if self._killer.is_at("in the write"):  # the record is still in the client when the process ends
            Thread(target=self._killer.at, args=("in the write", LATER_S), daemon=True).start()
            return
        self._producer.produce(*arguments, **{**named, "on_delivery": delivered})


class KilledConsumer:
    """Has points at the commit."""

    def __init__(self, consumer: Consumer, killer: Killer, producer: Callable[[], KilledProducer]) -> None:
        """Wrap the real one."""
        self._consumer = consumer
        self._killer = killer
        self._producer = producer

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Everything else is the real one's."""
        return getattr(self._consumer, name)

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> None:
        """As the real one."""
        if self._producer().written:
            self._killer.at("between the write and the commit")
            self._producer().written = False
        self._killer.at("before the commit")
        self._consumer.commit(offsets=offsets, asynchronous=True)
        self._killer.at("in the commit")
        if not asynchronous:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        self._killer.at("after the commit")


def main() -> int:
    """Run it."""
    point, _, _, name = sys.argv[1:]
    KilledTarget.killer = killer = Killer(point)
    producers: list[KilledProducer] = []

    def make_producer(config: dict[str, Any]) -> Producer:
        producers.append(KilledProducer(Producer(config), killer))
        return cast("Producer", producers[0])

    def make_consumer(config: dict[str, Any]) -> Consumer:
        return cast("Consumer", KilledConsumer(Consumer(config), killer, lambda: producers[0]))

    def make_target(url: str, headers: Mapping[str, str], timeout_s: float) -> KilledTarget:
        return KilledTarget(url, headers, timeout_s)

    log.configure("info", "json")
    with stopped_by_signals() as stop:
        settings = load(None).settings
        return Forwarding(
            settings, name, stop, target=make_target, producer=make_producer, consumer=make_consumer
        ).run()


if __name__ == "__main__":
    sys.exit(main())
