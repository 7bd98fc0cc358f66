"""A partition that the client no longer fetches is found on a real broker; one that is merely silent is not."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from brokerkit.service_process import Names, transaction
from tests.inside import Inside

NOW_MS = 1_715_392_800_000


def test_a_partition_that_is_not_fetched_any_more_is_found_by_its_records(
    broker: Broker, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.loop.progress_watch.ASK_AFTER_MS", 300)
    monkeypatch.setattr("service.loop.progress_watch.STUCK_AFTER_MS", 600)
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    create_topics(broker, names.alerts, names.aggregates, names.late, names.dead_letter)
    inside = Inside(broker, names)
    record = transaction("tx1", NOW_MS, "1")

    def at(*positions: int) -> Callable[[], bool]:
        return lambda: [one.position for one in inside.board.status.partitions] == list(positions)

    def stuck() -> str | None:
        return inside.board.status.stuck

    try:
        produce(broker, names.transactions, [(*record, (), 0), (*record, (), 1)])
        inside.turn_until(at(1, 1))
        silent_until_s = time.monotonic() + 3
        inside.turn_until(lambda: time.monotonic() > silent_until_s)
        assert stuck() is None
        inside.client.pause([TopicPartition(names.transactions, 1)])
        produce(broker, names.transactions, [(*record, (), 0), (*record, (), 1)])
        inside.turn_until(lambda: stuck() is not None)
        assert stuck() == "partition 1 is stuck at offset 1 although it has records"
        assert at(2, 1)()
        inside.client.resume([TopicPartition(names.transactions, 1)])
        inside.turn_until(at(2, 2))
        inside.turn_until(lambda: stuck() is None)
    finally:
        inside.close()
