"""The input topic: batches of records, partitions that come and go, and what is known of their ends.

The assignment callback fetches nothing: it takes note, and restore() starts the partition where the group committed
(service.kafka.start_lookup). Only poll() waits for Kafka: every other question is asked on a thread of its own, and a
later turn takes the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, groupby
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from service.core.model import Offset, Partition, Progress
from service.kafka.background import Background
from service.kafka.classify import classify, fatal_on_error, kafka_error
from service.kafka.poll_size import PollSize
from service.kafka.start_lookup import Found, StartLookup
from service.loop.errors import Fatal, Retriable
from service.loop.events import Assigned, DeadOwnersFenced, Event, OutOfRange, PartitionEnd, Records, Revoked, Trouble
from service.loop.ports import StartPoint
from service.wire.progress import encode_progress

_partition_of = Message.partition
_error_of = Message.error


@dataclass(slots=True)
class _Partitions:
    """What became of each partition: fetched ones are known to librdkafka, due ones wait for restore()."""

    fetched: set[Partition] = field(default_factory=set)
    due: dict[Partition, int] = field(default_factory=dict)
    """Each with a ticket, a new one whenever it becomes due: an answer for an earlier one says nothing any more."""
    news: list[Event] = field(default_factory=list)
    _tickets: Iterator[int] = field(default_factory=count)

    def make_due(self, partitions: Iterable[Partition]) -> None:
        """Let these wait for restore(), whatever was asked about them before."""
        self.due.update((partition, next(self._tickets)) for partition in partitions)


class GroupConsumer:
    """The consumer of one topic."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        errors: deque[KafkaError],
        *,
        starting: StartLookup,
        is_member: Callable[[str], bool],
        instance: str,
        partition_count: Callable[[], int | None] = lambda: None,
        is_throttled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wrap a consumer with auto.offset.reset=error and enable.partition.eof=true, and join the group.

        ``errors`` is where the clients' error callbacks put what they are told; ``starting`` starts partitions of the
        consumer; ``is_member`` asks the group's coordinator about a member id; ``instance`` is written to what is
        committed; ``partition_count`` says how many partitions the topic had when it was last looked up;
        ``is_throttled`` says whether a broker throttles the consumer.
        """
        self._start_lookup = starting
        self._look_up: Background[Mapping[Partition, int], Found] = Background("look_up", starting.look_up)
        self._membership: Background[str, bool] = Background("membership", is_member)
        self._leaving = False
        """Partitions of a topic that is no more are still to be handed back."""
        self._instance = instance
        self._partition_count = partition_count
        self._is_throttled = is_throttled
        self.topic: Final[str] = topic
        self._consumer = consumer
        self._errors = errors
        self._state = _Partitions()
        self._joined = False
        self._poll_size = PollSize()
        self._subscribe()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    @property
    def partition_count(self) -> int | None:
        """How many partitions the topic had when its id was last asked for, as each commit does."""
        return self._partition_count()

    @property
    def joined(self) -> bool:
        """Whether the group has answered since the topic was subscribed."""
        return self._joined

    @property
    def throttled(self) -> bool:
        """Whether a broker's quota may hold up what the consumer asks, by what poll() has heard."""
        return self._is_throttled()

    @property
    def restoring(self) -> frozenset[Partition]:
        """Partitions that are ours but do not run yet."""
        return frozenset(self._state.due)

    # The client calls these inside consume() and close(). An exception would cost the batch: they note and return.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])
        self._joined = True
        given = tuple(Partition(p.partition) for p in partitions)
        self._state.make_due(given)
        self._state.news.append(Assigned(given))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._take(partitions, lost=False)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._take(partitions, lost=True)

    def _take(self, partitions: list[TopicPartition], *, lost: bool) -> None:
        taken = tuple(Partition(p.partition) for p in partitions)
        self._let_go(self._state.fetched.intersection(taken))
        for partition in taken:
            self._state.due.pop(partition, None)
        self._state.news.append(Revoked(taken, lost))

    def _let_go(self, partitions: Iterable[Partition]) -> None:
        """Fetch these no longer."""
        try:
            self._consumer.incremental_unassign([TopicPartition(self.topic, partition) for partition in partitions])
        except KafkaException as exception:
            self._state.news.append(Trouble(f"unassign: {kafka_error(exception).str()}"))
        self._state.fetched.difference_update(partitions)

    def poll(self, max_records: int, timeout_s: float) -> list[Event]:
        """Wait for records and tell what happened, in the order in which it matters: ownership first.

        Raises:
            Fatal: the consumer is of no more use.
        """
        try:
            messages = self._consumer.consume(self._poll_size.within(max_records), timeout_s)
        except KafkaException as exception:
            raise classify(kafka_error(exception), "consume") from exception
        if self._leaving and not self._state.fetched:
            self._subscribe_again()
        news, self._state.news = self._state.news, []
        while self._errors:
            news.append(self._sorted(self._errors.popleft(), "Kafka client"))
        if not messages:
            return news
        self._poll_size.note(messages)
        return [*news, *self._events(messages)]

    def _events(self, messages: list[Message]) -> Iterator[Event]:
        if any(map(_error_of, messages)):
            yield from self._events_with_errors(messages)
            return
        # Nearly every batch is of one partition; a set of them in C is cheaper than to group them.
        partitions = set(map(_partition_of, messages))
        if len(partitions) == 1:
            yield Records(Partition(partitions.pop() or 0), messages)
            return
        for partition, run in groupby(messages, _partition_of):
            yield Records(Partition(partition or 0), list(run))

    def _events_with_errors(self, messages: list[Message]) -> Iterator[Event]:
        good: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
                continue
            if good:
                yield from self._events(good)
                good = []
            yield self._event(message, error)
        if good:
            yield from self._events(good)

    def _event(self, message: Message, error: KafkaError) -> Event:
        code = error.code()
        partition = Partition(message.partition() or 0)
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001
            return PartitionEnd(partition, Offset(message.offset() or 0))
        if code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            if partition in self._state.fetched:
                self._state.make_due([partition])
            return OutOfRange(partition, error.str())
        return self._sorted(error, f"consume from {self.topic}")

    def _sorted(self, error: KafkaError, doing: str) -> Trouble:
        problem = classify(error, doing)
        if isinstance(problem, Fatal):
            raise problem
        return Trouble(str(problem))

    def ask_membership(self) -> None:
        """Ask the coordinator: a member that gets no partition is not called back (KIP-848). A later call answers."""
        self._joined = self._membership.answer() or self._joined
        member_id = self._consumer.memberid()
        if member_id and not self._joined:
            self._membership.ask(member_id)

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Have restore() start these again at their committed offsets."""
        self._state.make_due(p for p in partitions if p in self._state.fetched)

    def restore(self) -> list[StartPoint]:
        """Start the partitions that are due and whose committed offsets are known; ask for those of the others.

        The group is joined again where the topic is another one. A partition that cannot be sought is not fetched at
        the moment: after an offset that does not exist the client has given it up. It is let go, and the next call
        assigns it like a new one.

        Raises:
            Retriable: the broker does not say; the partitions stay due.
            Fatal: it will never say.
        """
        state = self._state
        if not state.due or self._leaving:
            return []
        self._look_up.ask(dict(state.due))
        found = self._look_up.answer()
        if found is None:
            return []
        if found.dead_owners:
            state.news.append(DeadOwnersFenced(tuple(found.dead_owners)))
        starts = [start for start in found.starts if found.tickets[start.partition] == state.due.get(start.partition)]
        if not starts:
            return []
        if not state.fetched:
            self._start_lookup.note_topic(found.topic_id)
        elif not self._start_lookup.is_fetched(found.topic_id):
            self._join_anew()
            return []
        starts = self._start_lookup.start(starts, state.fetched, known_group=found.known_group)
        for start in starts:
            state.fetched.add(start.partition)
            del state.due[start.partition]
        if refused := state.due.keys() & state.fetched:
            self._let_go(refused)
        return starts

    def _join_anew(self) -> None:
        """Hand back every partition; poll() subscribes again when they are, and gets those that the name has now.

        To seek in them is refused for good (_STATE) where the client has noticed that the old ones are gone. To
        subscribe at once would not do: in the middle of a rebalance the client forgets to hand back what it has.
        """
        self._leaving, self._joined = True, False
        with fatal_on_error("leave the group"):
            self._consumer.unsubscribe()

    def _subscribe_again(self) -> None:
        self._leaving = False
        with fatal_on_error("join the group anew"):
            self._subscribe()

    def end_offset(self, partition: Partition) -> Offset | None:
        """Where the partition ended when it was last fetched, or None if it has not been; nothing is asked.

        The client keeps the end of all records there, not the last stable offset.
        """
        if partition not in self._state.fetched:
            return None
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)
        except KafkaException:  # not an error: nothing has been cached yet
            return None
        return Offset(high) if high >= 0 else None

    def checkpoint(self, progress: Iterable[tuple[Partition, Progress]]) -> tuple[list[TopicPartition], Any]:
        """What a txn needs to commit this progress for the group as it is at this moment (KIP-447).

        Raises:
            Retriable: the topic has been deleted, or made again since its partitions were started.
            Fatal: the broker does not let us see it.
        """
        if not self._start_lookup.is_same_topic():
            raise Retriable(f"topic {self.topic} was deleted and made again")
        offsets = [
            TopicPartition(self.topic, partition, one.offset, encode_progress(one, self._instance))
            for partition, one in progress
        ]
        return offsets, self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group. May block; see bootstrap."""
        self._consumer.close()
