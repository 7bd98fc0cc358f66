"""Builds the Kafka side of the service: clients from the settings, and adapters round them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient

from service.app.clients import (
    another_instance,
    client_config,
    client_id,
    construct,
    consumer_config,
    offsets_config,
    producer_config,
    states_config,
    txn_timeouts_ms,
)
from service.app.state_topic import add_state_partitions
from service.core.memory.partition import Memory
from service.core.model import Partition, Progress
from service.kafka.admin import ClusterAdmin
from service.kafka.background import Background
from service.kafka.consumer import GroupConsumer
from service.kafka.consumer_status import ConsumerStatus
from service.kafka.guards.dead_owners import DeadOwners, LastCommits, connected
from service.kafka.guards.group_members import GroupMembers
from service.kafka.guards.group_protocol import check_group_protocol
from service.kafka.guards.throttle import Throttle
from service.kafka.guards.txn_failure import with_reports
from service.kafka.partition_ends import PartitionEnds
from service.kafka.producer import TxnProducer
from service.kafka.start_lookup import StartLookup
from service.kafka.state_reader import StateReader
from service.loop.output_topics import OutputTopics
from service.loop.ports import Probe, RestoredMemory, RestoreProgress
from service.observe.metrics import THROTTLED_CLIENTS, Metrics
from service.process.stop import Stop
from service.settings import Settings

MakeMemory = Callable[[Partition, int | None], Memory]
"""Makes an empty Memory; the arguments are the partition, and how many the input has."""


@dataclass(frozen=True, slots=True)
class ClientClasses:
    """The functions that construct the transactional producers and the input's consumer. Tests pass others."""

    producer: Callable[[dict[str, Any]], Producer] = Producer
    consumer: Callable[[dict[str, Any]], Consumer] = Consumer


def make_throttles(metrics: Metrics) -> dict[str, Throttle]:
    """A throttle for each client, by the client's name in the metrics."""
    return {
        client: Throttle(client, time.monotonic, metrics.throttle.labels(client).observe)
        for client in THROTTLED_CLIENTS
    }


