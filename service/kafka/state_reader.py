"""Reads the detectors' states back from the state topic, before their partitions start."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.core.memory.partition import Memory
from service.core.memory.silences import WHOLE
from service.core.memory.states import UnknownStateError
from service.core.model import Offset, Partition, Progress
from service.core.partitioner import has_moved
from service.kafka.classify import classify_query, query
from service.kafka.start_lookup import Edges
from service.loop.errors import Fatal, Retriable
from service.loop.ports import RestoredMemory, RestoreProgress
from service.wire.states import owner_of

BATCH: Final = 10_000
TIMEOUT_S: Final = 1.0
QUIET_S: Final = 10.0
"""Without a record for this time the attempt has failed; another one begins."""
WHAT_TO_DO: Final = (
    "start the version of txwatch that wrote it, or name another topic in TOPICS_STATE:"
    " the detectors then begin without states"
)


@dataclass(slots=True)
class _Read:
    """What was read of one partition: packed states by detector and key."""

    states: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    records: int = 0


class StateReader:
    """Reads partitions of the state topic from their first record to their end."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        *,
        edges: Callable[[str, Collection[Partition]], dict[Partition, Edges]],
        make_memory: Callable[[Partition, int | None], Memory],
        input_partitions: Callable[[], int | None],
        grow: Callable[[int, int], None],
        progress: RestoreProgress,
    ) -> None:
        """Wrap a consumer with isolation.level=read_committed and enable.partition.eof=true.

        ``edges`` asks the leaders where partitions begin and end, open txns included. ``input_partitions`` is how many
        the input has. ``grow`` adds partitions to the state topic: its arguments are how many it has, and needs.
        """
        self._consumer = consumer
        self._topic = topic
        self._doing = f"read {topic} back"
        self._edges = edges
        self._make_memory = make_memory
        self._input_partitions = input_partitions
        self._grow = grow
        self._progress = progress

    def read_back(self, starts: Mapping[Partition, Progress]) -> dict[Partition, RestoredMemory]:
        """What the detectors remember of these partitions, which start at this progress.

        Call it after the committed offsets have been given: they may be visible before the commit's marker is in the
        state topic. So read to the end that the leader names now, open txns included.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses, or a state cannot be read.
        """
        if not starts:
            return {}
        began_s = time.monotonic()
        try:
            found = self._read(list(starts))
            # What was read of one partition is freed before the next one, so the process does not grow for good.
            return {one: self._restored(one, starts[one], found.pop(one), began_s) for one in list(found)}
        finally:
            self._progress.read = self._progress.of = 0

    def _read(self, partitions: list[Partition]) -> dict[Partition, _Read]:
        found = {one: _Read() for one in partitions}
        with query(self._doing):
            self._give_partitions(max(partitions) + 1)
        edges = self._edges(self._topic, partitions)
        ends = {one: edge.end for one, edge in edges.items() if edge.end > edge.first}
        self._progress.of = sum(edge.end - edge.first for edge in edges.values())
        try:
            with query(self._doing):
                self._consumer.assign([TopicPartition(self._topic, one, edges[one].first) for one in ends])
                heard_s = time.monotonic()
                while ends:
                    for message in self._consumer.consume(BATCH, 0.1):
                        self._take(message, found, ends)
                        heard_s = time.monotonic()
                    if time.monotonic() - heard_s > QUIET_S:
                        raise Retriable(f"{self._doing}: nothing came for {QUIET_S:.0f} s")
        finally:
            with suppress(KafkaException):
                self._consumer.unassign()
        return found

    def _take(self, message: Message, found: Mapping[Partition, _Read], ends: dict[Partition, Offset]) -> None:
        error, partition = message.error(), Partition(message.partition() or 0)
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                if partition in ends and (message.offset() or 0) >= ends[partition]:
                    del ends[partition]  # an earlier end may be the begin of an open txn
            elif isinstance(problem := classify_query(error, self._doing), Fatal):
                raise problem
            return
        self._progress.read += 1
        read = found[partition]
        read.records += 1
        try:
            detector, key = owner_of(message.key() or b"")
        except ValueError as wrong:
            raise self._refused(message, str(wrong)) from None
        value = message.value()
        if value is None:
            read.states[detector].pop(key, None)
        else:
            read.states[detector][key] = value

    def _give_partitions(self, least: int) -> None:
        """Add partitions if the input has been given more of them."""
        found = self._consumer.list_topics(self._topic, TIMEOUT_S).topics[self._topic]
        if found.error is not None:  # the broker may not have heard of the topic yet
            raise KafkaException(found.error)
        count = len(found.partitions)
        if count < least:
            self._grow(count, max(least, self._input_partitions() or 0))

    def _restored(self, partition: Partition, start: Progress, read: _Read, began_s: float) -> RestoredMemory:
        before = start.partitions or 0
        now = max(before, self._input_partitions() or 0)  # a broker may not have heard of added partitions yet
        memory = self._make_memory(partition, now or None)

        def moved(key: str) -> bool:
            return key != WHOLE and 0 < before < now and has_moved(key.encode(), partition, before, now)

        try:
            not_kept = memory.restore(read.states, moved)
        except UnknownStateError as wrong:
            raise Fatal(f"topic {self._topic}, partition {partition}: {wrong}; {WHAT_TO_DO}") from None
        return RestoredMemory(memory, read.records, time.monotonic() - began_s, not_kept)

    def _refused(self, message: Message, why: str) -> Fatal:
        where = f"topic {self._topic}, partition {message.partition()}, offset {message.offset()}"
        return Fatal(f"{where}: {why}; {WHAT_TO_DO}")
