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

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.core.model import Offset, Partition, Progress, ResetReason
from service.kafka.errors import Fatal, Retriable, asking, kafka_error, sort
from service.wire.progress import decode_progress

EDGES_TIMEOUT_S: Final = 2.0
COMMITTED_TIMEOUT_S: Final = 1.0
"""Committed offsets that are not told by then may belong to a txn that somebody left open."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition starts."""

    partition: Partition
    progress: Progress
    skipped: int
    """Records between the committed offset and the first that still exists: they are gone."""
    committed: Offset | None = None
    """What the group had committed; None where it has no offset."""
    reset: ResetReason | None = None
    """Why it starts at the earliest record; None where that is as it should be, or was reported before."""


class Starting:
    """Starts partitions of one topic, and knows which topic that was."""

    def __init__(self, consumer: Consumer, topic: str, topic_id: Callable[[str], str | None]) -> None:
        """``topic_id`` asks a broker which topic has the name now; None where it does not answer."""
        self._consumer = consumer
        self._topic = topic
        self._ask_topic_id = topic_id
        self._topic_id: str | None = None
        """Of the topic whose partitions are fetched; None where nobody has told."""
        self._last: dict[Partition, tuple[Offset | None, Offset]] = {}
        """The committed offset and the first one read, at the last start of each partition of this topic."""

    def note_topic(self) -> None:
        """The topic that has the name now is the one to compare with: nothing is fetched of another.

        Raises:
            Retriable: there is none at the moment.
            Fatal: the broker refuses.
        """
        topic_id = self._ask_topic_id(self._topic)
        if topic_id != self._topic_id:
            self._last.clear()
        self._topic_id = topic_id

    def is_same_topic(self) -> bool:
        """Whether what is fetched is of the topic that has the name now. Where nobody tells, no commit is held up.

        Raises:
            Retriable, Fatal: as above.
        """
        told = self._ask_topic_id(self._topic)
        self._topic_id = self._topic_id or told
        return told is None or told == self._topic_id

    def start(self, due: Collection[Partition], fetched: Collection[Partition]) -> list[Start]:
        """Start the partitions that are due where the group committed, or at the earliest record if it never did.

        1. Ask for the committed offsets and their metadata, and for what there is.
        2. Find out which starts at the earliest record are to be reported.
        3. Assign the new partitions at their first offset.
        4. Seek the ones that are fetched already; one that cannot be sought is not among those returned.

        Raises:
            Retriable: the broker does not say.
            Fatal: it will never say.
        """
        asked = [TopicPartition(self._topic, partition) for partition in sorted(due)]
        with asking("start at the committed offsets"):
            found = [self._start(answer) for answer in self._consumer.committed(asked, COMMITTED_TIMEOUT_S)]
            starts = self._to_report(found)
            new = [start for start in starts if start.partition not in fetched]
            self._consumer.incremental_assign([self._at(start) for start in new])
        started = new + [start for start in starts if start.partition in fetched and self._seek(start)]
        self._last.update({start.partition: (start.committed, start.progress.offset) for start in started})
        return started

    def _to_report(self, starts: list[Start]) -> list[Start]:
        """The same starts, each reset with its final reason.

        A start with the same offsets as the last one is not reported again: this process read the records and did not
        commit them.
        """
        starts = [
            replace(start, reset=None)
            if self._last.get(start.partition) == (start.committed, start.progress.offset)
            else start
            for start in starts
        ]
        if all(start.reset is not ResetReason.NO_OFFSET for start in starts):
            return starts
        if all(start.committed is None for start in starts) and not self._group_has_an_offset():
            return starts
        return [
            replace(start, reset=ResetReason.NEW_PARTITION) if start.reset is ResetReason.NO_OFFSET else start
            for start in starts
        ]

    def _group_has_an_offset(self) -> bool:
        """Whether the group has an offset for any partition of the topic; False where the broker does not answer."""
        with suppress(KafkaException):  # the answer only chooses the reason: a start need not wait for it
            partitions = self._consumer.list_topics(self._topic, COMMITTED_TIMEOUT_S).topics[self._topic].partitions
            asked = [TopicPartition(self._topic, partition) for partition in partitions]
            return any(one.offset >= 0 for one in self._consumer.committed(asked, COMMITTED_TIMEOUT_S))
        return False

    def _at(self, start: Start) -> TopicPartition:
        return TopicPartition(self._topic, start.partition, start.progress.offset)

    def _seek(self, start: Start) -> bool:
        try:
            self._consumer.seek(self._at(start))
        except KafkaException as exception:
            problem = sort(kafka_error(exception), f"seek partition {start.partition}")
            if isinstance(problem, Fatal):
                raise problem from exception
            return False
        return True

    def _start(self, committed: TopicPartition) -> Start:
        if committed.error is not None:
            raise KafkaException(committed.error)
        partition = Partition(committed.partition)
        edges = self._consumer.get_watermark_offsets(committed, EDGES_TIMEOUT_S)
        if edges is None:
            raise Retriable(f"partition {partition}: no answer about its first and last offset")
        low, high = edges
        progress = decode_progress(Offset(committed.offset), committed.metadata)
        at = Offset(committed.offset) if committed.offset >= 0 else None
        if at is None:
            reset = ResetReason.NO_OFFSET if high > low else None  # an empty partition has no record to read again
            return Start(partition, Progress(Offset(low), progress.watermark_ms), 0, None, reset)
        if at > high:
            return Start(partition, Progress(Offset(low), progress.watermark_ms), 0, at, ResetReason.BEYOND_END)
        ahead = progress.ahead
        if ahead is not None and ahead.read > high:  # the end of the topic was lost: what comes there is new
            ahead = replace(ahead, read=Offset(high))
        progress = replace(progress, offset=Offset(max(low, at)), ahead=ahead)
        return Start(partition, progress, max(0, low - at), at, ResetReason.EXPIRED if low > at else None)
