"""Reading the alerts topic, committed alerts only, without joining a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.kafka.classify import classify_query, kafka_error
from service.loop.errors import Fatal, Retriable

TIMEOUT_S: Final = 2.0


class AlertsReader:
    """All partitions of the alerts topic."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        """Wrap a consumer with isolation.level=read_committed and enable.partition.eof=true."""
        self._consumer = consumer
        self._topic = topic
        self._ends: set[int] = set()
        self._partitions: frozenset[int] = frozenset()

    def start(self, *, from_beginning: bool) -> None:
        """Find the partitions and start in all of them.

        Raises:
            Retriable: the broker does not answer, or there is no such topic yet.
            Fatal: it refuses.
        """
        try:
            found = self._consumer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
        except KafkaException as exception:
            self._consumer.poll(0)  # the client's own complaints say more than "timed out"
            raise self._sorted(kafka_error(exception)) from exception
        if found.error is not None:
            raise self._sorted(found.error)
        self._partitions = frozenset(found.partitions)
        first = OFFSET_BEGINNING if from_beginning else OFFSET_END
        self._consumer.assign([TopicPartition(self._topic, partition, first) for partition in self._partitions])

    def _sorted(self, error: KafkaError) -> Fatal | Retriable:
        return classify_query(error, f"read {self._topic}")

    def read(self, *, follow: bool, keep_going: Callable[[], bool]) -> Iterator[bytes]:
        """Each alert's value; ends at the end of every partition unless told to follow.

        Raises:
            Fatal: the broker refuses.
        """
        while keep_going():
            for message in self._consumer.consume(500, 0.1):
                value = self._value(message)
                if value is not None:
                    yield value
            if not follow and self._ends >= self._partitions:
                return

    def _value(self, message: Message) -> bytes | None:
        error = message.error()
        partition = message.partition() or 0
        if error is None:
            self._ends.discard(partition)
            return message.value()
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._ends.add(partition)
        elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            pass  # the client looks for the coordinator of a group that is never joined
        elif isinstance(problem := self._sorted(error), Fatal):
            raise problem
        return None

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
