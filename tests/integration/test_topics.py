"""Topics that are deleted under a running service."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from tests.broker import Broker
from tests.kafka_helpers import create_topics, produce, read_all
from tests.oracle import audit
from tests.service_process import Names, payloads, running, transaction, wait_until

NOW_MS = 1_715_392_800_000


def delete(broker: Broker, topic: str) -> None:
    """Delete it, and wait until it is gone."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics)


@pytest.mark.parametrize("which", ["alerts", "dead_letter"])
def test_an_output_topic_that_is_deleted_ends_the_service_and_the_next_start_makes_it_anew(
    broker: Broker, unique: Callable[[str], str], which: str
) -> None:
    names = Names(unique)
    # The client hopes for so long that a topic is only new to the broker.
    with running(broker, names, {"KAFKA_PROPERTIES": '{"topic.metadata.propagation.max.ms": 1000}'}) as service:
        service.wait_ready(4)
        delete(broker, getattr(names, which))
        produce(broker, names.transactions, [transaction("tx1", NOW_MS, "9000"), ("tx1", "rubbish")])
        assert service.process.wait(60) == 1
        (fatal,) = service.events("fatal")
        assert "Unknown topic" in fatal["error"]
        assert "a topic is gone" in fatal["error"]
    with running(broker, names) as service:
        wait_until(lambda: service.events("checkpoint"), 60)
        assert service.stop() == 0
    assert len(read_all(broker, names.dead_letter)) == 1
    assert audit(broker, names).faults == []


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_an_input_topic_that_is_made_again_is_read_from_its_start(
    broker: Broker, unique: Callable[[str], str], protocol: str
) -> None:
    names = Names(unique)
    settings = {"KAFKA_PROPERTIES": f'{{"group.protocol": "{protocol}", "topic.metadata.refresh.interval.ms": 1000}}'}
    with running(broker, names, settings) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction("old", NOW_MS, 1) for _ in range(5)])
        wait_until(lambda: sum(one["count"] for one in payloads(broker, names.aggregates)) == 5, 30)
        delete(broker, names.transactions)
        create_topics(broker, names.transactions, partitions=4)
        produce(broker, names.transactions, [transaction("new", NOW_MS, 1) for _ in range(3)])

        def counted() -> int:
            return sum(one["count"] for one in payloads(broker, names.aggregates) if one["transaction_id"] == "new")

        wait_until(lambda: counted() >= 3, 90)
        assert service.stop() == 0
    assert counted() == 3
