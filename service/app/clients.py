"""How Kafka's clients are configured and made, for bootstrap and for the alerts command."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from service.app.fetching import LEAST_BYTES, fetch_sizes
from service.kafka.classify import kafka_error
from service.loop.errors import Fatal
from service.loop.output_topics import OutputTopics
from service.settings import KafkaSettings, Settings, SettingsError
from service.wire.properties import as_text

_CONSUMER_ONLY: Final = (
    "auto.commit.", "auto.offset.", "check.crcs", "fetch.", "group.", "heartbeat.", "max.partition.fetch.", "max.poll.",
    "queued.", "session.",
)  # fmt: skip
_PRODUCER_ONLY: Final = (
    "batch.", "compression.", "linger.", "max.in.flight", "message.send.", "queue.buffering.", "retries", "retry.",
    "sticky.",
)  # fmt: skip
LONGEST_TXN_MS: Final = 900_000
"""The longest transaction.timeout.ms that brokers allow by default."""


def client_id(instance: str) -> str:
    """What the clients of an instance call themselves."""
    return f"txwatch-{instance}"


def transactional_id(kafka: KafkaSettings, instance: str) -> str:
    """The producer's of an instance in our group."""
    return f"{kafka.group_id}-{instance}"


def client_config(settings: Settings, kind: str, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """What every client of ours has in common, with the user's properties that concern this kind of it."""
    others = {
        "any": (),
        "consumer": _PRODUCER_ONLY,
        "producer": _CONSUMER_ONLY,
        "admin": _CONSUMER_ONLY + _PRODUCER_ONLY,
    }[kind]
    return {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": client_id(settings.kafka.instance_id),
        "logger": logging.getLogger("librdkafka"),
        "error_cb": errors,
        **{name: as_text(value) for name, value in settings.kafka.properties.items() if not name.startswith(others)},
        "allow.auto.create.topics": "false",  # to ask for a topic that was deleted is not to want it
    }


def is_classic(settings: Settings) -> bool:
    """Whether the group protocol is the classic one; the default is that of KIP-848."""
    return str(settings.kafka.properties.get("group.protocol", "")).lower() == "classic"


def consumer_config(settings: Settings, errors: Callable[[KafkaError], None], brokers: int = 1) -> dict[str, Any]:
    """The input consumer. What a user's property may override stands before the common part.

    ``brokers`` is how many the cluster has.
    """
    return {
        "group.protocol": "consumer",
        # A backlog is drained without standing still, and within a bound whatever the number of partitions.
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
        **fetch_sizes(brokers),
        # A partition that is sought is fetched anew only when the pending fetch returns.
        "fetch.wait.max.ms": 100,
        # Nothing is read while a txn is committed, which a quota can make last as long as the txn's timeout.
        "max.poll.interval.ms": LONGEST_TXN_MS + 60_000,
        **client_config(settings, "consumer", errors),
        "message.max.bytes": LEAST_BYTES,  # the producer's; the client refuses smaller fetches than that
        **({"partition.assignment.strategy": "cooperative-sticky"} if is_classic(settings) else {}),
        "group.id": settings.kafka.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }


def reader_config(settings: Settings, purpose: str, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """A consumer that looks at topics and joins no group."""
    config = {
        **client_config(settings, "consumer", errors),
        "group.id": f"{settings.kafka.group_id}-{purpose}",  # the client insists on one
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
    }
    for name in ("group.protocol", "session.timeout.ms", "heartbeat.interval.ms"):
        config.pop(name, None)
    return config


def offsets_config(settings: Settings, isolation: Literal["read_committed", "read_uncommitted"]) -> dict[str, Any]:
    """A consumer that asks how far our group is and never joins it.

    With ``read_uncommitted`` it passes over what open txns have added; else it waits for their end.
    """
    return {
        **reader_config(settings, "offsets", lambda _: None),
        "group.id": settings.kafka.group_id,
        "isolation.level": isolation,
        "log_level": 0,
    }


def txn_timeouts_ms(settings: Settings) -> tuple[int, ...]:
    """The txn's timeout, and what it becomes once a txn has taken longer.

    Long enough for a txn that a flood of bad records began at the start of a window, and for a commit of a million
    keys (20 s on two shared cores): one that outlived its timeout would be tried again for ever.
    """
    usual = min(LONGEST_TXN_MS, settings.window.size_ms + 60_000)
    return (usual,) if usual == LONGEST_TXN_MS else (usual, LONGEST_TXN_MS)


def producer_config(settings: Settings, errors: Callable[[KafkaError], None], topics: OutputTopics) -> dict[str, Any]:
    """The transactional producer; it makes no batch that one of the topics would not take."""
    return {
        "linger.ms": 5,
        "compression.type": "none",  # some clients cannot read lz4, snappy or zstd as they come
        "queue.buffering.max.kbytes": 65_536,
        **client_config(settings, "producer", errors),
        "transactional.id": transactional_id(settings.kafka, settings.kafka.instance_id),
        "transaction.timeout.ms": txn_timeouts_ms(settings)[0],
        "message.max.bytes": max(topics.late_max_bytes, topics.dead_letter_max_bytes),
        "batch.size": min(1_000_000, topics.least_max_bytes),
        "partitioner": "murmur2_random",
    }


def another_instance(kafka: KafkaSettings, instance: str) -> dict[str, Any]:
    """What differs for a producer that does no more than fence another instance's; its complaints are not ours."""
    return {"transactional.id": transactional_id(kafka, instance), "error_cb": lambda _: None, "log_level": 0}


def check_properties(settings: Settings) -> None:
    """Find out which property librdkafka does not like before anything is started.

    Raises:
        SettingsError: KAFKA_PROPERTIES or KAFKA_BOOTSTRAP_SERVERS holds something that it does not know.
    """
    silent = logging.getLogger("librdkafka.check")
    silent.setLevel(logging.CRITICAL + 1)
    everything = {**client_config(settings, "any", lambda _: None), "logger": silent}
    construct(AdminClient, everything)


def construct(make: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> Any:  # noqa: ANN401
    """Construct a client, or say which property it does not like.

    Raises:
        SettingsError: KAFKA_PROPERTIES or KAFKA_BOOTSTRAP_SERVERS holds something librdkafka does not know.
        Fatal: the process may not have the threads or the memory.
    """
    try:
        return make(config)
    except KafkaException as exception:
        if kafka_error(exception).code() == KafkaError._CRIT_SYS_RESOURCE:  # noqa: SLF001
            raise Fatal(f"make a client of Kafka: {kafka_error(exception).str()}") from None
        raise SettingsError(f"KAFKA_PROPERTIES: {kafka_error(exception).str()}") from None
    except (ValueError, TypeError) as error:
        raise SettingsError(f"KAFKA_PROPERTIES: {error}") from None
