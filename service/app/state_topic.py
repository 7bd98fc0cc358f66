"""Prepares the topic of the detectors' state: compacted, and with a partition for each of the input's."""

from __future__ import annotations

from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Offset, Partition
from service.kafka.admin import ClusterAdmin, WantedTopic
from service.kafka.guards.dead_owners import LastCommits
from service.loop.errors import Misconfigured
from service.settings import Settings
from service.wire.progress import decode_progress

CLEANUP_POLICY: Final = "cleanup.policy"
COMPACT: Final = "compact"
SEGMENT_BYTES: Final = 52_428_800
"""50 MiB. Kafka compacts no segment that is still written to, and the default of 1 GiB would be for very long."""


def prepare_state_topic(admin: ClusterAdmin, settings: Settings, log: FilteringBoundLogger) -> None:
    """Create the topic, or check it; add partitions where it has fewer than the input. The input has been looked up.

    Raises:
        Retriable: the broker does not answer, or the topic has just been created.
        Misconfigured: the topic is missing or has too few partitions, and TOPICS_CREATE is off; or it is not compacted.
        Fatal: the broker refuses.
    """
    names = settings.topics
    needed = _partitions(admin, names.transactions)
    wanted = WantedTopic(names.state, {CLEANUP_POLICY: COMPACT, "segment.bytes": str(SEGMENT_BYTES)})
    admin.ensure([wanted], needed, names.replication, create=names.create)
    if (policy := admin.cleanup_policies([names.state])[names.state]) != COMPACT:
        raise Misconfigured(
            f"TOPICS_STATE: topic {names.state} has {CLEANUP_POLICY}={policy} and would lose what detectors remember;"
            f" change it with: {how_to_set(names.state, f'{CLEANUP_POLICY}={COMPACT}', settings)}"
        )
    if (there := _partitions(admin, names.state)) >= needed:
        return
    add_state_partitions(admin, settings, there, needed)
    log.info("partitions_added", topic=names.state, before=there, after=needed)


def has_old_states(admin: ClusterAdmin, settings: Settings, last_commits: LastCommits) -> bool:
    """Whether the group kept states at its last commits, in a topic that is still there. The input has been looked up.

    Raises:
        Retriable: the broker does not answer.
        Fatal: the broker refuses.
    """
    names = settings.topics
    partitions = map(Partition, range(_partitions(admin, names.transactions)))
    found = last_commits.metadata(names.transactions, partitions)
    return any(decode_progress(Offset(0), one).partitions for one in found) and admin.exists(names.state)


def add_state_partitions(admin: ClusterAdmin, settings: Settings, there: int, needed: int) -> None:
    """Give the topic, which has ``there`` partitions, as many as the input has.

    Raises:
        Retriable: the broker does not answer.
        Misconfigured: TOPICS_CREATE is off.
        Fatal: the broker refuses.
    """
    names = settings.topics
    if not names.create:
        raise Misconfigured(
            f"TOPICS_CREATE is off, and topic {names.state} has {there} partitions, but {names.transactions} {needed};"
            f" add them with: kafka-topics.sh --bootstrap-server {settings.kafka.bootstrap_servers} --alter"
            f" --topic {names.state} --partitions {needed}"
        )
    admin.add_partitions(names.state, needed)


def how_to_set(topic: str, setting: str, settings: Settings) -> str:
    """The command that changes a setting of a topic."""
    return (
        f"kafka-configs.sh --bootstrap-server {settings.kafka.bootstrap_servers} --alter --entity-type topics"
        f" --entity-name {topic} --add-config {setting}"
    )


def _partitions(admin: ClusterAdmin, topic: str) -> int:
    count = admin.partition_count(topic)
    assert count is not None, "ensure() has looked it up"  # noqa: S101
    return count
