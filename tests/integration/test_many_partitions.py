"""No question to Kafka holds the loop, however many partitions are silent beside a busy one."""

import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.service_process import Names, transaction
from service.core.model import Partition
from tests.inside import Inside

NOW_MS = 1_715_392_800_000
PARTITIONS = 64
LONGEST_TURN_S = 1.5
"""One question after the other, each behind the pending fetch, took 6 s for so many partitions; a turn takes 0.1 s."""


def test_no_turn_is_longer_than_a_poll_and_a_commit(
    broker: Broker, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.loop.progress_watch.ASK_AFTER_MS", 500)
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=PARTITIONS)
    create_topics(broker, names.alerts, names.aggregates, names.late, names.dead_letter)
    inside = Inside(broker, names)
    ended = threading.Event()
    load = threading.Thread(target=_keep_busy, args=(broker, names.transactions, ended))
    turns: list[float] = []

    def turn_for(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (began_s := time.monotonic()) < until_s:
            inside.worker.turn()
            turns.append(time.monotonic() - began_s)

    try:
        inside.turn_until(lambda: len(inside.board.status.partitions) == PARTITIONS)
        load.start()
        turn_for(4)
        inside.consumer.rewind(map(Partition, range(1, PARTITIONS)))  # they start again while partition 0 is read
        turn_for(2)
        assert not inside.consumer.restoring
    finally:
        ended.set()
        load.join()
        inside.close()
    assert max(turns) < LONGEST_TURN_S
    assert inside.board.status.not_ready is None


def _keep_busy(broker: Broker, topic: str, ended: threading.Event) -> None:
    """A record each ten milliseconds for partition 0."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    key, value = transaction("tx1", NOW_MS, "1")
    while not ended.wait(0.01):
        producer.produce(topic, value, key, 0)
        producer.poll(0)
    producer.flush()
