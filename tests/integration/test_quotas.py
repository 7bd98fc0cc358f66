"""Quotas of a real broker: what they hold up is late, and nothing else."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from brokerkit.broker import Broker
from brokerkit.client import HasBootstrapServers, committed, create_topics, produce, read_all
from brokerkit.service_process import Names, ServiceProcess, running, transaction, wait_until
from histories.load import START_MS
from histories.oracle import audit
from service.kafka.guards.throttle import Throttle
from service.kafka.producer import TxnProducer
from service.loop.errors import Replaced, Retriable
from service.wire.records import OutRecord
from tests.inside import initialise
from tests.integration.test_service import checkpointed
from tests.quotas import set_quota

ABORTED = 'txwatch_transactions_total{outcome="aborted"}'
TIMES = 'txwatch_throttle_seconds_count{client="%s"}'


class Watched:
    """What the pages of a service said while something was waited for."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self.reasons: set[str] = set()
        self.throttled: set[str] = set()
        self.unhealthy: set[str] = set()

    def until(self, what: Callable[[], bool], timeout_s: float) -> None:
        """Wait until it is so."""

        def look() -> bool:
            status = self._service.status()
            self.reasons.add(status["reason"] or "")
            self.throttled.add(status["throttled"] or "")
            code, text = self._service.get("/healthz")
            self.unhealthy |= {text} if code != 200 else set()
            return what()

        wait_until(look, timeout_s, every_s=0.3)


def all_committed(broker: HasBootstrapServers, names: Names, records: int) -> Callable[[], bool]:
    """Whether the group has committed so many records."""

    def look() -> bool:
        offsets = committed(broker, names.group, names.transactions, "read_uncommitted")
        return sum(max(0, one.offset) for one in offsets) == records

    return look


def test_a_burst_beyond_the_producers_quota_is_late_and_neither_aborted_nor_wrong(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    instance = unique("one")
    create_topics(broker, names.transactions, names.alerts, partitions=4)
    with running(broker, names, {"KAFKA_INSTANCE_ID": instance, "WINDOW_SIZE_MS": "3000"}) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction("first", START_MS, "8000.01")])
        checkpointed(service, 1)
        set_quota(broker, f"txwatch-{instance}", producer_byte_rate=150_000)
        keys = [f"tx{number}" for number in range(5_000)]
        service.process.send_signal(signal.SIGSTOP)  # so that all of it comes in one window
        produce(broker, names.transactions, [transaction(key, START_MS, "8000.01") for key in keys])
        service.process.send_signal(signal.SIGCONT)
        watched = Watched(service)
        watched.until(all_committed(broker, names, len(keys) + 1), 90)
        assert service.metric(ABORTED) == 0
        assert (service.metric(TIMES % "producer") or 0) > 0
        assert service.events("rewind") == []
        (line, *_) = service.events("throttled")
        assert (line["level"], line["client"], line["broker"]) == ("warning", "producer", 1)
        assert service.stop() == 0
    assert any(reason.startswith("waiting for Kafka: broker 1 throttles the producer") for reason in watched.reasons)
    assert any(reason.startswith("broker 1 throttles the producer for ") for reason in watched.throttled)
    assert watched.unhealthy == set()
    account = audit(broker, names)
    assert account.faults == []


def test_under_a_consumers_quota_it_is_ready_while_commits_work(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    instance = unique("one")
    create_topics(broker, names.transactions, names.alerts, partitions=4)
    with running(broker, names, {"KAFKA_INSTANCE_ID": instance}) as service:
        service.wait_ready(4)
        set_quota(broker, f"txwatch-{instance}", consumer_byte_rate=100_000)
        records = [transaction(f"tx{n % 100}", START_MS, f"{n}.01") for n in range(20_000)]
        produce(broker, names.transactions, records)
        watched = Watched(service)
        # A silent partition is asked about after 10 s, and that question waits with the fetches.
        watched.until(all_committed(broker, names, len(records)), 90)
        assert (service.metric(TIMES % "consumer") or 0) > 0
        assert service.events("rewind") == []
        assert service.stop() == 0
    assert any(reason.startswith("broker 1 throttles the consumer for ") for reason in watched.throttled)
    assert [one for one in watched.reasons if "throttles the consumer" not in one] == [""]
    assert watched.unhealthy == set()
    account = audit(broker, names)
    assert account.faults == []


@pytest.fixture(scope="module")
def strict() -> Iterator[Broker]:
    """A broker that allows txns of at most a minute."""
    with Broker(properties={"transaction.max.timeout.ms": 60_000}) as broker:
        yield broker


@pytest.mark.parametrize("longest_ms", [60_000, 70_000], ids=["allowed", "refused"])
def test_a_txn_that_a_quota_holds_up_for_longer_than_its_timeout_is_given_up_and_the_next_one_gets_more_time(
    strict: Broker, unique: Callable[[str], str], longest_ms: int
) -> None:
    """Without it the broker ends the txn, and the client says that it was fenced."""
    topic, name = unique("alerts"), unique("one")
    create_topics(strict, topic)
    throttle = Throttle("producer", time.monotonic, lambda _: None)

    def make(_: object, txn_timeout_ms: int) -> Producer:
        config: dict[str, Any] = {
            "bootstrap.servers": strict.bootstrap_servers,
            "client.id": name,
            "transactional.id": name,
            "transaction.timeout.ms": txn_timeout_ms,
            "throttle_cb": throttle.heard,
            "batch.size": 50_000,
            "log_level": 0,
        }
        return Producer(config)

    consumer = Consumer({"bootstrap.servers": strict.bootstrap_servers, "group.id": unique("group"), "log_level": 0})
    offsets, metadata = [TopicPartition(topic, 0, 1)], consumer.consumer_group_metadata()
    producer = TxnProducer(
        make, lambda: True, lambda: None, throttled=lambda: throttle.active, txn_timeouts_ms=(8_000, longest_ms)
    )
    initialise(producer)
    set_quota(strict, name, producer_byte_rate=25_000)
    records = [OutRecord(topic, b"tx1", os.urandom(1_000), []) for _ in range(500)]
    producer.send(records)
    with pytest.raises(Replaced, match=f"longer than its timeout of 8 s, the next one may take {longest_ms // 1000} s"):
        producer.commit(offsets, metadata)
    if longest_ms == 70_000:
        with pytest.raises(Retriable, match="INVALID_TRANSACTION_TIMEOUT"):
            producer.initialise()
        set_quota(strict, name, producer_byte_rate=None)
    initialise(producer)
    producer.send(records)
    producer.commit(offsets, metadata)
    assert len(read_all(strict, topic)) == len(records)


def test_a_start_whose_topics_exceed_a_quota_says_what_it_waits_for(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    instance = unique("one")
    set_quota(broker, f"txwatch-{instance}", controller_mutation_rate=4)
    with running(broker, names, {"KAFKA_INSTANCE_ID": instance, "TOPICS_PARTITIONS": "12"}) as service:

        def said() -> bool:
            return "throttles the admin client" in (service.status()["reason"] or "")

        wait_until(said, 30)
        service.wait_ready(12, timeout_s=60)
        assert (service.metric(TIMES % "admin") or 0) > 0
        assert service.stop() == 0


def test_set_quota_reports_what_the_broker_refuses(broker: Broker) -> None:
    with pytest.raises(RuntimeError, match="error 42"):
        set_quota(broker, "one", no_such_limit=1)
