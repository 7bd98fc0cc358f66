"""Reads a span of a topic in batches, as fast as the client gives them. Joins no group, and needs READ on the topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.core.model import Offset, Partition
from service.kafka.batches import events_of
from service.kafka.classify import classify_query, kafka_error
from service.loop.errors import Fatal
from service.loop.events import Event, PartitionEnd, Records, Trouble
from service.wire.records import InRecord

BATCH: Final = 500
TIMEOUT_S: Final = 5.0
EARLIEST: Final = -2
LATEST: Final = -1
"""Kafka's special timestamps of ListOffsets."""


class SpanReader:
    """Reads each partition from a time to the end that it had at start()."""

    def __init__(self, consumer: Consumer) -> None:
        """Wrap a consumer with isolation.level=read_committed and enable.partition.eof=true."""
        self._consumer = consumer
        self._topic = ""
        self.starts: dict[Partition, Offset] = {}
        """The offset at which each partition begins to be read; partitions without such a record are missing."""
        self.ends: dict[Partition, Offset] = {}
        """The end of each of them, as readers of committed records see it."""
        self.has_older = False
        """Whether the topic has records before the time."""
        self._unfinished: set[Partition] = set()

    def start(self, topic: str, from_ms: int) -> None:
        """Start at the first record of each partition with a timestamp of ``from_ms`` (epoch) or later.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses, or there is no such topic.
        """
        self._topic = topic
        try:
            partitions = self._partitions()
            firsts, ends = (self._offsets(partitions, at) for at in (EARLIEST, LATEST))
            found = self._offsets(partitions, max(0, from_ms))
            self.starts = {one: at for one, at in found.items() if at != OFFSET_END and at < ends[one]}
            self.ends = {one: ends[one] for one in self.starts}
            self.has_older = any(self.starts.get(one, ends[one]) > firsts[one] for one in partitions)
            self._consumer.assign([TopicPartition(topic, one, at) for one, at in self.starts.items()])
        except KafkaException as exception:
            self._consumer.poll(0)  # serves the error callback, whose errors say more than "timed out"
            raise classify_query(kafka_error(exception), f"read {topic}") from exception
        self._unfinished = set(self.starts)

    def _partitions(self) -> list[Partition]:
        metadata = self._consumer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
        if metadata.error is not None:
            if metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Fatal(f"there is no topic {self._topic}")
            raise KafkaException(metadata.error)
        return [Partition(one) for one in sorted(metadata.partitions)]

    def _offsets(self, partitions: Sequence[Partition], at: int) -> dict[Partition, Offset]:
        asked = [TopicPartition(self._topic, one, at) for one in partitions]
        answers = self._consumer.offsets_for_times(asked, TIMEOUT_S)
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {Partition(one.partition): Offset(one.offset) for one in answers}

    @property
    def total(self) -> int:
        """How many offsets there are to read."""
        return sum(end - self.starts[one] for one, end in self.ends.items())

    def finish(self, partition: Partition) -> None:
        """Read no more of this partition."""
        if partition in self._unfinished:
            self._unfinished.discard(partition)
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def read(self, keep_going: Callable[[], bool]) -> Iterator[Records]:
        """Yield consecutive records of a partition, until every partition has been read to its end.

        An empty batch means that nothing came for a moment.

        Raises:
            Fatal: the broker refuses.
        """
        while self._unfinished and keep_going():
            messages = self._consumer.consume(BATCH, 0.1)
            if not messages:
                yield Records(Partition(0), [])
            for event in events_of(messages, self._event):
                match event:
                    case Records(partition, records) if partition in self._unfinished:
                        yield from self._before_end(partition, records)
                    case PartitionEnd(partition, offset) if offset >= self.ends.get(partition, offset):
                        self.finish(partition)

    def _before_end(self, partition: Partition, records: Sequence[InRecord]) -> Iterator[Records]:
        end = self.ends[partition]
        last = records[-1].offset()
        if last >= end:
            records = [record for record in records if record.offset() < end]
        if records:
            yield Records(partition, records)
        if last >= end - 1:
            self.finish(partition)

    def _event(self, message: Message, error: KafkaError) -> Event:
        partition = Partition(message.partition() or 0)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            return PartitionEnd(partition, Offset(message.offset() or 0))
        # The client looks for the coordinator of its group, which it never joins.
        if error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
            problem = classify_query(error, f"read {self._topic}")
            if isinstance(problem, Fatal):
                raise problem
        return Trouble(error.str())

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
