"""Helpers for a real broker: create topics, write and read records, read committed offsets."""

import ctypes
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

TIMEOUT_S: Final = 30.0


class HasBootstrapServers(Protocol):
    """A `Broker` or a `Cluster`."""

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT[,HOST:PORT…]."""


class Rec(NamedTuple):
    """A record to be produced. A plain tuple in the same order works, too."""

    key: bytes | str | None
    value: bytes | str | None
    headers: Iterable[tuple[str, bytes | None]] = ()
    partition: int = -1
    timestamp_ms: int = 0


Records = Iterable[
    Rec
    | tuple[bytes | str | None, bytes | str | None]
    | tuple[bytes | str | None, bytes | str | None, Iterable[tuple[str, bytes | None]]]
    | tuple[bytes | str | None, bytes | str | None, Iterable[tuple[str, bytes | None]], int]
]


def librdkafka() -> ctypes.CDLL:
    """Returns the C library itself, for functions that the Python client does not offer."""
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
    return ctypes.CDLL(str(path))


def create_topics(
    broker: HasBootstrapServers,
    *names: str,
    partitions: int = 1,
    config: Mapping[str, str | int] | None = None,
) -> None:
    """Creates topics and waits until each of their partitions has a leader."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    settings = {key: str(value) for key, value in (config or {}).items()}
    new = [NewTopic(name, num_partitions=partitions, config=settings) for name in names]
    for future in admin.create_topics(new, operation_timeout=TIMEOUT_S).values():
        future.result(TIMEOUT_S)
    for name in names:
        wait_for_topic(broker, name, partitions)


def add_partitions(broker: HasBootstrapServers, topic: str, partitions: int) -> None:
    """Gives a topic this number of partitions; see wait_for_topic()."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(TIMEOUT_S)


def wait_for_topic(broker: HasBootstrapServers, name: str, partitions: int = 1, timeout_s: float = TIMEOUT_S) -> None:
    """Waits until a topic has this number of partitions, all with a leader."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    deadline = time.monotonic() + timeout_s
    while True:
        found = admin.list_topics(name, timeout=timeout_s).topics[name].partitions.values()
        if len(found) >= partitions and all(each.leader >= 0 for each in found):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"topic {name} has {len(found)} partitions, not {partitions} with leaders")
        time.sleep(0.05)


def produce(broker: HasBootstrapServers, topic: str, records: Records) -> list[Message]:
    """Writes records, in their order within a partition, waits, and returns the delivered messages with offsets."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True, "partitioner": "murmur2_random"}
    )
    delivered: list[Message] = []
    failed: list[KafkaError] = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is None:
            delivered.append(message)
        else:
            failed.append(error)

    for record in records:
        key, value, headers, partition, timestamp_ms = Rec(*record)
        while True:
            try:
                producer.produce(
                    topic,
                    value,
                    key,
                    partition=partition,
                    on_delivery=report,
                    timestamp=timestamp_ms,
                    headers=list(headers),
                )
            except BufferError:
                producer.poll(0.1)
            else:
                break
        producer.poll(0)
    if producer.flush(TIMEOUT_S) or failed:
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))
    return delivered


def read_all(
    broker: HasBootstrapServers,
    topic: str,
    isolation: str = "read_committed",
    timeout_s: float = TIMEOUT_S,
) -> list[Message]:
    """Returns all records of a topic up to its current end, partition by partition.

    For `read_committed`, the end is where the first open txn begins.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "never-joined",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        records: dict[int, list[Message]] = {partition: [] for partition in partitions}
        open_partitions = set(partitions)
        deadline = time.monotonic() + timeout_s
        while open_partitions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no end of {topic} within {timeout_s} s")
            for message in consumer.consume(1000, 0.1):
                partition = message.partition()
                assert partition is not None
                error = message.error()
                if error is None:
                    records[partition].append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(partition)
                else:
                    raise KafkaException(error)
        return [message for partition in sorted(records) for message in records[partition]]
    finally:
        consumer.close()


def committed(
    broker: HasBootstrapServers, group: str, topic: str, isolation: str = "read_committed"
) -> list[TopicPartition]:
    """Returns a group's committed offset and metadata for each partition of a topic; offset -1001 if there is none.

    For `read_committed`, it waits for the end of txns that have added offsets.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": isolation,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        return consumer.committed([TopicPartition(topic, partition) for partition in sorted(partitions)], TIMEOUT_S)
    finally:
        consumer.close()
