"""Ending what an instance left open when it died."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from service.core.model import Partition
from service.kafka.admin import ClusterAdmin
from service.kafka.classify import query
from service.kafka.producer import TxnProducer
from service.loop.errors import KafkaProblem, Retriable
from service.wire.progress import writer_of

TIMEOUT_S: Final = 1.0
ATTEMPTS_S: Final = (0.2, 0.2, 0.4, 1.0)
"""How long each producer may take. Where there is a txn to end the broker's first answer is CONCURRENT_TRANSACTIONS,
after which the client waits for half a second; a new one asks at once.
"""
CONNECT_S: Final = 0.5
AT_ONCE: Final = 8
"""Names whose txns are ended at the same time."""


def connected(producer: Producer, topic: str) -> Producer:
    """The producer, when it has a connection at hand or a moment has passed.

    init_transactions() looks for one when it is called, and the next time half a second later. Asked for a topic twice,
    since the first answer has the client drop the bootstrap server for the brokers' own addresses: 0 of 100
    initialisations took that half second, while 10 did without this, and 22 when asked once (librdkafka 2.16). For
    producers that send nothing; with others it has not been tried since it is known why one stood
    (docs/decisions/producer.md).
    """
    with suppress(KafkaException):  # whoever uses it will find out
        for _ in range(2):
            producer.list_topics(topic, CONNECT_S)
    return producer


class LastCommits:
    """What the group's committed offsets carry along, whatever txns are pending.

    A consumer is asked that has joined nothing. The admin client could be asked as well, but see ClusterAdmin.
    """

    def __init__(self, consumer: Consumer) -> None:
        """Wrap a consumer of the group that reads uncommitted."""
        self._consumer = consumer

    def metadata(self, topic: str, partitions: Iterable[Partition]) -> list[str]:
        """The metadata of each partition's offset; empty where there is none.

        Raises:
            Retriable: the coordinator does not answer.
            Fatal: it refuses to.
        """
        asked = [TopicPartition(topic, partition) for partition in partitions]
        with query("look up offsets of the group"):
            return [one.metadata or "" for one in self._consumer.committed(asked, TIMEOUT_S)]


class DeadOwners:
    """Ends their txns, so that nobody has to wait for a txn's timeout.

    An instance that dies in the middle of a txn leaves it open. Readers of committed records see nothing behind what it
    had sent; and if it had added its offsets, no heir is told how far its partitions have come. A new producer of the
    same transactional.id ends the txn at once, as it does when the dead instance itself comes back. Whose it is stands
    in the metadata of the commit before; of one that dies in its very first txn it stands nowhere.

    An instance that is a member of the group is never touched. One that is not and lives all the same (a zombie) is
    fenced, as it should be.
    """

    def __init__(
        self,
        admin: ClusterAdmin,
        last_commits: LastCommits,
        *,
        group: str,
        instance: str,
        client_id: Callable[[str], str],
        make_producer: Callable[[str], Producer],
        keep_going: Callable[[], bool],
    ) -> None:
        """``client_id`` says which one an instance has in the group; ``make_producer`` makes that of an instance."""
        self._admin = admin
        self._last_commits = last_commits
        self._group = group
        self._instance = instance
        self._client_id = client_id
        self._make_producer = make_producer
        self._keep_going = keep_going

    def end_their_txns(self, topic: str, partitions: Iterable[Partition]) -> list[str]:
        """Look who committed last to these partitions, and end the txn of each who is gone; returns their names.

        Raises:
            Retriable, Fatal: see errors.
        """
        metadata = self._last_commits.metadata(topic, partitions)
        writers = {writer_of(one) for one in metadata} - {"", self._instance}
        if not writers:
            return []
        members = self._admin.client_ids(self._group)
        if self._client_id(self._instance) not in members:  # ours is another one: then theirs may be, too
            return []
        dead = [name for name in sorted(writers) if self._client_id(name) not in members]
        with ThreadPoolExecutor(AT_ONCE, "fence") as threads:
            return [name for name, ended in zip(dead, threads.map(self._ended, dead), strict=True) if ended]

    def _ended(self, name: str) -> bool:
        for timeout_s in ATTEMPTS_S:
            if not self._keep_going():
                return False
            try:
                sink = TxnProducer(lambda *_: self._make_producer(name), self._keep_going, lambda: None)
                sink.initialise(timeout_s)
            except Retriable:
                continue
            except KafkaProblem:  # not allowed, or another heir was quicker: then time will tell
                return False
            return True
        return False
