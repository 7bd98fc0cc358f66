"""Reading what a topic holds between two moments, without joining a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from service.history.records import StoredRecord
from service.kafka.classify import classify_query, kafka_error
from service.loop.errors import Fatal

TIMEOUT_S: Final = 2.0


class HistoryReader:
    """Reads topics from a moment up to their present end."""

    def __init__(self, consumer: Consumer) -> None:
        """Wrap a consumer with isolation.level=read_committed and enable.partition.eof=true."""
        self._consumer = consumer

    def read(self, topic: str, from_ms: int, keep_going: Callable[[], bool]) -> Iterator[StoredRecord]:
        """Each record with a timestamp of ``from_ms`` or later, in the order of its partition.

        Raises:
            Retriable: the broker does not answer, or there is no such topic.
            Fatal: it refuses.
        """
        try:
            left = self._assign(topic, from_ms)
        except KafkaException as exception:
            self._consumer.poll(0)  # the client's own complaints say more than "timed out"
            raise classify_query(kafka_error(exception), f"read {topic}") from exception
        while left and keep_going():
            for message in self._consumer.consume(500, 0.1):
                error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is None:
                    timestamp_ms = message.timestamp()[1]
                    if timestamp_ms >= from_ms:
                        yield StoredRecord(partition, offset, timestamp_ms, message.value())
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    left.discard(partition)
                elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                    pass  # the client looks for the coordinator of a group that is never joined
                elif isinstance(problem := classify_query(error, f"read {topic}"), Fatal):
                    raise problem
        self._consumer.unassign()

    def _assign(self, topic: str, from_ms: int) -> set[int]:
        """Start in every partition that has such a record; returns those."""
        found = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        wanted = [TopicPartition(topic, partition, max(0, from_ms)) for partition in found.partitions]
        starts = [one for one in self._consumer.offsets_for_times(wanted, TIMEOUT_S) if one.offset != OFFSET_END]
        self._consumer.assign(starts)
        return {one.partition for one in starts}

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
