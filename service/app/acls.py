"""Which ACL is missing when the broker refuses something; docs/security.md lists all ACLs."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError

from service.app.clients import transactional_id
from service.app.detectors import has_shadow, keeps_state
from service.core.detectors import ConfiguredDetector
from service.core.model import ClockName
from service.settings import Settings


def needed_acl(code: int | None, settings: Settings, detectors: Sequence[ConfiguredDetector]) -> str | None:
    """The missing ACL, for Kafka's error ``code``; None for any other error."""
    group, own = settings.kafka.group_id, transactional_id(settings.kafka, settings.kafka.instance_id)
    topics = settings.topics
    state = topics.state if keeps_state(detectors) else ""
    shadow = topics.shadow if has_shadow(detectors) else ""
    names = (topics.alerts, topics.aggregates, topics.late, topics.dead_letter, shadow, state)
    outputs = " ".join(filter(None, names))
    restored = f", READ (and ALTER, to add partitions) on topic {state}" if state else ""
    read = "READ and DESCRIBE_CONFIGS" if settings.window.clock is ClockName.INGESTION else "READ"
    return {
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: f"ACL WRITE on transactional id {own}",
        KafkaError.GROUP_AUTHORIZATION_FAILED: f"ACL READ on group {group}",
        KafkaError.TOPIC_AUTHORIZATION_FAILED: (
            f"ACL {read} on topic {topics.transactions}, WRITE and DESCRIBE_CONFIGS on topics {outputs}{restored}"
        ),
        KafkaError.CLUSTER_AUTHORIZATION_FAILED: "ACL CREATE on the cluster, or create the topics beforehand",
    }.get(code or 0)
