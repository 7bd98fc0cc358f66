"""Prepares the topics before anything is read: they exist, and accept what the service writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.app.clients import LARGEST_BATCH
from service.app.detectors import has_shadow, keeps_state
from service.app.state_topic import CLEANUP_POLICY, has_old_states, how_to_set, prepare_state_topic
from service.core.detectors import ConfiguredDetector
from service.core.model import ClockName, LatePolicy
from service.kafka.admin import ClusterAdmin, WantedTopic
from service.kafka.guards.dead_owners import LastCommits
from service.loop.errors import Misconfigured
from service.loop.output_topics import OutputTopics
from service.settings import Settings

LARGEST_ALERT_BYTES: Final = 300_000
"""The size of an alert with the longest id, in its longest JSON form, as key and in the value."""
LARGEST_SET_ASIDE: Final = "2097152"
"""Bytes. A record of the default's greatest size must fit with the headers that we add."""
TIMESTAMP_TYPE: Final = "message.timestamp.type"
LOG_APPEND_TIME: Final = "LogAppendTime"


def prepare_topics(
    admin: ClusterAdmin,
    settings: Settings,
    detectors: Sequence[ConfiguredDetector],
    last_commits: LastCommits,
    log: FilteringBoundLogger,
) -> OutputTopics:
    """Create missing topics; returns the outputs with their size limits, and which of them are compacted.

    The state topic is one of them also where detectors that kept states have been taken out of the settings since the
    group's ``last_commits``: their states are removed, and their episodes end.

    Raises:
        Retriable: the broker does not answer, or a topic has just been created.
        Misconfigured: a topic is missing and may not be created, or its settings are wrong for its use.
        Fatal: the broker refuses.
    """
    names = settings.topics
    shadow = names.shadow if has_shadow(detectors) else ""
    by_append_time = settings.window.clock is ClockName.INGESTION
    wanted = [WantedTopic(names.transactions, {TIMESTAMP_TYPE: LOG_APPEND_TIME} if by_append_time else {})]
    wanted += [WantedTopic(name) for name in (names.alerts, names.aggregates, shadow) if name]
    wanted += [WantedTopic(name, {"max.message.bytes": LARGEST_SET_ASIDE}) for name in (names.late, names.dead_letter)]
    admin.ensure(wanted, names.partitions, names.replication, create=names.create)
    if by_append_time and (found := admin.timestamp_type(names.transactions)) != LOG_APPEND_TIME:
        raise Misconfigured(_how_to_set_append_time(found, settings))
    state = names.state if keeps_state(detectors) or has_old_states(admin, settings, last_commits) else ""
    if state:
        prepare_state_topic(admin, settings, log)
    limits = admin.max_message_bytes([*(topic.name for topic in wanted[1:]), *filter(None, [state])])
    for name in filter(None, (names.alerts, names.aggregates, shadow, state)):
        if limits[name] < LARGEST_ALERT_BYTES:
            raise Misconfigured(
                f"topic {name}: max.message.bytes is {limits[name]}, a record may take {LARGEST_ALERT_BYTES}"
                if name == state
                else f"topic {name}: max.message.bytes is {limits[name]}, an alert may take {LARGEST_ALERT_BYTES}"
            )
    topics = OutputTopics(
        alerts=names.alerts,
        aggregates=names.aggregates,
        late=names.late if settings.late.policy is LatePolicy.DIVERT else "",
        dead_letter=names.dead_letter,
        least_max_bytes=min(limits.values()),
        late_max_bytes=limits[names.late],
        dead_letter_max_bytes=limits[names.dead_letter],
        state=state,
        shadow=shadow,
    )
    lossy = [name for name in topics.names if name != state]
    policies = admin.cleanup_policies(lossy)
    return replace(topics, compacted=tuple(name for name in lossy if "compact" in policies[name]))


def prepare_change(
    admin: ClusterAdmin,
    settings: Settings,
    detectors: Sequence[ConfiguredDetector],
    last_commits: LastCommits,
    *,
    first: OutputTopics,
    log: FilteringBoundLogger,
) -> OutputTopics:
    """Prepare the topics for other detectors; ``first`` are the outputs of the start: the producer has their limits.

    Whether the service may write to a new topic is not known: Kafka says it at the first write.

    Raises:
        Retriable, Misconfigured, Fatal: as prepare_topics(); or a new topic takes only smaller batches.
    """
    topics = prepare_topics(admin, settings, detectors, last_commits, log)
    if topics.least_max_bytes < min(first.least_max_bytes, LARGEST_BATCH):
        raise Misconfigured(
            f"a topic of the new detectors has max.message.bytes {topics.least_max_bytes}, less than the producer's"
            " batches; restart the service"
        )
    warn_of_compacted([name for name in topics.compacted if name not in first.compacted], settings, log)
    return topics


def warn_of_compacted(topics: Sequence[str], settings: Settings, log: FilteringBoundLogger) -> None:
    """Log a warning about each of these output topics, with the command that changes it."""
    why = "the topic keeps only the last record of each key, and refuses a record without a key"
    for name in topics:
        command = how_to_set(name, f"{CLEANUP_POLICY}=delete", settings)
        log.warning("topic_compacted", topic=name, why=why, command=command)


def _how_to_set_append_time(found: str, settings: Settings) -> str:
    topic = settings.topics.transactions
    return (
        f"WINDOW_CLOCK is ingestion, but topic {topic} has {TIMESTAMP_TYPE}={found}; change it with:"
        f" {how_to_set(topic, f'{TIMESTAMP_TYPE}={LOG_APPEND_TIME}', settings)}"
    )
