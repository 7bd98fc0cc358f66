"""Whose txns the next owner ends, and how often it tries."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import gc
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable
from threading import Barrier
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from service.core.model import EventTimeMs, Offset, Partition, Progress
from service.kafka.guards.dead_owners import ATTEMPTS_S, CONNECT_S, DeadOwners, LastCommits, connected
from service.kafka.guards.group_members import GroupMembers
from service.loop.errors import Fatal
from service.wire.progress import encode_progress

TIMED_OUT = KafkaError(KafkaError._TIMED_OUT, "slow", retriable=True)
BEING_ENDED = KafkaError(KafkaError.CONCURRENT_TRANSACTIONS, "at it", retriable=True)
FENCED = KafkaError(KafkaError._FENCED, "another owner", fatal=True)
FORBIDDEN = KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "no")


class Group:
    """The last writers of the partitions, the members, and the results of attempts to end a txn."""

    def __init__(self, writers: Iterable[str], members: Iterable[str]) -> None:
        self.writers = writers
        self.members = members
        self.answers: dict[str, list[KafkaError]] = defaultdict(list)
        """What the attempts of a name raise, until one is successful."""
        self.attempts: dict[str, list[float]] = defaultdict(list)
        self.together: Barrier | None = None
        """All of these names have to be attempted at the same time."""
        self.producers: list[weakref.ref[FakeProducer]] = []
        self.patience = 1_000
        """How often the service goes on before it stops."""

    def metadata(self, topic: str, partitions: Iterable[Partition]) -> list[str]:
        assert ("transactions", (0, 1)) == (topic, tuple(partitions))
        return [encode_progress(Progress(Offset(1), EventTimeMs(1)), name) for name in self.writers]

    def client_ids(self) -> set[str]:
        return {f"txwatch-{name}" for name in self.members}

    def ended(self) -> list[str]:
        """The instances whose txns the owner "me" ends."""
        return DeadOwners(
            cast("GroupMembers", self),
            cast("LastCommits", self),
            instance="me",
            client_id=lambda name: f"txwatch-{name}",
            make_producer=self._make_producer,
            keep_going=self._keep_going,
        ).end_their_txns("transactions", [Partition(0), Partition(1)])

    def _make_producer(self, name: str) -> Producer:
        producer = FakeProducer(self, name)
        self.producers.append(weakref.ref(producer))
        return cast("Producer", producer)

    def _keep_going(self) -> bool:
        self.patience -= 1
        return self.patience >= 0


class FakeProducer:
    """One attempt."""

    def __init__(self, group: Group, name: str) -> None:
        self._group = group
        self._name = name

    def init_transactions(self, timeout_s: float) -> None:
        self._group.attempts[self._name].append(timeout_s)
        if self._group.together:
            self._group.together.wait(5)
        if answers := self._group.answers[self._name]:
            raise KafkaException(answers.pop(0))


def test_the_last_writer_is_fenced_if_it_is_no_member_and_no_member_is() -> None:
    group = Group(writers=["dead", "alive", "me", "", "dead"], members=["me", "alive"])
    assert ["dead"] == group.ended()
    assert {"dead"} == set(group.attempts)


def test_an_owner_that_does_not_find_itself_among_the_members_fences_no_instance() -> None:
    group = Group(writers=["dead"], members=["alive"])
    assert ([], {}) == (group.ended(), group.attempts)


def test_what_takes_too_long_is_tried_with_a_new_producer_that_has_more_time() -> None:
    group = Group(writers=["dead"], members=["me"])
    group.answers["dead"] = [TIMED_OUT] * (len(ATTEMPTS_S) - 1)
    assert ["dead"] == group.ended()
    assert list(ATTEMPTS_S) == group.attempts["dead"] == sorted(group.attempts["dead"])


def test_without_an_answer_the_attempts_end() -> None:
    group = Group(writers=["dead"], members=["me"])
    group.answers["dead"] = [TIMED_OUT] * 100
    assert [] == group.ended()
    assert list(ATTEMPTS_S) == group.attempts["dead"]


def test_a_txn_that_is_being_ended_is_asked_for_again_by_a_new_producer() -> None:
    group = Group(writers=["dead"], members=["me"])
    group.answers["dead"] = [BEING_ENDED]
    assert ["dead"] == group.ended()
    assert 2 == len(group.attempts["dead"])


def test_a_producer_that_is_given_up_is_gone_at_once() -> None:
    """It would go on asking, and fence the instance after its return."""
    group = Group(writers=["dead"], members=["me"])
    group.answers["dead"] = [TIMED_OUT, BEING_ENDED]
    gc.disable()
    try:
        assert ["dead"] == group.ended()
        assert [None] * 3 == [producer() for producer in group.producers]
    finally:
        gc.enable()


def test_after_a_stop_there_is_no_further_attempt() -> None:
    group = Group(writers=["dead"], members=["me"])
    group.answers["dead"] = [TIMED_OUT] * 2
    group.patience = 2
    assert [] == group.ended()
    assert 2 == len(group.attempts["dead"])


@pytest.mark.parametrize("error", [FENCED, FORBIDDEN], ids=["another owner was faster", "not allowed"])
def test_a_txn_that_we_may_not_end_is_left_alone(error: KafkaError) -> None:
    group = Group(writers=["dead", "dead too"], members=["me"])
    group.answers["dead"] = [error]
    assert ["dead too"] == group.ended()
    assert 1 == len(group.attempts["dead"])


def test_several_are_fenced_at_the_same_time() -> None:
    group = Group(writers=["one", "two", "three"], members=["me"])
    group.together = Barrier(3)
    assert ["one", "three", "two"] == group.ended()


def test_without_a_thread_for_an_attempt_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(Fatal, match="fence dead owners: can't start new thread: the limit of processes"):
        Group(writers=["dead"], members=["me"]).ended()


class Asked:
    """Remembers what it was asked; it answers, or does not in time."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self.questions: list[tuple[str, float]] = []

    def list_topics(self, topic: str, timeout_s: float) -> None:
        self.questions.append((topic, timeout_s))
        if not self._answers:
            raise KafkaException(TIMED_OUT)


@pytest.mark.parametrize(("answers", "times"), [(True, 2), (False, 1)])
def test_a_producer_has_asked_the_brokers_own_address_or_is_handed_out_without_it(*, answers: bool, times: int) -> None:
    asked = Asked(answers=answers)
    producer = cast("Producer", asked)
    assert producer is connected(producer, "alerts")
    assert [("alerts", CONNECT_S)] * times == asked.questions
