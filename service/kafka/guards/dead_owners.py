"""Guard: txns that an instance left open when it died.

Seen (Kafka 4.2.1): readers of committed records see nothing behind the records of such a txn, and the next owner gets
no committed offset for its partitions, until the txn's timeout has passed: more than a minute.
What we do: a new producer with the transactional.id of the dead instance ends the txn at once, before the partitions
start. The metadata of the previous commit names the owner; a first txn has none.
It stays, but it can shrink when init_transactions() does not lose half a second (librdkafka 2.16).
docs/decisions/producer.md, "Dead owners are fenced before partitions start".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from service.core.model import Partition
from service.kafka.classify import query
from service.kafka.guards.group_members import GroupMembers
from service.kafka.producer import TxnProducer
from service.kafka.threads import start_call
from service.loop.errors import KafkaProblem, Retriable
from service.wire.progress import writer_of

TIMEOUT_S: Final = 1.0
ATTEMPTS_S: Final = (0.2, 0.2, 0.4, 1.0)
"""The timeout of each attempt, with a new producer each time. While the broker ends the txn it answers
CONCURRENT_TRANSACTIONS; after that the same client would wait for half a second.
"""
CONNECT_S: Final = 0.5
AT_ONCE: Final = 8
"""How many instances' txns are ended at the same time."""


def connected(producer: Producer, topic: str) -> Producer:
    """Wait until the producer is connected, for a second at most; returns the producer.

    init_transactions() looks for a connection at once, and then only half a second later. We ask for a topic twice:
    with the first answer the client leaves the bootstrap server for the brokers' own addresses.
    Only for producers that send nothing.
    """
    with suppress(KafkaException):  # init_transactions() fails with the same error
        for _ in range(2):
            producer.list_topics(topic, CONNECT_S)
    return producer


class LastCommits:
    """The metadata of the group's committed offsets, whatever txns are open.

    We ask a consumer that joins nothing: the admin client may abort the process (guards/group_members.py).
    """

    def __init__(self, consumer: Consumer) -> None:
        """Wrap a consumer of the group that reads uncommitted."""
        self._consumer = consumer

    def metadata(self, topic: str, partitions: Iterable[Partition]) -> list[str]:
        """The metadata of each partition's committed offset; an empty text without an offset.

        Raises:
            Retriable: the coordinator does not answer.
            Fatal: the coordinator refuses.
        """
        asked = [TopicPartition(topic, partition) for partition in partitions]
        with query("look up offsets of the group"):
            try:
                return [one.metadata or "" for one in self._consumer.committed(asked, TIMEOUT_S)]
            except KafkaException:  # "timed out", also where the group is refused: that is in the consumer's queue
                refused = self._consumer.poll(0)
                if refused is not None and (error := refused.error()) is not None:
                    raise KafkaException(error) from None
                raise


class DeadOwners:
    """Ends the open txns of instances that are no longer members of the group.

    A member is never fenced. An instance that is alive but no member (a zombie) is fenced, as it should be.
    """

    def __init__(
        self,
        members: GroupMembers,
        last_commits: LastCommits,
        *,
        instance: str,
        client_id: Callable[[str], str],
        make_producer: Callable[[str], Producer],
        keep_going: Callable[[], bool],
    ) -> None:
        """``instance`` is our own name.

        ``client_id`` returns the client id of an instance's member. ``make_producer`` makes a producer with the
        transactional.id of an instance.
        """
        self._members = members
        self._last_commits = last_commits
        self._instance = instance
        self._client_id = client_id
        self._make_producer = make_producer
        self._keep_going = keep_going

    def end_their_txns(self, topic: str, partitions: Iterable[Partition]) -> list[str]:
        """End the txns of the dead instances that committed last to these partitions; returns their names.

        Raises:
            Retriable: the coordinator does not answer.
            Fatal: the coordinator refuses, or the process cannot start another thread.
        """
        metadata = self._last_commits.metadata(topic, partitions)
        writers = {writer_of(one) for one in metadata} - {"", self._instance}
        if not writers:
            return []
        members = self._members.client_ids()
        if self._client_id(self._instance) not in members:  # we cannot recognise our member, so none of theirs either
            return []
        dead = [name for name in sorted(writers) if self._client_id(name) not in members]
        ended: list[str] = []
        for first in range(0, len(dead), AT_ONCE):
            names = dead[first : first + AT_ONCE]
            attempts = [start_call("fence dead owners", partial(self._ended, name)) for name in names]
            ended += [name for name, attempt in zip(names, attempts, strict=True) if attempt.result()]
        return ended

    def _ended(self, name: str) -> bool:
        for timeout_s in ATTEMPTS_S:
            if not self._keep_going():
                return False
            try:
                producer = TxnProducer(lambda *_: self._make_producer(name), self._keep_going, lambda: None)
                producer.initialise(timeout_s)
            except Retriable:
                continue
            except KafkaProblem:  # not allowed, or another instance was faster: the txn's timeout ends it at the latest
                return False
            return True
        return False
