"""`rekey`: the service's loop, which writes each record to another topic instead of judging it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Final

from confluent_kafka import Consumer, KafkaError, Producer

from service.app.bootstrap import Service
from service.app.clients import transactional_id
from service.app.from_settings import task_rules
from service.app.in_force import Detecting
from service.app.topics import LARGEST_SET_ASIDE, LOG_APPEND_TIME
from service.core.model import NO_DETAIL, ClockName
from service.core.rules import TaskRules
from service.kafka.admin import ClusterAdmin, WantedTopic
from service.kafka.guards.dead_owners import LastCommits
from service.loop.errors import Retriable
from service.loop.output_topics import OutputTopics
from service.loop.rekey import RekeyIntake
from service.observe.metrics import Metrics
from service.process.stop import Stop
from service.settings import KafkaSettings, Settings, SettingsError
from service.wire.decoder import Decoder
from service.wire.names import fault_of_topic

COMMIT_MS: Final = 200
"""A record is readable in the other topic at most this time, and a commit, after it was read."""
NO_RETENTION_MS: Final = -1


class RekeyKafkaSettings(KafkaSettings):
    """The same broker, under other names than the service of these settings."""

    suffix: ClassVar[str] = "-rekey"


def rekey_settings(settings: Settings, target: str) -> Settings:
    """The settings of `rekey`: a group and a transactional id of its own, and short txns.

    Raises:
        SettingsError: ``target`` is no topic's name, or the topic has another use in these settings.
    """
    if (fault := fault_of_topic(target)) is not None:
        raise SettingsError(f"--to: {target!a} {fault}")
    topics = settings.topics
    if target == topics.transactions:
        raise SettingsError(f"--to: {target} is the input itself (TOPICS_TRANSACTIONS): each record would come again")
    for name in ("alerts", "aggregates", "late", "dead_letter", "state", "shadow", "undelivered"):
        if target == getattr(topics, name):
            raise SettingsError(f"--to: {target} is in use already, as TOPICS_{name.upper()}")
    fields = {name: getattr(settings.kafka, name) for name in KafkaSettings.model_fields}
    kafka = RekeyKafkaSettings.model_construct(
        **{**fields, "group_id": settings.kafka.group_id + RekeyKafkaSettings.suffix}
    )
    window = settings.window.model_copy(update={"clock": ClockName.PROCESSING, "size_ms": COMMIT_MS})
    return settings.model_copy(update={"kafka": kafka, "window": window, "detectors": ()})


class Rekey(Service):
    """One run of `rekey`."""

    line_every_ms: ClassVar[int] = 1_000

    def __init__(
        self,
        settings: Settings,
        target: str,
        stop: Stop,
        producer: Callable[[dict[str, Any]], Producer] = Producer,
        consumer: Callable[[dict[str, Any]], Consumer] = Consumer,
    ) -> None:
        """Connect to nothing yet; ``settings`` are the service's, and ``target`` is the topic to write to.

        Raises:
            SettingsError: ``target`` cannot be used.
        """
        super().__init__(rekey_settings(settings, target), stop, producer, consumer)
        self._target = target
        self._retention_ms = NO_RETENTION_MS

    def _configured(self) -> Detecting:
        return Detecting(self._settings, (), None)

    def _prepare(self, admin: ClusterAdmin, last_commits: LastCommits) -> OutputTopics:
        del last_commits
        topics, self._retention_ms = prepare_rekey_topics(admin, self._settings, self._target)
        return topics

    def _task_rules(self) -> TaskRules:
        return task_rules(self._settings, NO_DETAIL)

    def _intake(self, topics: OutputTopics, metrics: Metrics, decoder: Decoder) -> RekeyIntake:
        name = self._settings.topics.transactions
        return RekeyIntake(name, topics, metrics, decoder, retention_ms=self._retention_ms, log=self._log)

    def _needed_acl(self, code: int | None) -> str | None:
        kafka, topics = self._settings.kafka, self._settings.topics
        return {
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
                f"ACL WRITE on transactional id {transactional_id(kafka, kafka.instance_id)}"
            ),
            KafkaError.GROUP_AUTHORIZATION_FAILED: f"ACL READ on group {kafka.group_id}",
            KafkaError.TOPIC_AUTHORIZATION_FAILED: (
                f"ACL READ on topic {topics.transactions}, WRITE and DESCRIBE_CONFIGS on topics {self._target}"
                f" {topics.dead_letter}"
            ),
            KafkaError.CLUSTER_AUTHORIZATION_FAILED: "ACL CREATE on the cluster, or create the topics beforehand",
        }.get(code or 0)


def prepare_rekey_topics(admin: ClusterAdmin, settings: Settings, target: str) -> tuple[OutputTopics, int]:
    """Create missing topics; returns the outputs, and after how many ms the target's records expire, -1: never.

    A target that is created has as many partitions as the input. In one with append times the broker replaces the
    records' timestamps, so none is older than its retention.

    Raises:
        Retriable: the broker does not answer, or a topic has just been created.
        Misconfigured: a topic is missing and may not be created.
        Fatal: the broker refuses.
    """
    names = settings.topics
    large = {"max.message.bytes": LARGEST_SET_ASIDE}
    wanted = [WantedTopic(names.transactions), WantedTopic(names.dead_letter, large)]
    admin.ensure(wanted, names.partitions, names.replication, create=names.create)
    partitions = admin.partition_count(names.transactions)
    if partitions is None:
        raise Retriable(f"look for topic {names.transactions}: it does not exist at the moment")
    admin.ensure([WantedTopic(target, large)], partitions, names.replication, create=names.create)
    limits = admin.max_message_bytes([target, names.dead_letter])
    topics = OutputTopics(
        alerts="",
        aggregates="",
        late="",
        dead_letter=names.dead_letter,
        least_max_bytes=min(limits.values()),
        late_max_bytes=0,
        dead_letter_max_bytes=limits[names.dead_letter],
        rekeyed=target,
        rekeyed_max_bytes=limits[target],
    )
    policies = admin.cleanup_policies(topics.names)
    topics = replace(topics, compacted=tuple(name for name in topics.names if "compact" in policies[name]))
    by_append_time = admin.timestamp_type(target) == LOG_APPEND_TIME
    return topics, NO_RETENTION_MS if by_append_time else admin.retention_ms(target)
