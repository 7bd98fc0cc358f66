"""Where partitions start.

The committed offset with its watermark is read first, and the partition is assigned *at that offset*. Measured with
librdkafka 2.16: assigning first and seeking after loses records (a pending look-up of the start overtakes the seek),
and taking a partition out and in again at another offset may leave it silent; an explicit first offset, and a seek of
a partition that is being fetched, are right every time. One that the client has given up, since its offset does not
exist any more, refuses to be sought for good (_STATE); it is taken out and in again, which is right every time then.

A topic that is deleted and made again within moments looks like the old one, and the client goes on in its middle. Its
id tells: when it is the same at a commit as when the partitions started, all that was read between is of one topic.
(What the group committed to a topic goes when that is deleted; what it commits after that counts for the new one.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.core.model import Offset, Partition, Progress, ResetReason
from service.kafka.classify import classify, kafka_error, query
from service.loop.errors import Fatal, Retriable
from service.loop.ports import StartPoint
from service.wire.progress import decode_progress

COMMITTED_TIMEOUT_S: Final = 1.0
"""Committed offsets that are not told by then may belong to a txn that somebody left open."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Where the records of a partition begin, and where they end, records of open txns included."""

    first: Offset
    end: Offset


@dataclass(frozen=True, slots=True)
class Found:
    """What the cluster says of partitions that wait to be started."""

    tickets: Mapping[Partition, int]
    """As they were when it was asked: an answer for an earlier assignment or rewind is of no use."""
    dead_owners: list[str]
    """Instances whose open txns have been ended for this."""
    topic_id: str | None
    starts: list[StartPoint]
    known_group: bool
    """Whether the group has an offset for any partition of the topic; asked only where one of these has none."""


