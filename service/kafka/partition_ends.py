"""Asks the leaders where partitions begin and end, in one question for all.

We ask consumers that join nothing and fetch nothing, so no answer waits behind a fetch. The admin client has the same
question, but may abort the process. docs/decisions/client.md, "Ends of partitions are not asked of the admin client".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.core.model import Offset, Partition
from service.kafka.classify import classify_query, query
from service.kafka.start_lookup import Edges
from service.loop.errors import Fatal, Retriable
from service.loop.ports import Ends

TIMEOUT_S: Final = 1.0
LATEST: Final = -1
EARLIEST: Final = -2
"""Kafka's special timestamps of ListOffsets."""


class PartitionEnds:
    """Asks through two consumers: one reads committed records, the other reads all."""

    def __init__(self, committed: Consumer, uncommitted: Consumer) -> None:
        """Wrap consumers that fetch nothing."""
        self._committed = committed
        self._uncommitted = uncommitted

    def end_offsets(self, topic: str, partitions: Collection[Partition]) -> dict[Partition, Offset]:
        """Where partitions end now, open txns included. A partition whose leader does not answer is missing.

        Raises:
            Retriable: no leader answers.
            Fatal: a leader refuses.
        """
        return _list_offsets(self._uncommitted, topic, partitions, LATEST)

    def ends(self, topic: str, partitions: Collection[Partition]) -> dict[Partition, Ends]:
        """The same ends, with the last stable offsets.

        We ask for the end first: what is below it, and not stable afterwards, is in an open txn.

        Raises:
            Retriable, Fatal: as end_offsets().
        """
        ends = self.end_offsets(topic, partitions)
        stable = _list_offsets(self._committed, topic, ends, LATEST)
        return {partition: Ends(stable[partition], end) for partition, end in ends.items() if partition in stable}

    def edges(self, topic: str, partitions: Collection[Partition]) -> dict[Partition, Edges]:
        """Where all these partitions begin and end.

        Raises:
            Retriable: a leader does not answer.
            Fatal: a leader refuses.
        """
        firsts = _list_offsets(self._uncommitted, topic, partitions, EARLIEST)
        ends = self.end_offsets(topic, partitions)
        if silent := sorted(set(partitions) - (firsts.keys() & ends.keys())):
            raise Retriable(f"ask for first and last offset: no answer for partition {silent[0]}")
        return {partition: Edges(firsts[partition], end) for partition, end in ends.items()}


def _list_offsets(
    consumer: Consumer, topic: str, partitions: Iterable[Partition], timestamp: int
) -> dict[Partition, Offset]:
    """Ask once for all partitions; the client sends one request to each leader."""
    asked = [TopicPartition(topic, partition, timestamp) for partition in partitions]
    if not asked:
        return {}
    try:
        with query("ask where partitions begin and end"):
            answers = consumer.offsets_for_times(asked, TIMEOUT_S)
        good = [one for one in answers if one.error is None and one.offset >= 0]
        found = {Partition(one.partition): Offset(one.offset) for one in good}
        problems = [_problem(one) for one in answers if one.partition not in found]
        for problem in problems:
            if isinstance(problem, Fatal) or not found:
                raise problem
    except Retriable:
        _refresh(consumer, topic)
        raise
    if problems:
        _refresh(consumer, topic)
    return found


def _problem(answer: TopicPartition) -> Retriable | Fatal:
    doing = f"ask for offsets of partition {answer.partition}"
    return Retriable(f"{doing}: no answer") if answer.error is None else classify_query(answer.error, doing)


def _refresh(consumer: Consumer, topic: str) -> None:
    """Look the topic up, because the client asks the leaders that it remembers.

    If it knows none of the partitions, as after some were added, it raises _UNKNOWN_PARTITION for the whole question.
    """
    with suppress(KafkaException):
        consumer.list_topics(topic, TIMEOUT_S)
