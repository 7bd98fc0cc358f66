"""A commit that fails at its last step: outputs and offsets are both as if it had never been tried."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client import CollectorRegistry

from service.bootstrap import now_ms
from service.clients import consumer_config, producer_config
from service.intake import Topics
from service.kafka.errors import Abortable, Retriable
from service.kafka.sink import CALL_TIMEOUT_S, TransactionalSink
from service.kafka.source import PartitionSource
from service.metrics import Metrics
from service.runtime import Worker
from service.settings import load
from service.status import StatusBoard
from tests.broker import Broker
from tests.driver import rules
from tests.kafka_helpers import committed, create_topics, produce, read_all
from tests.oracle import audit
from tests.service_process import Names, transaction, wait_until

NOW_MS = 1_715_392_800_000


class FailsAtFirst(TransactionalSink):
    """Does everything of its first commits but the last step."""

    failures = 2

    def commit(self, offsets: list[TopicPartition], group_metadata: Any) -> None:  # noqa: ANN401 - opaque in the client
        """Leave outputs and offsets in the open txn, and fail."""
        if not self.failures:
            super().commit(offsets, group_metadata)
            return
        self.failures -= 1
        self.begin()
        self._producer.flush(10)
        self._producer.send_offsets_to_transaction(offsets, group_metadata, CALL_TIMEOUT_S * 10)
        raise Abortable("planned")


def initialised(sink: TransactionalSink) -> bool:
    """Try it, as bootstrap does."""
    try:
        sink.initialise()
    except Retriable:
        return False
    return True


def test_a_commit_that_fails_at_its_last_step_changes_nothing_and_is_made_up_for(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, names.alerts, names.aggregates, names.late, names.dead_letter)
    settings = load(None, {**names.environment(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}).settings
    topics = Topics(names.alerts, names.aggregates, "", names.dead_letter, 10**6, 10**6, 10**6)
    consumer = Consumer(consumer_config(settings, lambda _: None))
    sink = FailsAtFirst(Producer(producer_config(settings, lambda _: None, topics)), lambda: True)
    wait_until(lambda: initialised(sink), 20)
    board = StatusBoard(time.monotonic)
    worker = Worker(
        PartitionSource(consumer, names.transactions, deque(), lambda _: True, lambda _topic, _partitions: {}),
        sink,
        topics=topics,
        rules=rules(window_size_ms=300, max_future_ms=0),
        clock=now_ms,
        metrics=Metrics(CollectorRegistry(), board, "0", "0"),
        board=board,
        log=structlog.get_logger("test"),
    )
    produce(broker, names.transactions, [*[transaction("tx1", NOW_MS, "4000.01")] * 2, ("tx1", "rubbish")])

    def turned(until: Callable[[], bool]) -> bool:
        worker.turn()
        return until()

    try:
        wait_until(lambda: turned(lambda: sink.failures == 0), 30, every_s=0)
        assert [position.offset for position in committed(broker, names.group, names.transactions)] == [-1001]
        for topic in (names.alerts, names.aggregates, names.dead_letter):
            assert read_all(broker, topic) == []
        wait_until(
            lambda: turned(lambda: committed(broker, names.group, names.transactions)[0].offset == 3), 30, every_s=0
        )
    finally:
        consumer.close()
    account = audit(broker, names)
    assert account.faults == []
    assert [str(a["amount"]) for a in account.alerts] == ["8000.02"]
    assert account.reasons == {"not_json": 1}