class StartLookup:
    """Starts partitions of one topic, and knows which topic that was."""

    def __init__(
        self,
        consumer: Consumer,
        offsets: Consumer,
        topic: str,
        *,
        topic_id: Callable[[str], str | None],
        edges: Callable[[str, Collection[Partition]], dict[Partition, Edges]],
        end_txns: Callable[[str, Iterable[Partition]], list[str]],
    ) -> None:
        """Nothing has been asked yet.

        ``consumer`` is the group's; ``offsets`` is one of the same group that joins nothing and reads committed. It is
        asked by the look-up's thread: committed() of a consumer waits until no consume() is under way, and a busy loop
        leaves no gap (confluent-kafka 2.16: minutes).
        ``topic_id`` asks a broker which topic has the name now (None where it does not answer), ``edges`` the leaders
        what there is of partitions; ``end_txns`` ends what dead owners of partitions left open.
        """
        self._consumer = consumer
        self._offsets = offsets
        self._topic = topic
        self._ask_topic_id = topic_id
        self._edges = edges
        self._end_txns = end_txns
        self._topic_id: str | None = None
        """Of the topic whose partitions are fetched; None where no broker has answered."""
        self._last: dict[Partition, tuple[Offset | None, Offset]] = {}
        """The committed offset and the first one read, at the last start of each partition of this topic."""

    def note_topic(self, topic_id: str | None) -> None:
        """The topic that has the name now is the one to compare with: nothing is fetched of another."""
        if topic_id != self._topic_id:
            self._last.clear()
        self._topic_id = topic_id

    def is_fetched(self, topic_id: str | None) -> bool:
        """Whether what is fetched is of this topic. Where no broker answered (None), nothing is held up."""
        self._topic_id = self._topic_id or topic_id
        return topic_id is None or topic_id == self._topic_id

    def is_same_topic(self) -> bool:
        """Whether what is fetched is of the topic that has the name now.

        Raises:
            Retriable: there is none at the moment.
            Fatal: the broker refuses.
        """
        return self.is_fetched(self._ask_topic_id(self._topic))

    def look_up(self, tickets: Mapping[Partition, int]) -> Found:
        """Find out where partitions start: where the group committed, or at the earliest record if it never did.

        Runs on a thread of its own: each question may wait for a broker that is away.

        1. End the txns that dead owners left open, for which the next answers would wait.
        2. Ask which topic has the name: before the offsets, so that a topic made again in between is noticed.
        3. Ask for the committed offsets and their metadata, and for what there is.

        Raises:
            Retriable: the broker does not say.
            Fatal: it will never say.
        """
        partitions = sorted(tickets)
        dead_owners: list[str] = []
        with suppress(Retriable):  # then their txns end by their own timeout, or before a later attempt
            dead_owners = self._end_txns(self._topic, partitions)
        topic_id = self._ask_topic_id(self._topic)
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        with query("start at the committed offsets"):
            committed = self._offsets.committed(asked, COMMITTED_TIMEOUT_S)
            edges = self._edges(self._topic, partitions)
            starts = [_start(answer, edges[Partition(answer.partition)]) for answer in committed]
        known = any(start.committed is not None for start in starts)
        if not known and any(start.reset is ResetReason.NO_OFFSET for start in starts):
            known = self._group_has_an_offset()
        return Found(tickets, dead_owners, topic_id, starts, known)

    def _group_has_an_offset(self) -> bool:
        """Whether the group has an offset for any partition of the topic; False where the broker does not answer."""
        with suppress(KafkaException):  # the answer only chooses the reason: a start need not wait for it
            partitions = self._offsets.list_topics(self._topic, COMMITTED_TIMEOUT_S).topics[self._topic].partitions
            asked = [TopicPartition(self._topic, partition) for partition in partitions]
            return any(one.offset >= 0 for one in self._offsets.committed(asked, COMMITTED_TIMEOUT_S))
        return False

    def start(
        self, starts: Collection[StartPoint], fetched: Collection[Partition], *, known_group: bool
    ) -> list[StartPoint]:
        """Assign the new partitions at their first offset, and seek the ones that are fetched already.

        Those returned have started, each with its final reason for a reset. One that cannot be sought has not.

        Raises:
            Retriable, Fatal: the client refuses.
        """
        starts = [self._to_report(start, known_group=known_group) for start in starts]
        new = [start for start in starts if start.partition not in fetched]
        with query("start at the committed offsets"):
            self._consumer.incremental_assign([self._at(start) for start in new])
        started = new + [start for start in starts if start.partition in fetched and self._seek(start)]
        self._last.update({start.partition: (start.committed, start.progress.offset) for start in started})
        return started

    def _to_report(self, start: StartPoint, *, known_group: bool) -> StartPoint:
        """The same start with its final reason.

        A start with the same offsets as the last one is not reported again: this process read the records and did not
        commit them.
        """
        if self._last.get(start.partition) == (start.committed, start.progress.offset):
            return replace(start, reset=None)
        if start.reset is ResetReason.NO_OFFSET and known_group:
            return replace(start, reset=ResetReason.NEW_PARTITION)
        return start

    def _at(self, start: StartPoint) -> TopicPartition:
        return TopicPartition(self._topic, start.partition, start.progress.offset)

    def _seek(self, start: StartPoint) -> bool:
        try:
            self._consumer.seek(self._at(start))
        except KafkaException as exception:
            problem = classify(kafka_error(exception), f"seek partition {start.partition}")
            if isinstance(problem, Fatal):
                raise problem from exception
            return False
        return True


def _start(committed: TopicPartition, edges: Edges) -> StartPoint:
    if committed.error is not None:
        raise KafkaException(committed.error)
    partition = Partition(committed.partition)
    progress = decode_progress(Offset(committed.offset), committed.metadata)
    at = Offset(committed.offset) if committed.offset >= 0 else None
    if at is None:
        reset = ResetReason.NO_OFFSET if edges.end > edges.first else None  # an empty one has nothing to read again
        return StartPoint(partition, Progress(edges.first, progress.watermark_ms), 0, None, reset)
    if at > edges.end:
        return StartPoint(partition, Progress(edges.first, progress.watermark_ms), 0, at, ResetReason.BEYOND_END)
    ahead = progress.ahead
    if ahead is not None and ahead.read > edges.end:  # the end of the topic was lost: what comes there is new
        ahead = replace(ahead, read=edges.end)
    progress = replace(progress, offset=max(edges.first, at), ahead=ahead)
    reset = ResetReason.EXPIRED if edges.first > at else None
    return StartPoint(partition, progress, max(0, edges.first - at), at, reset)
