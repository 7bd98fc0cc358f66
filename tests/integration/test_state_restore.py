"""Reading the detectors' states back on a real broker: everything that was committed, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Consumer, Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from service.core.detectors import ConfiguredDetector
from service.core.detectors.deviation import Deviation
from service.core.memory.alerts import Place
from service.core.memory.partition import Memory
from service.core.model import Offset, Partition, Progress
from service.kafka.partition_ends import PartitionEnds
from service.kafka.state_reader import StateReader
from service.loop.errors import Fatal
from service.loop.ports import RestoredMemory, RestoreProgress
from service.wire.states import state_record

DETECTOR = ConfiguredDetector("odd", Deviation())


def packed(windows: int) -> bytes:
    """A state of the detector."""
    states = Memory((DETECTOR,), Place("input", Partition(0)))._tables["odd"].states
    states.put("key", 1, (windows, 5.0, 2.0), None)
    found = states.staged["key"]
    assert found is not None
    return found


class Reading:
    """The reader of one state topic."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker, self._topic = broker, topic
        both = (self._consumer("read_committed"), self._consumer("read_uncommitted"))
        self._reader = StateReader(
            self._consumer("read_committed"),
            topic,
            edges=PartitionEnds(*both).edges,
            make_memory=lambda one, count: Memory((DETECTOR,), Place("input", one), partitions=count),
            input_partitions=lambda: 2,
            grow=lambda _there, _needed: None,
            progress=RestoreProgress(),
        )

    def _consumer(self, isolation: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._broker.bootstrap_servers,
                "group.id": "never-joined",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": isolation,
            }
        )

    def read_back(self, *partitions: int) -> dict[Partition, RestoredMemory]:
        """What is remembered of these partitions."""
        return self._reader.read_back({Partition(one): Progress(Offset(0), None) for one in partitions})


def windows(found: Mapping[Partition, RestoredMemory], partition: int = 0) -> dict[str, int]:
    """How many windows each key has had."""
    table = found[Partition(partition)].memory._tables["odd"]
    entries = {key: table.states.get(key) for key in table.states._kept}
    return {key: entry.state.windows for key, entry in entries.items() if entry is not None}


def write(producer: Producer, topic: str, key: str, value: bytes | None, partition: int = 0) -> None:
    """Write a state as the service does."""
    record = state_record(topic, Partition(partition), "odd", key, value)
    producer.produce(record.topic, record.value, record.key, record.partition)
    assert producer.flush(10) == 0


def in_txns(broker: Broker, name: str) -> Producer:
    """A producer that is ready for txns."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": name})
    producer.init_transactions(20)
    return producer


@pytest.fixture
def topic(broker: Broker, unique: Callable[[str], str]) -> str:
    """A state topic of two partitions."""
    name = unique("state")
    create_topics(broker, name, partitions=2, config={"cleanup.policy": "compact"})
    return name


def test_the_last_committed_state_of_each_key_is_read_back(broker: Broker, topic: str) -> None:
    producer = in_txns(broker, topic)
    for commit, value, keys in ((True, 3, "abc"), (True, 4, "ab"), (False, 9, "ad"), (True, None, "b")):
        producer.begin_transaction()
        for key in keys:
            write(producer, topic, key, None if value is None else packed(value))
        (producer.commit_transaction if commit else producer.abort_transaction)(10)
    producer.begin_transaction()
    write(producer, topic, "e", packed(5), partition=1)
    producer.commit_transaction(10)
    found = Reading(broker, topic).read_back(0, 1)
    assert windows(found) == {"a": 4, "c": 3}
    assert windows(found, 1) == {"e": 5}


def test_a_txn_whose_end_is_on_its_way_is_waited_for(broker: Broker, topic: str) -> None:
    """Its offsets can be visible before the marker of its end is in the state topic."""
    producer = in_txns(broker, topic)
    producer.begin_transaction()
    write(producer, topic, "a", packed(7))
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(Reading(broker, topic).read_back, 0, 1)
        time.sleep(2)
        assert not reading.done()
        producer.commit_transaction(10)
        assert windows(reading.result(20)) == {"a": 7}


def test_each_reading_asks_for_the_end_again(broker: Broker, topic: str) -> None:
    reading = Reading(broker, topic)
    assert windows(reading.read_back(0)) == {}
    for value in (1, 2):
        produce(broker, topic, [(b"odd\0a", packed(value), (), 0)])
        assert windows(reading.read_back(0)) == {"a": value}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (b"odd\0a", b"\x02abc", "its version is 2, known is 1"),
        (b"odd\0a", b"\x01abc", "it is damaged"),
        (b"odd", b"", "its key is not a detector, NUL and an id"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    broker: Broker, topic: str, key: bytes, value: bytes, says: str
) -> None:
    produce(broker, topic, [(key, value, (), 1)])
    with pytest.raises(Fatal, match=f"topic {topic}, partition 1.*{says}"):
        Reading(broker, topic).read_back(1)
