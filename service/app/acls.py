"""Which ACL is missing when the broker refuses something; docs/security.md lists all ACLs."""

from __future__ import annotations

from confluent_kafka import KafkaError

from service.app.clients import transactional_id
from service.core.model import ClockName
from service.settings import Settings


def needed_acl(code: int | None, settings: Settings) -> str | None:
    """The missing ACL, for Kafka's error ``code``; None for any other error."""
    group, own = settings.kafka.group_id, transactional_id(settings.kafka, settings.kafka.instance_id)
    topics = settings.topics
    outputs = " ".join(filter(None, (topics.alerts, topics.aggregates, topics.late, topics.dead_letter)))
    read = "READ and DESCRIBE_CONFIGS" if settings.window.clock is ClockName.INGESTION else "READ"
    return {
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: f"ACL WRITE on transactional id {own}",
        KafkaError.GROUP_AUTHORIZATION_FAILED: f"ACL READ on group {group}",
        KafkaError.TOPIC_AUTHORIZATION_FAILED: (
            f"ACL {read} on topic {topics.transactions}, WRITE and DESCRIBE_CONFIGS on topics {outputs}"
        ),
        KafkaError.CLUSTER_AUTHORIZATION_FAILED: "ACL CREATE on the cluster, or create the topics beforehand",
    }.get(code or 0)
