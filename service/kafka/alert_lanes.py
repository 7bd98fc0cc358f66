"""The alerts topic, read in a group of its own: a lane for each assigned partition, and offsets behind them."""

from __future__ import annotations

import contextlib
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from structlog.typing import FilteringBoundLogger

from service.forward.lane import Lane, Waiting
from service.forward.templates import Forwarded
from service.kafka.classify import classify, kafka_error
from service.loop.errors import Fatal
from service.wire.alerts import AlertPayload
from service.wire.records import Headers

BATCH: Final = 100
QUEUED_MAX: Final = 200
"""Alerts of one partition that wait in memory. Above it the partition is paused; at half of it, it is resumed."""


class AlertLanes:
    """Fills the lanes, and commits how far each one is."""

    def __init__(self, consumer: Consumer, topic: str, log: FilteringBoundLogger) -> None:
        """Join the group of a consumer with isolation.level=read_committed that commits nothing by itself."""
        self._consumer = consumer
        self._topic = topic
        self._log = log
        self._lanes: dict[int, Lane] = {}
        self._paused: set[int] = set()
        self._committed: dict[int, int] = {}
        self.joined = False
        """Whether the group has assigned something, be it nothing."""
        consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def all(self) -> list[Lane]:
        """The lanes of the assigned partitions."""
        return list(self._lanes.values())

    def has(self, lane: Lane) -> bool:
        """Whether the lane's partition was never taken away. A lane that was is of no use any more."""
        return self._lanes.get(lane.partition) is lane

    def poll(self, wait_s: float) -> None:
        """Add what has come to the lanes.

        Raises:
            Fatal: the broker refuses.
        """
        for message in self._consumer.consume(BATCH, wait_s):
            if (error := message.error()) is not None:
                if isinstance(problem := classify(error, f"read {self._topic}"), Fatal):
                    raise problem
            elif (lane := self._lanes.get(message.partition() or 0)) is not None:
                lane.add(_waiting(message))
        self._pause_and_resume()

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
        """Commit behind what is done with. What cannot be committed now is sent again at worst.

        Raises:
            Fatal: the broker refuses for good.
        """
        done = {
            lane.partition: lane.next_offset
            for lane in self._lanes.values()
            if lane.next_offset is not None and self._committed.get(lane.partition) != lane.next_offset
        }
        if not done:
            return
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in done.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            problem = classify(kafka_error(exception), "commit")
            if isinstance(problem, Fatal):
                raise problem from None
            self._log.warning("forward_commit_failed", error=str(problem))
        else:
            self._committed.update(done)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    # ---- callbacks: they never raise ---------------------------------------------------------------------------

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        for each in partitions:
            self._lanes[each.partition] = Lane(each.partition)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with contextlib.suppress(Fatal):  # the next poll reports it
            self.commit()
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