class Wiring:
    """Constructs each client once; the order of the calls is the caller's."""

    def __init__(
        self,
        settings: Settings,
        stop: Stop,
        errors: deque[KafkaError],
        throttles: Mapping[str, Throttle],
        classes: ClientClasses,
    ) -> None:
        """The clients' error callbacks append to ``errors``, and their throttle callbacks call ``throttles``."""
        self._settings = settings
        self._stop = stop
        self._errors = errors
        self._throttles = throttles
        self._classes = classes
        self._topic = settings.topics.transactions
        self._admin_config = {
            "log_level": 0,  # the client reports what it logs as errors, too, and the wait logs those in one line
            **client_config(settings, "admin", errors.append),
            "throttle_cb": throttles["admin"].heard,
        }
        self._make_admin = partial(construct, AdminClient, self._admin_config)

    def admin(self) -> ClusterAdmin:
        """The admin client."""
        return ClusterAdmin(self._make_admin())

    @cached_property
    def _uncommitted(self) -> Consumer:
        """A consumer that joins nothing, and asks for ends and commits whatever txns are open."""
        return construct(Consumer, offsets_config(self._settings, "read_uncommitted"))  # type: ignore[no-any-return]

    def last_commits(self) -> LastCommits:
        """What the group committed last."""
        return LastCommits(self._uncommitted)

    def check_group_protocol(self) -> None:
        """Refuse brokers without the default group protocol; raises as the guard of that name does."""
        verbose = {**self._admin_config, "debug": "feature", "log_level": 7}
        check_group_protocol(lambda lines: construct(AdminClient, {**verbose, "logger": lines}), self._topic)

    def txn_producer(
        self,
        topics: OutputTopics,
        keep_going: Callable[[], bool],
        missing_topic: Callable[[], str | None],
    ) -> TxnProducer:
        """The transactional producer, not initialised. ``missing_topic`` asks for an output topic that is not there."""
        config = {**self._producer_config(topics), "throttle_cb": self._throttles["producer"].heard}

        def make(undelivered: list[KafkaError], timeout_ms: int) -> Producer:
            made: Producer = construct(
                self._classes.producer, with_reports({**config, "transaction.timeout.ms": timeout_ms}, undelivered)
            )
            return made

        return TxnProducer(
            make,
            keep_going,
            missing_topic,
            throttled=lambda: self._throttles["producer"].active,
            txn_timeouts_ms=txn_timeouts_ms(self._settings),
        )

    def input(
        self, topics: OutputTopics, admin: ClusterAdmin, brokers: int, make_memory: MakeMemory
    ) -> tuple[GroupConsumer, Probe]:
        """The input's consumer, which joins the group, and the probe: the other things that the loop asks Kafka.

        ``brokers`` is how many the cluster has; ``make_memory`` makes what the detectors remember of a partition.
        """
        topic, kafka, reads = self._topic, self._settings.kafka, self._throttles["consumer"]
        config = consumer_config(self._settings, self._errors.append, brokers)
        consumer = construct(self._classes.consumer, {**config, "throttle_cb": reads.heard})
        committed = construct(Consumer, offsets_config(self._settings, "read_committed"))
        members = GroupMembers(self._make_admin, kafka.group_id)
        partition_ends = PartitionEnds(committed, self._uncommitted)
        progress = RestoreProgress()
        status = ConsumerStatus(
            consumer,
            topic,
            is_member=members.knows,
            partition_count=partial(admin.partition_count, topic),
            is_throttled=lambda: reads.active,
        )
        lookup = StartLookup(
            consumer,
            committed,
            topic,
            topic_id=admin.topic_id,
            edges=partition_ends.edges,
            end_txns=self._dead_owners(topics, members).end_their_txns,
            read_back=self._state_reader(topics, admin, partition_ends, make_memory, progress),
        )
        group_consumer = GroupConsumer(
            consumer, topic, self._errors, lookup=lookup, status=status, instance=kafka.instance_id
        )
        probe = Probe(
            status=status,
            end_offsets=Background("end_offsets", partial(partition_ends.end_offsets, topic)),
            ends=Background("ends", partial(partition_ends.ends, topic)),
            topic_ends=Background("topic_ends", partial(partition_ends.end_offsets, topic)),
            reach=Background("reach", lambda _: admin.reach(topic)),
            restore=progress,
        )
        return group_consumer, probe

    def _state_reader(
        self,
        topics: OutputTopics,
        admin: ClusterAdmin,
        partition_ends: PartitionEnds,
        make_memory: MakeMemory,
        progress: RestoreProgress,
    ) -> Callable[[Mapping[Partition, Progress]], dict[Partition, RestoredMemory]]:
        @cache
        def reader() -> StateReader:
            return StateReader(
                construct(Consumer, states_config(self._settings)),
                self._settings.topics.state,
                edges=partition_ends.edges,
                make_memory=make_memory,
                input_partitions=partial(admin.partition_count, self._topic),
                grow=partial(add_state_partitions, admin, self._settings),
                progress=progress,
            )

        if topics.state:
            reader()  # without a state topic it is made when detectors that keep states come
        return lambda starts: reader().read_back(starts) if starts else {}

    def _dead_owners(self, topics: OutputTopics, members: GroupMembers) -> DeadOwners:
        kafka, config = self._settings.kafka, self._producer_config(topics)
        return DeadOwners(
            members,
            self.last_commits(),
            instance=kafka.instance_id,
            client_id=client_id,
            make_producer=lambda name: connected(
                construct(self._classes.producer, {**config, **another_instance(kafka, name)}), topics.names[0]
            ),
            keep_going=lambda: not self._stop.asked(),  # not the loop's thread, so this proves nothing of the loop
        )

    def _producer_config(self, topics: OutputTopics) -> dict[str, Any]:
        return producer_config(self._settings, self._errors.append, topics)
