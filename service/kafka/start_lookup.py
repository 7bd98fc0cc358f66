"""Where partitions start: at the committed offset, or at the earliest record.

A partition is assigned *at* its first offset: a seek right after an assignment can be lost. One that is fetched already
is sought. docs/decisions/consumer.md, "The first offset is assigned, not sought", and what follows there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.core.model import Offset, Partition, Progress, ResetReason
from service.kafka.classify import classify, kafka_error, query
from service.kafka.guards.topic_id import TopicIdentity
from service.loop.errors import Fatal, Retriable
from service.loop.ports import RestoredMemory, StartPoint
from service.wire.progress import decode_progress

COMMITTED_TIMEOUT_S: Final = 1.0
"""Committed offsets that take longer may belong to a txn that a dead instance left open."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Where a partition's records begin and end, those of open txns included."""

    first: Offset
    end: Offset


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up found out about partitions that wait for their start."""

    tickets: Mapping[Partition, int]
    """The tickets of the question: the answer to an earlier assignment or rewind is void."""
    dead_owners: list[str]
    """Instances whose open txns this look-up has ended."""
    topic_id: str | None
    starts: list[StartPoint]
    known_group: bool
    """Whether the group has an offset for any partition of the topic; asked only if one of these has none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look-up is asked."""

    tickets: Mapping[Partition, int]
    without_memory: frozenset[Partition]
    """Those of these partitions whose detectors' states are read back."""


class StartLookup:
    """Looks up where partitions of one topic start, and starts them there."""

    def __init__(
        self,
        consumer: Consumer,
        offsets: Consumer,
        topic: str,
        *,
        topic_id: Callable[[str], str | None],
        edges: Callable[[str, Collection[Partition]], dict[Partition, Edges]],
        end_txns: Callable[[str, Iterable[Partition]], list[str]],
        read_back: Callable[[Mapping[Partition, Progress]], dict[Partition, RestoredMemory]] = lambda _: {},
    ) -> None:
        """Ask nothing yet.

        ``consumer`` is the group's. ``offsets`` is another consumer of the same group that joins nothing and reads
        committed: the look-up's thread uses it, since committed() of a consumer waits while consume() runs.
        ``topic_id`` asks a broker for a topic's id (None without an answer), ``edges`` asks the leaders for partitions'
        first and last offsets, ``end_txns`` ends what dead owners of partitions left open, and ``read_back`` reads
        what the detectors remember of partitions that start at this progress.
        docs/decisions/consumer.md, "Committed offsets are asked of a consumer that joins nothing".
        """
        self._consumer = consumer
        self._offsets = offsets
        self._topic = topic
        self.identity: Final = TopicIdentity(topic, topic_id)
        self._edges = edges
        self._end_txns = end_txns
        self._read_back = read_back
        self._last: dict[Partition, tuple[Offset | None, Offset]] = {}
        """The committed offset and the first one read, at the last start of each partition of this topic."""

    def begin_with(self, topic_id: str | None) -> None:
        """Note the topic to which all partitions belong from now on: none is fetched at the moment."""
        if self.identity.begin_with(topic_id):
            self._last.clear()

    def look_up(self, asked: Asked) -> Found:
        """Find out where partitions start: where the group committed, or at the earliest record if it never did.

        Runs on a thread of its own, because each question may wait for a broker that is away.

        1. End the txns that dead owners left open: the next answers would wait for them.
        2. Ask for the topic's id, before the offsets: so we notice a topic that is created again in between.
        3. Ask for the committed offsets with their metadata, and for the first and last offsets.
        4. Read back what the detectors remember. It fits the offsets, because nobody else can commit any more.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses.
        """
        partitions = sorted(asked.tickets)
        dead_owners: list[str] = []
        with suppress(Retriable):  # a later attempt, or their own timeout, ends these txns
            dead_owners = self._end_txns(self._topic, partitions)
        topic_id = self.identity.ask()
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        with query("start at the committed offsets"):
            committed = self._offsets.committed(wanted, COMMITTED_TIMEOUT_S)
            edges = self._edges(self._topic, partitions)
            starts = [_start(answer, edges[Partition(answer.partition)]) for answer in committed]
        known = any(start.committed is not None for start in starts)
        if not known and any(start.reset is ResetReason.NO_OFFSET for start in starts):
            known = self._group_has_an_offset()
        progress = {one.partition: one.progress for one in starts if one.partition in asked.without_memory}
        restored = self._read_back(progress)
        starts = [replace(one, restored=restored.get(one.partition)) for one in starts]
        return Found(asked.tickets, dead_owners, topic_id, starts, known)

    def _group_has_an_offset(self) -> bool:
        """Whether the group has an offset for any partition of the topic; False where the broker does not answer."""
        with suppress(KafkaException):  # only the reason depends on the answer, so no start waits for it
            partitions = self._offsets.list_topics(self._topic, COMMITTED_TIMEOUT_S).topics[self._topic].partitions
            asked = [TopicPartition(self._topic, partition) for partition in partitions]
            return any(one.offset >= 0 for one in self._offsets.committed(asked, COMMITTED_TIMEOUT_S))
        return False

    def start(
        self, starts: Collection[StartPoint], fetched: Collection[Partition], *, known_group: bool
    ) -> list[StartPoint]:
        """Assign the new partitions at their first offset, and seek those that are fetched already.

        Returns those that have started, each with its final reason for a reset. One that refuses the seek has not.

        Raises:
            Retriable: the client refuses the assignment.
            Fatal: the client cannot be used any more.
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

        A start with the same offsets as the last one has no reason: this process has reported it, and has read the
        records without a commit.
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
        # Without records there is nothing to read again.
        reset = ResetReason.NO_OFFSET if edges.end > edges.first else None
        return StartPoint(partition, replace(progress, offset=edges.first, ahead=None), 0, None, reset)
    if at > edges.end:
        progress = replace(progress, offset=edges.first, ahead=None)
        return StartPoint(partition, progress, 0, at, ResetReason.BEYOND_END)
    ahead = progress.ahead
    if ahead is not None and ahead.read > edges.end:  # the topic lost its end, so records there are new
        ahead = replace(ahead, read=edges.end)
    progress = replace(progress, offset=max(edges.first, at), ahead=ahead)
    reset = ResetReason.EXPIRED if edges.first > at else None
    return StartPoint(partition, progress, max(0, edges.first - at), at, reset)
