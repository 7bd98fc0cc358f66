"""Producers with different partitioners at one topic, and compacted output topics, on a real broker."""

import json
from collections import defaultdict
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from brokerkit.broker import Broker
from brokerkit.client import add_partitions, create_topics, read_all
from brokerkit.service_process import Names, payloads, running, transaction, wait_until

NOW_MS = 1_715_392_800_000
COUNTER = "txwatch_ids_in_two_partitions_total"
JAVA = "murmur2_random"
LIBRDKAFKA = "consistent_random"


def producer_with(broker: Broker, partitioner: str) -> Producer:
    """A producer of its own."""
    return Producer({"bootstrap.servers": broker.bootstrap_servers, "partitioner": partitioner})


def write(producer: Producer, topic: str, ids: list[str]) -> None:
    """One record of each id."""
    for one in ids:
        key, value = transaction(one, NOW_MS, 5_000)
        producer.produce(topic, value, key)
    assert producer.flush(30) == 0


def split_in(broker: Broker, topic: str) -> set[str]:
    """The ids that the topic has in two partitions."""
    places = defaultdict(set)
    for message in read_all(broker, topic):
        places[message.key()].add(message.partition())
    return {(key or b"").decode() for key, partitions in places.items() if len(partitions) > 1}


def key_at(broker: Broker, topic: str, partition: int, offset: int) -> bytes | None:
    """The key of one record, as an operator finds it by the log line."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "never-joined"})
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        (message,) = consumer.consume(1, 20)
        return message.key()
    finally:
        consumer.close()


def counted(broker: Broker, names: Names) -> int:
    """How many records the aggregates hold."""
    return sum(one["count"] for one in payloads(broker, names.aggregates))


def test_two_partitioners_at_one_topic_are_counted_and_said_once(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    ids = [f"card-{n}" for n in range(200)]
    with running(broker, names) as service:
        service.wait_ready(4)
        write(producer_with(broker, JAVA), names.transactions, ids)
        wait_until(lambda: counted(broker, names) == 200)
        assert service.metric(COUNTER) == 0.0
        write(producer_with(broker, LIBRDKAFKA), names.transactions, ids)
        wait_until(lambda: counted(broker, names) == 400)
        split = split_in(broker, names.transactions)
        assert 100 < len(split) < 200  # three of four
        wait_until(lambda: service.metric(COUNTER) == float(len(split)))
        for partitioner in (JAVA, LIBRDKAFKA):
            write(producer_with(broker, partitioner), names.transactions, ids)
        wait_until(lambda: counted(broker, names) == 800)
        assert service.stop() == 0
        (line,) = service.events("ids_in_two_partitions")
    here = key_at(broker, names.transactions, line["partition"], line["offset"])
    there = key_at(broker, names.transactions, line["other_partition"], line["other_offset"])
    assert here == there
    assert (here or b"").decode() in split
    assert not any(one in json.dumps(line) for one in split)


def test_ids_that_move_to_partitions_that_are_added_are_not_counted_while_producers_do_not_all_know(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=3)
    ids = [f"card-{n}" for n in range(100)]
    before = producer_with(broker, JAVA)
    with running(broker, names) as service:
        service.wait_ready(3)
        write(before, names.transactions, ids)
        wait_until(lambda: counted(broker, names) == 100)
        add_partitions(broker, names.transactions, 5)
        service.wait_ready(5, 90)
        for producer in (before, producer_with(broker, JAVA), before):
            write(producer, names.transactions, ids)
        wait_until(lambda: counted(broker, names) == 400)
        in_two = split_in(broker, names.transactions)
        assert len(in_two) > 50
        # The service looks at a window's ids after its commit; a later commit shows that it has.
        write(before, names.transactions, ["last"])
        wait_until(lambda: counted(broker, names) == 401)
        assert service.metric(COUNTER) == 0.0
        assert service.stop() == 0


@pytest.mark.parametrize("policy", ["compact", "compact,delete", "delete"])
def test_each_output_topic_that_is_compacted_is_a_warning_with_the_command_against_it(
    broker: Broker, unique: Callable[[str], str], policy: str
) -> None:
    names = Names(unique)
    outputs = [names.alerts, names.aggregates, names.late, names.dead_letter]
    create_topics(broker, *outputs, config={"cleanup.policy": policy})
    with running(broker, names, {"LATE_POLICY": "divert"}) as service:
        service.wait_for_event("started")
        warnings = service.events("topic_compacted")
        assert service.stop() == 0
    assert [one["topic"] for one in warnings] == (outputs if "compact" in policy else [])
    for one in warnings:
        assert one["level"] == "warning"
        assert one["command"] == (
            f"kafka-configs.sh --bootstrap-server {broker.bootstrap_servers} --alter --entity-type topics"
            f" --entity-name {one['topic']} --add-config cleanup.policy=delete"
        )
