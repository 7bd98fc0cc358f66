"""Records whose answer is lost in a txn that is aborted, and the records after them."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from brokerkit.broker import Broker
from brokerkit.client import create_topics, read_all
from brokerkit.proxy import Proxy
from brokerkit.service_process import wait_until
from histories.run import proxied_broker
from service.kafka.producer import TxnProducer
from service.loop.errors import Abortable
from service.wire.records import OutRecord
from tests.inside import initialise

WAIT_S = 6
"""So long the client waits before it sends a record again: the abort comes first."""


@pytest.fixture(scope="module")
def far() -> Iterator[tuple[Broker, Proxy]]:
    """A broker behind a proxy."""
    with proxied_broker() as pair:
        yield pair


def gone_members_metadata(broker: Broker, group: str, topic: str) -> Any:  # noqa: ANN401 - opaque in the client
    """What a member of the group had before it left: offsets that are sent with it are refused."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": group})
    consumer.subscribe([topic])

    def assigned() -> bool:
        consumer.poll(0.1)
        return bool(consumer.assignment())

    wait_until(assigned)
    metadata = consumer.consumer_group_metadata()
    consumer.close()
    return metadata


@pytest.mark.parametrize("refused", [False, True], ids=["aborted", "refused"])
def test_a_record_is_not_taken_for_one_that_the_broker_has_of_an_aborted_txn(
    far: tuple[Broker, Proxy], unique: Callable[[str], str], *, refused: bool
) -> None:
    """With one producer for both txns the last commit is done, and its record is nowhere.

    What has no answer is forgotten by the client in the abort, or before it where something of the txn is refused.
    """
    broker, proxy = far
    topic, group = unique("alerts"), unique("group")
    create_topics(broker, topic)
    metadata = gone_members_metadata(broker, group, topic) if refused else None
    config: dict[str, Any] = {
        "bootstrap.servers": f"127.0.0.1:{proxy.port}",
        "transactional.id": unique("one"),
        "retry.backoff.ms": WAIT_S * 1_000,
        "retry.backoff.max.ms": WAIT_S * 1_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 100,
        "log_level": 0,
    }
    clients: list[Producer] = []

    def make(*_: object) -> Producer:
        clients.append(Producer(config))
        return clients[-1]

    def send(value: bytes) -> None:
        producer.send([OutRecord(topic, b"tx1", value, [])])

    def values(isolation: str) -> list[bytes | None]:
        return [record.value() for record in read_all(broker, topic, isolation)]

    producer = TxnProducer(make, lambda: True, lambda: None)
    initialise(producer)
    send(b"answered")
    assert clients[0].flush(10) == 0
    proxy.deaf = True
    send(b"not answered")
    wait_until(lambda: values("read_uncommitted") == [b"answered", b"not answered"])
    proxy.refuse()
    proxy.deaf = False
    if refused:
        proxy.open()
        time.sleep(2)  # until its connections are there again
        with pytest.raises(Abortable, match="send_offsets_to_transaction"):
            producer.commit([TopicPartition(topic, 0, 1)], metadata)
    else:
        threading.Timer(0.5, proxy.open).start()
    producer.abort()
    initialise(producer)
    send(b"the next one")
    clients[-1].commit_transaction(10)
    assert values("read_committed") == [b"the next one"]
