"""Asks the cluster about its topics and brokers, and creates missing topics."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from service.kafka.classify import classify, classify_query, classify_request, kafka_error, query
from service.loop.errors import Fatal, Misconfigured, Retriable

TIMEOUT_S: Final = 1.0
CREATE_TIMEOUT_S: Final = 10.0
REACH_TIMEOUT_S: Final = 2.0
TOPIC_ID_TIMEOUT_S: Final = 0.5
"""A commit waits at most this time for the id, and the same time again for the list of brokers."""


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic that the service reads or writes, with its settings in case the service creates it."""

    name: str
    config: dict[str, str] = field(default_factory=dict)


class ClusterAdmin:
    """A thin layer over the admin client, which sorts its errors."""

    def __init__(self, client: AdminClient) -> None:
        """Wrap a client. Questions to group coordinators need others: see guards/group_members.py."""
        self._client = client
        self._partition_counts: dict[str, int] = {}

    def ensure(self, wanted: list[WantedTopic], partitions: int, replication: int, *, create: bool) -> None:
        """Check that the topics exist; create the missing ones, where ``create`` allows it.

        Raises:
            Retriable: the broker does not answer, or a topic has just been created.
            Misconfigured: a topic is missing, and may not or cannot be created.
            Fatal: the broker refuses.
        """
        missing = [topic for topic in wanted if not self.exists(topic.name)]
        if not missing:
            return
        if not create:
            names = ", ".join(topic.name for topic in missing)
            raise Misconfigured(f"TOPICS_CREATE is off, and there is no topic {names}")
        new = [
            NewTopic(topic.name, num_partitions=partitions, replication_factor=replication, config=topic.config)
            for topic in missing
        ]
        for name, future in self._client.create_topics(new, operation_timeout=CREATE_TIMEOUT_S).items():
            try:
                future.result()
            except KafkaException as exception:
                error = kafka_error(exception)
                if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another instance created it
                    continue
                if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
                    raise Misconfigured(f"TOPICS_REPLICATION: create topic {name}: {error.str()}") from exception
                raise classify_request(exception, f"create topic {name}") from exception
        raise Retriable("topics have just been created")

    def add_partitions(self, topic: str, count: int) -> None:
        """Add partitions to a topic until it has ``count``. Where it has them already, nothing happens.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses.
        """
        asked = self._client.create_partitions(
            [NewPartitions(topic, count)], request_timeout=CREATE_TIMEOUT_S, operation_timeout=CREATE_TIMEOUT_S
        )
        try:
            asked[topic].result()
        except KafkaException as exception:
            # The broker answers so, too, when another instance has just added them.
            if kafka_error(exception).code() == KafkaError.INVALID_PARTITIONS and self._has(topic, count):
                return
            raise classify_request(exception, f"add partitions to topic {topic}") from exception
        self._partition_counts[topic] = count

    def _has(self, topic: str, count: int) -> bool:
        return self.exists(topic) and self._partition_counts[topic] >= count

    def exists(self, topic: str) -> bool:
        """Look the topic up.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses.
        """
        try:
            return self._look_up(topic, TIMEOUT_S) is not None
        except KafkaException as exception:
            self._client.poll(0)  # serves the error callback, whose errors say more than "timed out"
            raise classify_request(exception, f"look for topic {topic}") from exception

    def _look_up(self, topic: str, timeout_s: float) -> TopicDescription | None:
        """The cluster's description of a topic; None where the topic does not exist."""
        asked = self._client.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)
        try:
            found: TopicDescription = asked[topic].result()
        except KafkaException as exception:
            if kafka_error(exception).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise
        self._partition_counts[topic] = len(found.partitions)
        return found

    def partition_count(self, topic: str) -> int | None:
        """How many partitions the topic had when it was last looked up. This call asks no broker."""
        return self._partition_counts.get(topic)

    def topic_id(self, topic: str) -> str | None:
        """The topic's id, which differs from that of an earlier topic of this name; None without an answer in time.

        The client asks the broker that it takes for the controller. If that one is gone, the client must learn the new
        one, so without an answer we ask any broker for the list of brokers.

        Raises:
            Retriable: there is no such topic at the moment.
            Fatal: the broker refuses.
        """
        try:
            found = self._look_up(topic, TOPIC_ID_TIMEOUT_S)
        except KafkaException as exception:
            problem = classify_query(kafka_error(exception), f"look for topic {topic}")
            if isinstance(problem, Fatal):
                raise problem from exception
            self._learn_brokers(topic, TOPIC_ID_TIMEOUT_S)
            return None
        if found is None:
            raise Retriable(f"look for topic {topic}: it does not exist at the moment")
        return str(found.topic_id)

    def missing_topic(self, topics: Iterable[str]) -> str | None:
        """The first topic that the cluster does not know; None where it knows all, or does not answer in time."""
        for topic in topics:
            try:
                found = self._look_up(topic, TOPIC_ID_TIMEOUT_S)
            except KafkaException:
                self._learn_brokers(topic, TOPIC_ID_TIMEOUT_S)
                return None
            if found is None:
                return topic
        return None

    def max_message_bytes(self, topics: list[str]) -> dict[str, int]:
        """``max.message.bytes`` of each topic.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses.
        """
        return {topic: int(value) for topic, value in self._settings(topics, "max.message.bytes").items()}

    def cleanup_policies(self, topics: list[str]) -> dict[str, str]:
        """``cleanup.policy`` of each topic.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses.
        """
        return self._settings(topics, "cleanup.policy")

    def timestamp_type(self, topic: str) -> str:
        """``message.timestamp.type`` of a topic.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses.
        """
        return self._settings([topic], "message.timestamp.type")[topic]

    def retention_ms(self, topic: str) -> int:
        """``retention.ms`` of a topic; -1 where records do not expire.

        Raises:
            Retriable: the broker does not answer.
            Fatal: the broker refuses.
        """
        return int(self._settings([topic], "retention.ms")[topic])

    def _settings(self, topics: list[str], name: str) -> dict[str, str]:
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        values = {}
        for resource, future in self._client.describe_configs(resources, request_timeout=TIMEOUT_S).items():
            try:
                values[resource.name] = str(future.result()[name].value)
            except KafkaException as exception:
                if kafka_error(exception).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    # It exists: ensure() has seen it. A topic is new, and this broker has not heard of it yet.
                    raise Retriable(f"describe topic {resource.name}: the broker does not know it yet") from exception
                raise classify_request(exception, f"describe topic {resource.name}") from exception
        return values

    def reach(self, topic: str) -> bool:
        """Whether the broker answers: True, or the error below. ``topic`` is any topic that the client may describe.

        Raises:
            Retriable: the broker does not answer.
        """
        try:
            self._client.list_topics(topic, REACH_TIMEOUT_S)
        except KafkaException as exception:
            raise Retriable(str(classify(kafka_error(exception), "reach the broker"))) from exception
        return True

    def _learn_brokers(self, topic: str, timeout_s: float) -> None:
        """Fetch the list of brokers: after an election the client's old leader epoch is fenced."""
        with suppress(KafkaException):  # the caller tries again later, and gets the error then
            self._client.list_topics(topic, timeout=timeout_s)

    def brokers(self, topic: str) -> int:
        """How many brokers run. ``topic`` is any topic that the client may describe: to ask for all takes longer.

        Raises:
            Retriable: no broker answers.
            Fatal: the broker refuses.
        """
        with query("ask for the brokers"):
            return len(self._client.list_topics(topic, TIMEOUT_S).brokers)
