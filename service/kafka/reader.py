"""Reads a topic's committed records without joining a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.history.records import StoredRecord
from service.kafka.classify import classify_query, kafka_error
from service.loop.errors import Fatal
from service.wire.records import Headers

TIMEOUT_S: Final = 2.0
NO_TIMESTAMP_MS: Final = -1


class TopicReader:
    """Reads all partitions of one topic at a time: start() first, then read()."""

    def __init__(self, consumer: Consumer) -> None:
        """Wrap a consumer with isolation.level=read_committed and enable.partition.eof=true."""
        self._consumer = consumer
        self._topic = ""
        self._from_ms = NO_TIMESTAMP_MS
        self._unfinished: set[int] = set()

    def start(self, topic: str, *, from_beginning: bool) -> None:
        """Start at the first record of every partition, or after the last one.

        Raises:
            Retriable: the broker does not answer, or there is no such topic.
            Fatal: the broker refuses.
        """
        first = OFFSET_BEGINNING if from_beginning else OFFSET_END
        self._start(topic, lambda partitions: [TopicPartition(topic, each, first) for each in partitions])
        self._from_ms = NO_TIMESTAMP_MS

    def start_at(self, topic: str, from_ms: int) -> None:
        """Start at the first record with a timestamp of ``from_ms`` (epoch) or later; skip older records.

        Raises:
            Retriable: the broker does not answer, or there is no such topic.
            Fatal: the broker refuses.
        """

        def found(partitions: set[int]) -> list[TopicPartition]:
            wanted = [TopicPartition(topic, each, max(0, from_ms)) for each in partitions]
            answers = self._consumer.offsets_for_times(wanted, TIMEOUT_S)
            return [answer for answer in answers if answer.offset != OFFSET_END]

        self._start(topic, found)
        self._from_ms = from_ms

    def _start(self, topic: str, positions: Callable[[set[int]], list[TopicPartition]]) -> None:
        self._topic = topic
        try:
            starts = positions(self._partitions(topic))
            self._consumer.assign(starts)
        except KafkaException as exception:
            self._consumer.poll(0)  # serves the error callback, whose errors say more than "timed out"
            raise classify_query(kafka_error(exception), f"read {topic}") from exception
        self._unfinished = {each.partition for each in starts}

    def _partitions(self, topic: str) -> set[int]:
        metadata = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        return set(metadata.partitions)

    def read(self, *, follow: bool, keep_going: Callable[[], bool]) -> Iterator[StoredRecord]:
        """Each record, in its partition's order, until every partition was at its end (``follow``: without end).

        Raises:
            Fatal: the broker refuses.
        """
        while (follow or self._unfinished) and keep_going():
            for message in self._consumer.consume(500, 0.1):
                error, partition = message.error(), message.partition() or 0
                if error is not None:
                    self._handle(error, partition)
                    continue
                timestamp_ms = message.timestamp()[1]
                if timestamp_ms >= self._from_ms:
                    value, key = message.value(), message.key()
                    yield StoredRecord(partition, message.offset() or 0, timestamp_ms, value, key, _headers(message))
        self._consumer.unassign()

    def _handle(self, error: KafkaError, partition: int) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._unfinished.discard(partition)
        elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            pass  # the client looks for the coordinator of its group, which it never joins
        elif isinstance(problem := classify_query(error, f"read {self._topic}"), Fatal):
            raise problem

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def _headers(message: Message) -> Headers | None:
    try:
        return cast("Headers | None", message.headers())
    except (SystemError, UnicodeDecodeError):  # a name is not UTF-8, so the client returns no header at all
        return None
