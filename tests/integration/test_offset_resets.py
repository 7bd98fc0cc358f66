"""Starts at the earliest record, on a real broker: each is said and counted, and a first start is not one."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import Rec, add_partitions, committed, create_topics, produce, read_all, wait_for_topic
from brokerkit.service_process import Names, ServiceProcess, payloads, running, transaction, wait_until

NOW_MS = 1_715_392_800_000


@pytest.fixture
def names(broker: Broker, unique: Callable[[str], str]) -> Names:
    """An input of two partitions."""
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    return names


def write(broker: Broker, names: Names, count: int, partitions: tuple[int, ...] = (0, 1)) -> None:
    """So many records into each of these partitions."""
    for partition in partitions:
        records = [Rec(*transaction(f"tx{partition}", NOW_MS, 9_000), partition=partition) for _ in range(count)]
        produce(broker, names.transactions, records)


def counted(broker: Broker, names: Names) -> int:
    """How many records the aggregates hold."""
    return sum(one["count"] for one in payloads(broker, names.aggregates))


def run_until(broker: Broker, names: Names, records: int, partitions: int = 2) -> list[tuple[Any, ...]]:
    """Let the service count so many records in all; returns its resets."""
    with running(broker, names) as service:
        service.wait_ready(partitions)
        wait_until(lambda: counted(broker, names) >= records)
        found = resets(service)
        assert service.stop() == 0
    return found


def resets(service: ServiceProcess) -> list[tuple[Any, ...]]:
    """Each that was logged, after a look at the counters, which must say the same."""
    logged = sorted(service.events("offset_reset"), key=lambda one: int(one["partition"]))
    for reason in ("beyond_end", "expired", "no_offset", "new_partition"):
        expected = sum(one["reason"] == reason for one in logged)
        assert service.metric(f'txwatch_offset_resets_total{{reason="{reason}"}}') == expected
    assert {one["level"] for one in logged} <= {"warning"}
    return [(one["partition"], one["reason"], one["committed"], one["offset"]) for one in logged]


def commit(broker: Broker, names: Names, offsets: dict[int, int]) -> None:
    """Commit for the group, as an operator's tool does."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": names.group})
    wanted = [TopicPartition(names.transactions, partition, offset) for partition, offset in offsets.items()]
    try:
        consumer.commit(offsets=wanted, asynchronous=False)
    finally:
        consumer.close()


def test_a_first_start_on_new_topics_is_no_reset(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with running(broker, names) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction("tx1", NOW_MS, 9_000)])
        wait_until(lambda: payloads(broker, names.alerts))
        assert resets(service) == []
        assert service.stop() == 0


def test_a_group_that_was_deleted_reads_all_again_and_says_so(broker: Broker, names: Names) -> None:
    write(broker, names, 3, (0,))
    assert run_until(broker, names, 3) == [(0, "no_offset", None, 0)]  # a new group on an old topic
    assert run_until(broker, names, 0) == []
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_consumer_groups([names.group])[names.group].result(30)
    assert run_until(broker, names, 6) == [(0, "no_offset", None, 0)]


def test_an_offset_beyond_the_end_is_said(broker: Broker, names: Names) -> None:
    write(broker, names, 3)
    commit(broker, names, {0: 3, 1: 50})
    assert run_until(broker, names, 3) == [(1, "beyond_end", 50, 0)]


def test_a_topic_that_was_made_again_while_the_service_was_away_is_said(broker: Broker, names: Names) -> None:
    write(broker, names, 5)
    run_until(broker, names, 10)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_topics([names.transactions])[names.transactions].result(30)
    wait_until(lambda: names.transactions not in admin.list_topics(timeout=10).topics)
    create_topics(broker, names.transactions, partitions=2)
    write(broker, names, 2)
    found = run_until(broker, names, 14)
    # The broker forgets the group's offsets with the topic, and may take a moment for it.
    assert [(partition, offset) for partition, _, _, offset in found] == [(0, 0), (1, 0)]
    assert {reason for _, reason, _, _ in found} <= {"no_offset", "beyond_end"}


def test_an_offset_whose_record_has_expired_is_said(broker: Broker, names: Names) -> None:
    write(broker, names, 3)
    commit(broker, names, {0: 1, 1: 1})
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(names.transactions, 1, 2)]).values():
        future.result(30)
    assert run_until(broker, names, 3) == [(1, "expired", 1, 2)]


def test_a_partition_that_was_added_is_distinguished_from_a_group_without_offsets(broker: Broker, names: Names) -> None:
    write(broker, names, 3)
    run_until(broker, names, 6)
    add_partitions(broker, names.transactions, 3)
    wait_for_topic(broker, names.transactions, 3)
    write(broker, names, 1, (2,))
    assert run_until(broker, names, 7, 3) == [(2, "new_partition", None, 0)]
    assert [one.offset for one in committed(broker, names.group, names.transactions)] == [3, 3, 1]
    assert len(read_all(broker, names.alerts)) == 3
