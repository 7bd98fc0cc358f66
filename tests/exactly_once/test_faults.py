"""Kill it, fence it, move its partitions: every record counts exactly once none the less."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.broker import Broker
from tests.integration.test_service import checkpointed
from tests.kafka_helpers import create_topics, produce
from tests.oracle import audit
from tests.service_process import Names, ServiceProcess, running, transaction, wait_until

NOW_MS = 1_715_392_800_000


class Load:
    """Random transactions, some of them bad or late, written while things happen."""

    def __init__(self, broker: Broker, topic: str, seed: int) -> None:
        self._broker = broker
        self._topic = topic
        self._random = random.Random(seed)  # noqa: S311
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def _run(self) -> None:
        while not self._stop.is_set():
            batch = [self._one() for _ in range(self._random.randrange(1, 200))]
            produce(self._broker, self._topic, batch)
            self.sent += len(batch)
            time.sleep(self._random.random() / 20)

    def _one(self) -> tuple[str, str]:
        key = f"tx{self._random.randrange(20)}"
        if self._random.random() < 0.02:
            return key, "rubbish"
        jitter = self._random.randrange(-3000, 1000)
        return transaction(key, NOW_MS + self.sent * 10 + jitter, f"{self._random.randrange(1, 200_000) / 100:.2f}")

    @contextmanager
    def running(self) -> Iterator["Load"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()


def settle(broker: Broker, names: Names, service: ServiceProcess, sent: int) -> None:
    """Let the survivors commit everything, then hold the oracle against it."""
    checkpointed(service, sent)
    account = audit(broker, names)
    assert account.faults == []
    assert account.records == sent
    assert account.aggregates


@pytest.mark.parametrize("policy", ["include", "divert"])
def test_sigkill_at_random_moments_loses_and_repeats_nothing(
    broker: Broker, unique: Callable[[str], str], policy: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=3)
    dice = random.Random(policy)  # noqa: S311
    settings = {"LATE_POLICY": policy, "WINDOW_SIZE_MS": "500"}
    with Load(broker, names.transactions, seed=1).running() as load:
        for _ in range(3):
            with running(broker, names, settings) as service:
                service.wait_for_event("checkpoint", timeout_s=60)
                time.sleep(dice.random() * 2)
                service.kill()
    with running(broker, names, settings) as service:
        settle(broker, names, service, load.sent)


def test_instances_that_come_and_go_lose_and_repeat_nothing(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=4)
    with running(broker, names) as one, Load(broker, names.transactions, seed=2).running() as load:
        one.wait_ready(4)
        with (
            running(broker, names, {"KAFKA_INSTANCE_ID": "two"}) as two,
            running(broker, names, {"KAFKA_INSTANCE_ID": "three"}) as three,
        ):
            wait_until(lambda: sorted(len(s.status()["partitions"]) for s in (one, two, three)) == [1, 1, 2], 60)
            time.sleep(2)
            assert two.stop() == 0
            three.kill()
            one.wait_ready(4, timeout_s=60)
    with running(broker, names, {"KAFKA_INSTANCE_ID": "four"}) as four:
        settle(broker, names, four, load.sent)


def test_a_zombie_that_wakes_after_a_takeover_commits_nothing(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    with running(broker, names) as zombie, Load(broker, names.transactions, seed=3).running() as load:
        zombie.wait_for_event("checkpoint", count=2)
        zombie.process.send_signal(signal.SIGSTOP)
        with running(broker, names, {"KAFKA_INSTANCE_ID": "heir"}) as heir:
            heir.wait_ready(2, timeout_s=60)
            heir.wait_for_event("checkpoint", count=2)
            zombie.process.send_signal(signal.SIGCONT)
            time.sleep(4)
            if zombie.process.poll() is None:
                assert zombie.stop() == 0
            else:
                assert "fatal" in [entry["event"] for entry in zombie.log]
            heir.wait_ready(2, timeout_s=60)
        with running(broker, names, {"KAFKA_INSTANCE_ID": "heir"}) as heir:
            heir.wait_ready(2, timeout_s=60)
    with running(broker, names, {"KAFKA_INSTANCE_ID": "last"}) as last:
        settle(broker, names, last, load.sent)


def test_of_two_instances_with_one_name_the_newer_wins_and_the_older_says_why(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    with running(broker, names) as older, Load(broker, names.transactions, seed=4).running() as load:
        older.wait_for_event("checkpoint")
        with running(broker, names) as newer:
            assert older.process.wait(30) == 1
            assert "fenced" in older.events("fatal")[0]["error"].lower()
            newer.wait_ready(2, timeout_s=60)
            newer.wait_for_event("checkpoint")
    with running(broker, names) as last:
        settle(broker, names, last, load.sent)


def test_a_broker_killed_and_restarted_loses_and_repeats_nothing(unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with Broker() as own:
        create_topics(own, names.transactions, partitions=2)
        sent = 0
        with running(own, names, {"WINDOW_SIZE_MS": "300"}) as service:
            for cycle in range(3):
                batch = [transaction(f"tx{n % 7}", NOW_MS + n, "1.25") for n in range(2000)]
                produce(own, names.transactions, batch)
                sent += len(batch)
                time.sleep(0.1 + cycle * 0.13)
                own.kill()
                time.sleep(0.3)
                own.restart()
            if service.process.poll() is None:
                service.stop()
        with running(own, names, {"KAFKA_INSTANCE_ID": "last"}) as last:
            settle(own, names, last, sent)
