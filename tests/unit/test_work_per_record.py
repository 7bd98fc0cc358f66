"""What a record costs is counted, not timed: Python's own steps and the memory that is left behind.

Every instruction of the interpreter between a fetched batch and its sums is counted, in this project's files and in
those of libraries. The same batch takes the same number each time, however busy the machine is; a slow line in the hot
path shows as many more. Work inside C (decoding above all) does not show here: bench/run measures that.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import deque
from typing import Any, Final

import pytest
from confluent_kafka import Message, TopicPartition

from service.core.model import Aggregate, EventTimeMs, Offset, WallTimeMs
from service.kafka.consumer import GroupConsumer
from service.kafka.consumer_status import ConsumerStatus
from service.kafka.start_lookup import Edges, StartLookup
from service.loop.worker import BATCH_RECORDS
from service.wire.transactions import encode_transaction
from tests.driver import T0
from tests.loop import Loop
from tests.steps import steps_of

PARTITIONS: Final = (4, 64)
BATCHES: Final = 4
STEPS_PER_RECORD: Final = 87.3
"""Counted on CPython 3.11, whose compiler decides what a step is. 72 of them are the loop that adds to a window."""
STEPS_PER_NEW_KEY: Final = 97.3
"""A record that is the first of its key in a window."""
WITHIN: Final = 0.05 if sys.version_info[:2] == (3, 11) else 0.35
BYTES_PER_KEY: Final = 264.6
"""Counted by the interpreter. bench/run measures resident memory: at most 400 bytes a key are allowed."""


class Consumer:
    """As much of the client as a batch needs."""

    def __init__(self) -> None:
        self.batches: deque[list[Message]] = deque()

    def subscribe(self, _topics: list[str], **callbacks: Any) -> None:  # noqa: ANN401
        self.on_assign = callbacks["on_assign"]

    def incremental_assign(self, _partitions: list[TopicPartition]) -> None:
        """Nothing is fetched."""

    def consume(self, _count: int, _timeout_s: float) -> list[Message]:
        return self.batches.popleft() if self.batches else []

    def resume(self, _partitions: list[TopicPartition]) -> None:
        """Nothing is paused."""

    def committed(self, due: list[TopicPartition], _timeout_s: float) -> list[TopicPartition]:
        return [TopicPartition(one.topic, one.partition, 0) for one in due]

    def get_watermark_offsets(self, *_: Any, **_more: Any) -> tuple[int, int]:  # noqa: ANN401
        return 0, 1_000_000


class Driven:
    """The loop on the real consumer, whose client hands out the test's records."""

    def __init__(self, partitions: int) -> None:
        self.client = Consumer()
        status = ConsumerStatus(self.client, "transactions", is_member=lambda _: True)  # type: ignore[arg-type]
        consumer = GroupConsumer(
            self.client,  # type: ignore[arg-type]
            "transactions",
            deque(),
            lookup=StartLookup(
                self.client,  # type: ignore[arg-type]
                self.client,  # type: ignore[arg-type]
                "transactions",
                topic_id=lambda _: "",
                edges=lambda _, asked: {one: Edges(Offset(0), Offset(1_000_000)) for one in asked},
                end_txns=lambda _, _partitions: [],
            ),
            status=status,
            instance="one",
        )
        self.loop = Loop(partitions=(), consumer=consumer, status=status)
        self.client.on_assign(self.client, [TopicPartition("transactions", one) for one in range(partitions)])
        self.loop.clock.now_ms = WallTimeMs(T0 + 1)
        while consumer.restoring:
            self.loop.worker.turn()
        self.offset = 0

    def fetch(self, keys: int, size: int) -> None:
        """Make a batch wait."""
        batch = []
        for number in range(self.offset, self.offset + BATCH_RECORDS):
            value = encode_transaction(f"tx-{number % keys:06d}", T0 + number // 100, f"{number % 7_919 + 1}.25")
            value = value[:-1] + b',"note":"' + b"x" * (size - len(value) - 10) + b'"}' if size else value
            batch.append(Message("transactions", 1, Offset(number), b"key", value, None, None, (1, 1)))
        self.offset += BATCH_RECORDS
        self.client.batches.append(batch)

    def steps(self, batches: int) -> int:
        """Turn once a batch, and count the interpreter's instructions."""

        def turn() -> None:
            for _ in range(batches):
                self.loop.worker.turn()

        return steps_of(turn)


def steps_per_record(partitions: int, size: int, keys: int = 250) -> float:
    """After a first batch, which opens the keys unless there are more of them than records."""
    driven = Driven(partitions)
    for _ in range(BATCHES + 1):
        driven.fetch(keys, size)
    driven.loop.worker.turn()
    return driven.steps(BATCHES) / (BATCHES * BATCH_RECORDS)


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("size", [0, 90, 300], ids=["short", "90 bytes", "300 bytes"])
def test_a_record_takes_as_many_steps_as_were_recorded(size: int, partitions: int) -> None:
    assert pytest.approx(STEPS_PER_RECORD, rel=WITHIN) == steps_per_record(partitions, size)


def test_a_record_that_opens_a_key_takes_as_many_steps_as_were_recorded() -> None:
    assert pytest.approx(STEPS_PER_NEW_KEY, rel=WITHIN) == steps_per_record(4, 90, keys=10 * BATCH_RECORDS)


def test_an_open_key_is_no_object_of_the_collector() -> None:
    aggregate = Aggregate(EventTimeMs(T0), Offset(0), EventTimeMs(T0), Offset(0))
    assert not gc.is_tracked(aggregate)
    # The one of msgspec does more than setting, and a record sets four attributes.
    assert Aggregate.__setattr__ is object.__setattr__


def test_records_of_keys_that_are_open_leave_nothing_behind() -> None:
    driven = Driven(4)
    for _ in range(3):
        driven.fetch(250, 90)
    driven.loop.worker.turn()
    driven.loop.worker.turn()
    gc.collect()
    before = sys.getallocatedblocks()
    driven.loop.worker.turn()
    gc.collect()
    # The batch itself is gone from the consumer: what stays may not be more than that.
    assert sys.getallocatedblocks() - before < BATCH_RECORDS / 10


def test_an_open_key_takes_as_much_memory_as_was_recorded() -> None:
    driven = Driven(4)
    for _ in range(BATCHES):
        driven.fetch(BATCHES * BATCH_RECORDS, 90)
    tracemalloc.start()
    try:
        for _ in range(BATCHES):
            driven.loop.worker.turn()
        gc.collect()
        found, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pytest.approx(BYTES_PER_KEY, rel=WITHIN) == found / (BATCHES * BATCH_RECORDS)
