"""What is heard of quotas, by a hand-moved clock."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from typing import Any

import structlog
from confluent_kafka import ThrottleEvent
from structlog.typing import FilteringBoundLogger

from service.kafka.guards.throttle import Throttle, reasons


class Heard:
    """A client's throttle, with a clock that does not move."""

    def __init__(self, client: str = "producer") -> None:
        self.now_s = 1_000.0
        self.observed: list[float] = []
        self.throttle = Throttle(client, lambda: self.now_s, self.observed.append)
        logs = structlog.testing.LogCapture()
        self.lines: list[Any] = logs.entries
        self.log: FilteringBoundLogger = structlog.wrap_logger(
            None, processors=[logs], wrapper_class=structlog.make_filtering_bound_logger("debug")
        )

    def hear(self, seconds: float, broker: int = 1) -> None:
        """The client's callback."""
        self.throttle.heard(ThrottleEvent("127.0.0.1", broker, seconds))


def test_nothing_heard_is_no_throttle() -> None:
    heard = Heard()
    heard.throttle.say(heard.log)
    assert (False, None, [], []) == (heard.throttle.active, heard.throttle.reason, heard.observed, heard.lines)


def test_it_is_active_for_as_long_as_the_broker_says_and_a_moment_more() -> None:
    heard = Heard()
    heard.hear(3.5)
    heard.now_s += 1
    assert "broker 1 throttles the producer for 2.5 s more: a quota is exceeded" == heard.throttle.reason
    heard.now_s += 4.4
    assert "broker 1 throttles the producer for 0.0 s more: a quota is exceeded" == heard.throttle.reason
    heard.now_s += 0.1
    assert heard.throttle.reason is None


def test_a_shorter_one_does_not_end_a_longer_one() -> None:
    heard = Heard()
    heard.hear(10)
    heard.hear(0.1, broker=2)
    heard.hear(0)
    heard.now_s += 9
    assert heard.throttle.active
    assert [10, 0.1] == heard.observed


def test_it_is_logged_once_a_minute_with_what_came_meanwhile() -> None:
    heard = Heard()
    for _ in range(3):
        heard.hear(0.5)
        heard.throttle.say(heard.log)
    heard.now_s += 59.9
    heard.throttle.say(heard.log)
    heard.now_s += 0.1
    heard.throttle.say(heard.log)
    heard.now_s += 60
    heard.throttle.say(heard.log)
    assert [(1, 0.5), (2, 1.0)] == [(line["times"], line["seconds"]) for line in heard.lines]
    assert {("throttled", "producer", 1)} == {(line["event"], line["client"], line["broker"]) for line in heard.lines}


def test_the_reasons_of_several_clients_are_one_line() -> None:
    producer, consumer = Heard(), Heard("consumer")
    both = [producer.throttle, consumer.throttle]
    assert reasons(both) is None
    consumer.hear(1)
    assert consumer.throttle.reason == reasons(both)
    producer.hear(1, broker=2)
    assert f"{producer.throttle.reason}; {consumer.throttle.reason}" == reasons(both)
