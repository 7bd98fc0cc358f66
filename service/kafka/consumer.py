"""The input topic: batches of records, and the partitions that the group assigns and revokes.

Only poll() waits for Kafka: each other question runs on a thread of its own, and a later turn takes the answer.
The assignment callback fetches nothing: it notes the partitions, and restore() starts them where the group committed.
docs/decisions/client.md, "Only poll() and the commit wait for Kafka", has the reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.core.model import Offset, Partition, Progress
from service.kafka.background import Background
from service.kafka.batches import events_of
from service.kafka.classify import classify, fatal_on_error, kafka_error
from service.kafka.consumer_status import ConsumerStatus
from service.kafka.poll_size import PollSize
from service.kafka.start_lookup import Asked, Found, StartLookup
from service.loop.errors import Fatal, Retriable
from service.loop.events import Assigned, DeadOwnersFenced, Event, OutOfRange, PartitionEnd, Revoked, Trouble
from service.loop.ports import StartPoint
from service.wire.progress import encode_progress


@dataclass(slots=True)
class _Partitions:
    """The assigned partitions: librdkafka fetches the fetched ones, and the due ones wait for restore()."""

    fetched: set[Partition] = field(default_factory=set)
    due: dict[Partition, int] = field(default_factory=dict)
    """Each with a ticket, a new one whenever it becomes due: an answer for an earlier ticket is void."""
    news: list[Event] = field(default_factory=list)
    _tickets: Iterator[int] = field(default_factory=count)

    def make_due(self, partitions: Iterable[Partition]) -> None:
        """Let these wait for restore(); answers to earlier questions about them become void."""
        self.due.update((partition, next(self._tickets)) for partition in partitions)


class GroupConsumer:
    """The consumer group's member for one topic."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        errors: deque[KafkaError],
        *,
        lookup: StartLookup,
        status: ConsumerStatus,
        instance: str,
    ) -> None:
        """Wrap a consumer with auto.offset.reset=error and enable.partition.eof=true, and join the group.

        The clients' error callbacks append to ``errors``. ``lookup`` starts partitions of this consumer. ``status``
        gets to know when the group answers. ``instance`` goes into the metadata of each committed offset.
        """
        self._lookup = lookup
        self._look_up: Background[Asked, Found] = Background("look_up", lookup.look_up)
        self._status = status
        self._leaving = False
        """Whether partitions of a topic that was deleted are still to be handed back."""
        self._instance = instance
        self.topic: Final[str] = topic
        self._consumer = consumer
        self._errors = errors
        self._state = _Partitions()
        self._poll_size = PollSize()
        self._subscribe()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    @property
    def restoring(self) -> frozenset[Partition]:
        """Assigned partitions that have not started."""
        return frozenset(self._state.due)

    # The client calls these inside consume() and close(). An exception would lose the batch: they note and return.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])
        self._status.joined = True
        assigned = tuple(Partition(p.partition) for p in partitions)
        self._state.make_due(assigned)
        self._state.news.append(Assigned(assigned))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoke(partitions, lost=False)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoke(partitions, lost=True)

    def _revoke(self, partitions: list[TopicPartition], *, lost: bool) -> None:
        revoked = tuple(Partition(p.partition) for p in partitions)
        self._stop_fetching(self._state.fetched.intersection(revoked))
        for partition in revoked:
            self._state.due.pop(partition, None)
        self._state.news.append(Revoked(revoked, lost))

    def _stop_fetching(self, partitions: Iterable[Partition]) -> None:
        try:
            self._consumer.incremental_unassign([TopicPartition(self.topic, partition) for partition in partitions])
        except KafkaException as exception:
            self._state.news.append(Trouble(f"unassign: {kafka_error(exception).str()}"))
        self._state.fetched.difference_update(partitions)

    def poll(self, max_records: int, timeout_s: float) -> list[Event]:
        """Wait for records; returns what happened, with changes of ownership first.

        Raises:
            Fatal: the consumer cannot be used any more.
        """
        try:
            messages = self._consumer.consume(self._poll_size.within(max_records), timeout_s)
        except KafkaException as exception:
            raise classify(kafka_error(exception), "consume") from exception
        if self._leaving and not self._state.fetched:
            self._subscribe_again()
        news, self._state.news = self._state.news, []
        while self._errors:
            news.append(self._trouble(self._errors.popleft(), "Kafka client"))
        if not messages:
            return news
        self._poll_size.note(messages)
        return [*news, *events_of(messages, self._error_event)]

    def _error_event(self, message: Message, error: KafkaError) -> Event:
        code = error.code()
        partition = Partition(message.partition() or 0)
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001
            return PartitionEnd(partition, Offset(message.offset() or 0))
        if code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            if partition in self._state.fetched:
                self._state.make_due([partition])
            return OutOfRange(partition, error.str())
        return self._trouble(error, f"consume from {self.topic}")

    def _trouble(self, error: KafkaError, doing: str) -> Trouble:
        problem = classify(error, doing)
        if isinstance(problem, Fatal):
            raise problem
        return Trouble(str(problem))

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Let restore() start these again at their committed offsets; what was found out about those due is void."""
        assigned = self._state.fetched | self._state.due.keys()
        self._state.make_due(p for p in partitions if p in assigned)

    def restore(self, without_memory: Collection[Partition]) -> list[StartPoint]:
        """Start the due partitions whose committed offsets are known, and ask for those of the others.

        Of those ``without_memory`` the detectors' states are read back first.

        1. Take the answer of the look-up, without what it says of earlier assignments.
        2. Where the topic has been created again, leave the group and join it again.
        3. Start the partitions. Stop fetching one that refuses a seek: the next call assigns it like a new one.

        Raises:
            Retriable: the broker does not answer; the partitions stay due.
            Fatal: the broker refuses.
        """
        state = self._state
        if not state.due or self._leaving:
            return []
        self._look_up.ask(Asked(dict(state.due), frozenset(without_memory)))
        found = self._look_up.answer()
        if found is None:
            return []
        if found.dead_owners:
            state.news.append(DeadOwnersFenced(tuple(found.dead_owners)))
        starts = [
            start
            for start in found.starts
            if found.tickets[start.partition] == state.due.get(start.partition)
            and (start.restored is not None or start.partition not in without_memory)
        ]
        if not starts:
            return []
        if not state.fetched:
            self._lookup.begin_with(found.topic_id)
        elif not self._lookup.identity.is_fetched(found.topic_id):
            self._leave_group()
            return []
        starts = self._lookup.start(starts, state.fetched, known_group=found.known_group)
        for start in starts:
            state.fetched.add(start.partition)
            del state.due[start.partition]
        self._pausing(self._consumer.resume, "resume", [start.partition for start in starts])
        if refused := state.due.keys() & state.fetched:
            self._stop_fetching(refused)
        return starts

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of these until resume() or restore()."""
        self._pausing(self._consumer.pause, "pause", partitions)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Return records of these again, from where poll() stopped."""
        self._pausing(self._consumer.resume, "resume", partitions)

    def _pausing(
        self, call: Callable[[list[TopicPartition]], None], doing: str, partitions: Iterable[Partition]
    ) -> None:
        """Neither call asks the broker. One that was revoked meanwhile is skipped: its next assignment resumes it."""
        wanted = [TopicPartition(self.topic, one) for one in partitions if one in self._state.fetched]
        if wanted:
            with fatal_on_error(doing):
                call(wanted)

    def _leave_group(self) -> None:
        """Hand back every partition; when all are back, poll() subscribes again and gets those of the new topic.

        The client refuses a seek in partitions that it knows to be deleted (_STATE). To subscribe at once does not
        work: in the middle of a rebalance the client forgets to hand back its partitions.
        """
        self._leaving, self._status.joined = True, False
        with fatal_on_error("leave the group"):
            self._consumer.unsubscribe()

    def _subscribe_again(self) -> None:
        self._leaving = False
        with fatal_on_error("join the group again"):
            self._subscribe()

    def checkpoint(self, progress: Iterable[tuple[Partition, Progress]]) -> tuple[list[TopicPartition], Any]:
        """The offsets of this progress, and the group's metadata as it is now (KIP-447): arguments of a commit.

        Raises:
            Retriable: the topic has been deleted, or created again since its partitions started.
            Fatal: the broker refuses to describe the topic.
        """
        if not self._lookup.identity.unchanged():
            raise Retriable(f"topic {self.topic} was deleted and created again")
        offsets = [
            TopicPartition(self.topic, partition, one.offset, encode_progress(one, self._instance))
            for partition, one in progress
        ]
        return offsets, self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group. It may hang, so bootstrap calls it with a deadline."""
        self._consumer.close()
