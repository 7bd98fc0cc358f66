"""What is asked of the cluster besides reading and writing: topics, their limits, who is in the group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicCollection,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    MemberDescription,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from service.kafka.classify import classify, classify_query, kafka_error, query
from service.loop.errors import Fatal, Misconfigured, Retriable

TIMEOUT_S: Final = 1.0
CREATE_TIMEOUT_S: Final = 10.0
REACH_TIMEOUT_S: Final = 2.0
TOPIC_ID_TIMEOUT_S: Final = 0.5
"""A commit waits so long for it, and as long again for news of the brokers."""
DESCRIBE_TIMEOUT_S: Final = 2.0
"""With a new connection."""


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic that the service reads or writes, and settings it gets if the service creates it."""

    name: str
    config: dict[str, str] = field(default_factory=dict)


class ClusterAdmin:
    """A thin layer over the admin client that sorts its errors.

    Groups are described by a new client each time. Where connections come and go, librdkafka 2.16 may answer a request
    to a coordinator twice, long after it has timed out, and abort the process (`eonce->refcnt > 0`).
    """

    def __init__(self, make_client: Callable[[], AdminClient]) -> None:
        """``make_client`` makes one."""
        self._make_client = make_client
        self._client = make_client()
        self._partition_counts: dict[str, int] = {}

    def ensure(self, wanted: list[WantedTopic], partitions: int, replication: int, *, create: bool) -> None:
        """See to it that the topics are there.

        Raises:
            Retriable: the broker does not answer, or not everything is there yet.
            Misconfigured: they are missing and may not or cannot be created.
            Fatal: the broker refuses.
        """
        missing = [topic for topic in wanted if not self._exists(topic.name)]
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
                if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another instance was quicker
                    continue
                if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
                    raise Misconfigured(f"TOPICS_REPLICATION: create topic {name}: {error.str()}") from exception
                raise self._sorted(exception, f"create topic {name}") from exception
        raise Retriable("topics have just been created")

    def _exists(self, topic: str) -> bool:
        try:
            return self._look_up(topic, TIMEOUT_S) is not None
        except KafkaException as exception:
            self._client.poll(0)  # the client's own complaints say more than "timed out"
            raise self._sorted(exception, f"look for topic {topic}") from exception

    def _look_up(self, topic: str, timeout_s: float) -> TopicDescription | None:
        """What the cluster says of a topic; None where there is none."""
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
        """How many partitions the topic had when it was last looked up; nothing is asked."""
        return self._partition_counts.get(topic)

    def topic_id(self, topic: str) -> str | None:
        """What tells the topic from an earlier one of the same name; None where no broker says so in time.

        The client asks the one that it takes for the controller. When that is gone, it has to be told of another.

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
            raise Retriable(f"look for topic {topic}: there is none at the moment")
        return str(found.topic_id)

    def missing_topic(self, topics: Iterable[str]) -> str | None:
        """One of the topics that is gone, as the cluster says; None where all are there or nobody answers in time."""
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
            Fatal: it refuses to.
        """
        return {topic: int(value) for topic, value in self._settings(topics, "max.message.bytes").items()}

    def cleanup_policies(self, topics: list[str]) -> dict[str, str]:
        """``cleanup.policy`` of each topic.

        Raises:
            Retriable: the broker does not answer.
            Fatal: it refuses to.
        """
        return self._settings(topics, "cleanup.policy")

    def timestamp_type(self, topic: str) -> str:
        """``message.timestamp.type`` of a topic.

        Raises:
            Retriable: the broker does not answer.
            Fatal: it refuses to.
        """
        return self._settings([topic], "message.timestamp.type")[topic]

    def _settings(self, topics: list[str], name: str) -> dict[str, str]:
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        values = {}
        for resource, future in self._client.describe_configs(resources, request_timeout=TIMEOUT_S).items():
            try:
                values[resource.name] = str(future.result()[name].value)
            except KafkaException as exception:
                raise self._sorted(exception, f"describe topic {resource.name}") from exception
        return values

    def reach(self, topic: str) -> bool:
        """Ask the broker anything.

        Raises:
            Retriable: it does not answer.
        """
        try:
            self._client.list_topics(topic, REACH_TIMEOUT_S)
        except KafkaException as exception:
            raise Retriable(str(classify(kafka_error(exception), "reach the broker"))) from exception
        return True

    def _learn_brokers(self, topic: str, timeout_s: float) -> None:
        """Ask anew: after an election the client goes on by the leader epoch that it remembers, and is fenced."""
        with suppress(KafkaException):  # the next attempt will tell
            self._client.list_topics(topic, timeout=timeout_s)

    def brokers(self, topic: str) -> int:
        """How many brokers run; ``topic`` is any that may be asked for, since to ask for all takes longer.

        Raises:
            Retriable: nobody answers.
            Fatal: the broker refuses.
        """
        with query("ask for the brokers"):
            return len(self._client.list_topics(topic, TIMEOUT_S).brokers)

    def is_member(self, group: str, member_id: str) -> bool:
        """Whether the group's coordinator knows this member; False also while it does not answer."""
        try:
            members = self._members(group)
        except KafkaException:  # asked again until it is known
            return False
        return any(member.member_id == member_id for member in members)

    def client_ids(self, group: str) -> set[str]:
        """The client ids of a group's members.

        Raises:
            Retriable: the coordinator does not answer.
            Fatal: it refuses to.
        """
        try:
            members = self._members(group)
        except KafkaException as exception:
            raise self._sorted(exception, f"describe group {group}") from exception
        return {member.client_id for member in members}

    def _members(self, group: str) -> list[MemberDescription]:
        client = self._make_client()  # a name of its own: with the client, the answer would be gone
        asked = client.describe_consumer_groups([group], request_timeout=DESCRIBE_TIMEOUT_S)
        return list(asked[group].result().members)

    @staticmethod
    def _sorted(exception: KafkaException, doing: str) -> Fatal | Retriable:
        problem = classify(kafka_error(exception), doing)
        return problem if isinstance(problem, Fatal | Retriable) else Fatal(str(problem))
