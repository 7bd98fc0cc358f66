"""The alerts topic, read by a consumer group: a lane for each assigned partition, and commits behind each lane."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.forward.lane import Lane, Waiting
from service.forward.templates import Forwarded
from service.kafka.classify import classify, kafka_error
from service.loop.errors import Fatal
from service.wire.alerts import AlertPayload
from service.wire.records import Headers

BATCH: Final = 100
QUEUED_MAX: Final = 200
"""Alerts of one partition that wait in memory. Above it the partition is paused; at half of it, it is resumed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the client's callbacks have reported. Its consumer must have ``error_cb`` and ``on_commit`` append here."""

    errors: deque[KafkaError]
    commits: deque[tuple[KafkaError | None, list[TopicPartition]]] = field(default_factory=deque)

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Note the result of a commit."""
        self.commits.append((error, partitions))


class AlertLanes:
    """Fills the lanes with alerts, and commits how far each lane is."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        heard: Heard,
        *,
        trouble: Callable[[str], None],
        settle: Callable[[Collection[Lane]], None],
    ) -> None:
        """Join the group of a consumer with isolation.level=read_committed that commits nothing by itself.

        ``trouble`` gets each error after which the client tries again. ``settle`` waits, within a bound, for what is
        under way in lanes whose partitions are revoked; it must not raise.
        """
        self._consumer = consumer
        self._topic = topic
        self._heard = heard
        self._trouble = trouble
        self._settle = settle
        self._lanes: dict[int, Lane] = {}
        self._paused: set[int] = set()
        self._committed: dict[int, int] = {}
        """The offset that the last commit of each partition had; without an entry where that commit failed."""
        self.joined = False
        """Whether the group has assigned partitions since the start."""
        consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def all(self) -> list[Lane]:
        """The lanes of the assigned partitions."""
        return list(self._lanes.values())

    def has(self, lane: Lane) -> bool:
        """Whether the lane's partition is still the one that was assigned when the lane began."""
        return self._lanes.get(lane.partition) is lane

    def poll(self, wait_s: float) -> None:
        """Wait for alerts, and add them to the lanes.

        Raises:
            Fatal: the broker refuses, or the consumer cannot be used any more.
        """
        try:
            messages = self._consumer.consume(BATCH, wait_s)
        except KafkaException as exception:
            raise Fatal(str(classify(kafka_error(exception), "consume")), kafka_error(exception).code()) from None
        while self._heard.errors:
            self._report(self._heard.errors.popleft(), "Kafka client")
        while self._heard.commits:
            self._committed_or_not(*self._heard.commits.popleft())
        for message in messages:
            if (error := message.error()) is not None:
                self._report(error, f"read {self._topic}")
            elif (lane := self._lanes.get(message.partition() or 0)) is not None:
                lane.add(_waiting(message))
        self._pause_and_resume()

    def _report(self, error: KafkaError, doing: str) -> None:
        problem = classify(error, doing)
        if isinstance(problem, Fatal):
            raise problem
        self._trouble(str(problem))

    def _committed_or_not(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Take the result of a commit. What was not committed is committed again by the next commit()."""
        for failed in [error, *(each.error for each in partitions)]:
            if failed is not None and failed.code() != KafkaError._NO_OFFSET:  # noqa: SLF001
                for each in partitions:
                    self._committed.pop(each.partition, None)
                self._report(failed, "commit")
                return

    def _pause_and_resume(self) -> None:
        for partition, lane in self._lanes.items():
            paused, here = partition in self._paused, [TopicPartition(self._topic, partition)]
            full = len(lane.queue) > (QUEUED_MAX // 2 if paused else QUEUED_MAX)
            if full and not paused:
                self._consumer.pause(here)
                self._paused.add(partition)
            elif paused and not full:
                self._consumer.resume(here)
                self._paused.discard(partition)

    def commit(self) -> None:
        """Begin to commit how far each lane is. A later poll() takes the result, and reports an error.

        Raises:
            Fatal: the consumer cannot be used any more.
        """
        settled = {
            lane.partition: lane.next_offset
            for lane in self._lanes.values()
            if lane.next_offset is not None and self._committed.get(lane.partition) != lane.next_offset
        }
        if not settled:
            return
        try:
            self._consumer.commit(offsets=self._offsets(settled), asynchronous=True)
        except KafkaException as exception:
            self._report(kafka_error(exception), "commit")
        else:
            self._committed.update(settled)

    def _offsets(self, settled: dict[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition, offset) for partition, offset in settled.items()]

    def close(self) -> None:
        """Commit, and leave the group. It may hang for as long as the broker does not answer."""
        self._consumer.close()

    # ---- callbacks: they never raise ---------------------------------------------------------------------------

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        for each in partitions:
            self._lanes[each.partition] = Lane(each.partition)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        lanes = [lane for each in partitions if (lane := self._lanes.get(each.partition)) is not None]
        self._settle(lanes)
        settled = {lane.partition: lane.next_offset for lane in lanes if lane.next_offset is not None}
        if settled:
            # What a failed commit leaves is sent again by the next owner of the partition.
            with contextlib.suppress(KafkaException):
                consumer.commit(offsets=self._offsets(settled), asynchronous=False)
        self._on_lost(consumer, partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._lanes.pop(each.partition, None)
            self._paused.discard(each.partition)
            self._committed.pop(each.partition, None)


def _waiting(message: Message) -> Waiting:
    """The record as a lane takes it."""
    try:
        found = message.headers() or []
    except (SystemError, UnicodeDecodeError):  # the client cannot read a name that is not UTF-8
        found = []
    headers: Headers = list(found.items()) if isinstance(found, dict) else found
    value, forwarded = message.value(), None
    if value is not None:
        with contextlib.suppress(ValueError, RecursionError):  # the lane sets aside what is no alert
            forwarded = Forwarded(AlertPayload.from_json(value), value)
    return Waiting(message.offset() or 0, message.key(), value, headers, message.timestamp()[1], forwarded)
