"""The service's loop in the test's own process, on a real broker, put together as bootstrap does it."""

import time
from collections import deque
from collections.abc import Callable
from functools import partial

import structlog
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from brokerkit.client import HasBootstrapServers
from brokerkit.service_process import Names, wait_until
from service.app.bootstrap import now_ms
from service.app.clients import client_config, consumer_config, offsets_config, producer_config
from service.core.memory.alerts import Place
from service.core.memory.partition import Memory
from service.kafka.admin import ClusterAdmin
from service.kafka.background import Background
from service.kafka.consumer import GroupConsumer
from service.kafka.consumer_status import ConsumerStatus
from service.kafka.partition_ends import PartitionEnds
from service.kafka.producer import TxnProducer
from service.kafka.start_lookup import StartLookup
from service.loop.errors import Retriable
from service.loop.intake import Intake
from service.loop.memories import Memories
from service.loop.output_topics import OutputTopics
from service.loop.ports import Probe
from service.loop.worker import Worker
from service.observe.metrics import Metrics
from service.observe.status import StatusBoard
from service.settings import load
from service.wire.transactions import JsonDecoder
from tests.driver import LIMIT, rules


class Inside:
    """A worker with its clients at hand; close() when done."""

    def __init__(
        self, broker: HasBootstrapServers, names: Names, make_producer: Callable[..., TxnProducer] = TxnProducer
    ) -> None:
        """Join the group; windows are of 300 ms."""
        settings = load(None, {**names.environment(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}).settings
        topics = OutputTopics(names.alerts, names.aggregates, "", names.dead_letter, 10**6, 10**6, 10**6)
        self.client = Consumer(consumer_config(settings, lambda _: None))
        config = producer_config(settings, lambda _: None, topics)
        self.producer = make_producer(lambda *_: Producer(config), lambda: True, lambda: None)
        initialise(self.producer)
        admin = ClusterAdmin(AdminClient(client_config(settings, "admin", lambda _: None)))
        self.board = StatusBoard(time.monotonic)
        stable = Consumer(offsets_config(settings, "read_committed"))
        partition_ends = PartitionEnds(stable, Consumer(offsets_config(settings, "read_uncommitted")))
        lookup = StartLookup(
            self.client,
            stable,
            names.transactions,
            topic_id=lambda _: "",
            edges=partition_ends.edges,
            end_txns=lambda *_: [],
        )
        status = ConsumerStatus(self.client, names.transactions, is_member=lambda _: True)
        self.consumer = GroupConsumer(
            self.client, names.transactions, deque(), lookup=lookup, status=status, instance="one"
        )
        metrics = Metrics(CollectorRegistry(), self.board, "0", "0")
        self.worker = Worker(
            self.consumer,
            self.producer,
            Probe(
                status=status,
                end_offsets=Background("end_offsets", partial(partition_ends.end_offsets, names.transactions)),
                ends=Background("ends", partial(partition_ends.ends, names.transactions)),
                topic_ends=Background("topic_ends", partial(partition_ends.end_offsets, names.transactions)),
                reach=Background("reach", lambda _: admin.reach(names.transactions)),
            ),
            topics=topics,
            rules=rules(window_size_ms=300, max_future_ms=0),
            intake=Intake(names.transactions, topics, metrics, JsonDecoder()),
            memories=Memories(
                lambda partition: Memory(LIMIT, Place(names.transactions, partition)), kept_in_topic=False
            ),
            clock=now_ms,
            metrics=metrics,
            board=self.board,
            log=structlog.get_logger("test"),
        )

    def turn_until(self, what: Callable[[], bool], timeout_s: float = 30) -> None:
        """Turn until it is so."""

        def turned() -> bool:
            self.worker.turn()
            return what()

        wait_until(turned, timeout_s, every_s=0)

    def close(self) -> None:
        """Leave the group."""
        self.client.close()


def initialise(producer: TxnProducer) -> None:
    """Attempt it until the broker's coordinator is there."""

    def attempt() -> bool:
        try:
            producer.initialise()
        except Retriable:
            return False
        return True

    wait_until(attempt, 30)
