"""A producer that a newer one of its name has fenced says so in one line, whichever call finds it out."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.service_process import wait_until
from service.kafka.producer import TxnProducer
from service.loop.errors import Fenced, KafkaProblem
from service.wire.records import OutRecord
from tests.inside import initialise


@pytest.mark.parametrize("how", ["poll", "send"])
def test_a_fenced_producer_tells_why_at_the_next_call(broker: Broker, unique: Callable[[str], str], how: str) -> None:
    topic, name = unique("alerts"), unique("one")
    create_topics(broker, topic)
    clients: list[Producer] = []

    def make(*_: object) -> Producer:
        config: dict[str, Any] = {"bootstrap.servers": broker.bootstrap_servers, "transactional.id": name}
        clients.append(Producer(config))
        return clients[-1]

    def initialised() -> TxnProducer:
        producer = TxnProducer(make, lambda: True, lambda: None)
        initialise(producer)
        return producer

    record = OutRecord(topic, b"tx1", b"{}", [])
    older = initialised()
    older.send([record])
    clients[0].flush(10)
    initialised()
    older.send([record])
    problems: list[KafkaProblem] = []

    def refused() -> bool:
        try:
            older.poll() if how == "poll" else older.send([record])
        except KafkaProblem as problem:
            problems.append(problem)
        return bool(problems)

    wait_until(refused, 20)
    assert [type(problem) for problem in problems] == [Fenced]
    assert "fenced by newer producer instance" in str(problems[0])
    assert not older.open
    older.abort()  # nothing is left to be done, and to ask for it is no error
