"""A wait for the broker returns what its attempt returns, and ends at a stop, a limit or wrong settings."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections import deque

import pytest
from confluent_kafka import KafkaError

from service.app.waiting import StoppedWaiting, wait_for_broker
from service.loop.errors import Fatal, Retriable
from service.process.stop import Stop
from service.settings import SettingsError

REFUSED = KafkaError(KafkaError._TRANSPORT, "connection refused")
WRONG_PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "no such user")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.app.waiting.PAUSE_S", 0.0)


class Waiting:
    """A wait whose attempts fail with these problems, one after the other, until one succeeds."""

    def __init__(self, *problems: Exception, stop_after: int = 1_000) -> None:
        self.problems = deque(problems)
        self.stop = Stop()
        self.stop_after = stop_after
        self.errors = deque[KafkaError]()
        self.lines: list[str] = []

    def attempt(self) -> int:
        self.stop_after -= 1
        if self.stop_after <= 0:
            self.stop.event.set()
        if self.problems:
            raise self.problems.popleft()
        return 42

    def wait(self, limit_s: float = 60.0) -> int:
        return wait_for_broker(self.attempt, self.stop, self.errors, waiting=self.lines.append, limit_s=limit_s)


def test_the_result_of_the_first_success_is_returned_and_the_errors_are_gone() -> None:
    one = Waiting(Retriable("slow"), Retriable("still slow"))
    assert (42, ["slow", "still slow"], deque()) == (one.wait(), one.lines, one.errors)


def test_the_clients_own_error_is_the_reason_where_there_is_one() -> None:
    one = Waiting(Retriable("timed out"))
    one.errors.append(REFUSED)
    assert (42, ["connection refused"], deque()) == (one.wait(), one.lines, one.errors)


def test_a_stop_ends_the_wait_without_a_result() -> None:
    one = Waiting(*[Retriable("slow")] * 9, stop_after=2)
    with pytest.raises(StoppedWaiting):
        one.wait()
    assert ["slow"] * 2 == one.lines


def test_wrong_settings_end_the_wait() -> None:
    one = Waiting(Retriable("timed out"))
    one.errors.append(WRONG_PASSWORD)
    with pytest.raises(SettingsError, match="KAFKA_PROPERTIES: no such user"):
        one.wait()


def test_the_last_problem_is_raised_after_the_limit() -> None:
    with pytest.raises(Retriable, match="slow"):
        Waiting(*[Retriable("slow")] * 9).wait(limit_s=-1.0)


def test_what_is_not_retriable_ends_the_wait_at_once() -> None:
    one = Waiting(Fatal("no"))
    with pytest.raises(Fatal):
        one.wait()
    assert [] == one.lines
