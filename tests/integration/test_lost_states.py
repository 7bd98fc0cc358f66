"""The state topic was deleted: the service says so or begins without states, and goes on."""

from collections.abc import Callable

from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from brokerkit.service_process import Names, payloads, running, wait_until
from tests.integration.test_detectors import closed, settings, states, window

HIGH = {"name": "high", "type": "threshold", "limit": 100, "resolve_after": 1}


def delete(broker: Broker, topic: str) -> None:
    """Delete a topic, and wait until it is gone."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 30, name=f"{topic} is deleted")


def test_without_the_topic_the_next_start_begins_without_states(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    with running(broker, names, settings(HIGH)) as service:
        produce(broker, names.transactions, [window(0, 150), window(1, 150)])
        closed(broker, names, 1)
        assert service.stop() == 0
    delete(broker, names.state)
    with running(broker, names, settings(HIGH)) as service:
        produce(broker, names.transactions, [window(2, 150)])
        closed(broker, names, 2)
        assert service.stop() == 0
    assert [alert["status"] for alert in payloads(broker, names.alerts)] == ["open", "open"]
    assert {*states(broker, names)} == {b"high\x00tx1"}


def test_a_topic_that_is_deleted_meanwhile_ends_the_service_and_nothing_is_lost(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    with running(broker, names, settings(HIGH)) as service:
        produce(broker, names.transactions, [window(0, 1), window(1, 150)])
        closed(broker, names, 1)
        delete(broker, names.state)
        produce(broker, names.transactions, [window(2, 1)])
        assert service.process.wait(90) == 1
        (line,) = service.events("fatal")
        assert f"topic {names.state}: Unknown topic" in line["error"]
    with running(broker, names, settings(HIGH)):
        closed(broker, names, 2)
    assert [alert["status"] for alert in payloads(broker, names.alerts)] == ["open"]
