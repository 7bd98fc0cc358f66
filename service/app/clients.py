"""Configures and constructs Kafka's clients, for the service and for commands."""

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
from service.process.files import name_file
from service.process.iam import IamError, with_tokens
from service.settings import KafkaSettings, Settings, SettingsError
from service.wire.client import as_text

_CONSUMER_ONLY: Final = (
    "auto.commit.", "auto.offset.", "check.crcs", "fetch.", "group.", "heartbeat.", "max.partition.fetch.", "max.poll.",
    "queued.", "session.",
)  # fmt: skip
_PRODUCER_ONLY: Final = (
    "batch.", "compression.", "linger.", "max.in.flight", "message.send.", "queue.buffering.", "retries", "retry.",
    "sticky.",
)  # fmt: skip
LARGEST_BATCH: Final = 1_000_000
"""Bytes of the producer's batches, where no topic takes less."""
LONGEST_TXN_MS: Final = 900_000
"""The longest transaction.timeout.ms that brokers allow by default."""


def client_id(instance: str) -> str:
    """The client.id of an instance's clients."""
    return f"txwatch-{instance}"


def transactional_id(kafka: KafkaSettings, instance: str) -> str:
    """The transactional.id of an instance's producer in our group."""
    return f"{kafka.group_id.removesuffix(kafka.suffix)}-{instance}{kafka.suffix}"


def client_config(settings: Settings, kind: str, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """The properties that all our clients share, and the user's properties that this kind of client knows.

    Raises:
        SettingsError: KAFKA_PROPERTIES asks for IAM of AWS, and no token can be had.
    """
    others = {
        "any": (),
        "consumer": _PRODUCER_ONLY,
        "producer": _CONSUMER_ONLY,
        "admin": _CONSUMER_ONLY + _PRODUCER_ONLY,
    }[kind]
    logger = logging.getLogger("librdkafka")
    try:
        properties = with_tokens(settings.kafka.properties, logger)
    except IamError as error:
        raise SettingsError(f"KAFKA_PROPERTIES: {error}") from None
    return {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": client_id(settings.kafka.instance_id),
        "logger": logger,
        "error_cb": errors,
        **{name: as_text(value) for name, value in properties.items() if not name.startswith(others)},
        "allow.auto.create.topics": "false",  # otherwise a question about a deleted topic creates it
    }


def is_classic(settings: Settings) -> bool:
    """Whether the group protocol is the classic one; the default is that of KIP-848."""
    return str(settings.kafka.properties.get("group.protocol", "")).lower() == "classic"


def consumer_config(settings: Settings, errors: Callable[[KafkaError], None], brokers: int = 1) -> dict[str, Any]:
    """The properties of the input's consumer. The user's properties override those above the common part.

    ``brokers`` is how many brokers the cluster has.
    """
    return {
        "group.protocol": "consumer",
        # The client reads a backlog without pauses, and in bounded memory whatever the number of partitions.
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
        **fetch_sizes(brokers),
        # A partition that is sought is fetched again only when the pending fetch returns.
        "fetch.wait.max.ms": 100,
        # There is no poll during a commit, and with a quota a commit may take as long as the txn's timeout.
        "max.poll.interval.ms": LONGEST_TXN_MS + 60_000,
        **client_config(settings, "consumer", errors),
        "message.max.bytes": LEAST_BYTES,  # a producer's property, but the client refuses fetches below it
        **({"partition.assignment.strategy": "cooperative-sticky"} if is_classic(settings) else {}),
        "group.id": settings.kafka.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }


def reader_config(settings: Settings, purpose: str, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """The properties of a consumer that reads topics and joins no group."""
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


def span_config(settings: Settings, purpose: str, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """The same for one that reads much. The user's properties override the first lines, as for the input's consumer."""
    return {
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
        "fetch.wait.max.ms": 100,
        **reader_config(settings, purpose, errors),
    }


def offsets_config(settings: Settings, isolation: Literal["read_committed", "read_uncommitted"]) -> dict[str, Any]:
    """The properties of a consumer that asks for our group's committed offsets and never joins the group.

    With ``read_committed`` it waits for the end of open txns; with ``read_uncommitted`` it ignores them.
    """
    return {
        **reader_config(settings, "offsets", lambda _: None),
        "group.id": settings.kafka.group_id,
        "isolation.level": isolation,
        "log_level": 0,
    }


def states_config(settings: Settings) -> dict[str, Any]:
    """The properties of the consumer that reads the state topic back. It uses our group's name, and never joins."""
    return {**offsets_config(settings, "read_committed"), "fetch.queue.backoff.ms": 5, "fetch.wait.max.ms": 100}


def txn_timeouts_ms(settings: Settings) -> tuple[int, ...]:
    """The usual transaction.timeout.ms, and the one for after a txn that took longer.

    The usual one covers a txn that begins with its window, and a commit of a million keys.
    docs/decisions/producer.md, "`transaction.timeout.ms` is the window and a minute".
    """
    usual = min(LONGEST_TXN_MS, settings.window.size_ms + 60_000)
    return (usual,) if usual == LONGEST_TXN_MS else (usual, LONGEST_TXN_MS)


def producer_config(settings: Settings, errors: Callable[[KafkaError], None], topics: OutputTopics) -> dict[str, Any]:
    """The properties of the transactional producer. Its batches are small enough for each of the topics."""
    return {
        "linger.ms": 5,
        "compression.type": "none",  # some clients need another package to read lz4, snappy or zstd
        "queue.buffering.max.kbytes": 65_536,
        **client_config(settings, "producer", errors),
        "transactional.id": transactional_id(settings.kafka, settings.kafka.instance_id),
        "transaction.timeout.ms": txn_timeouts_ms(settings)[0],
        "message.max.bytes": max(topics.late_max_bytes, topics.dead_letter_max_bytes, topics.rekeyed_max_bytes),
        "batch.size": min(LARGEST_BATCH, topics.least_max_bytes),
        "partitioner": "murmur2_random",
    }


def another_instance(kafka: KafkaSettings, instance: str) -> dict[str, Any]:
    """The properties of a producer that only fences the producer of another instance. Its errors are not logged."""
    return {"transactional.id": transactional_id(kafka, instance), "error_cb": lambda _: None, "log_level": 0}


def check_properties(settings: Settings) -> None:
    """Check the user's properties with librdkafka before anything starts.

    Raises:
        SettingsError: librdkafka refuses something in KAFKA_PROPERTIES or KAFKA_BOOTSTRAP_SERVERS.
    """
    silent = logging.getLogger("librdkafka.check")
    silent.setLevel(logging.CRITICAL + 1)
    everything = {**client_config(settings, "any", lambda _: None), "logger": silent}
    construct(AdminClient, everything)


def construct(make: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> Any:  # noqa: ANN401
    """Construct a client with ``make``.

    Raises:
        SettingsError: librdkafka refuses something in KAFKA_PROPERTIES or KAFKA_BOOTSTRAP_SERVERS; the text names it.
        Fatal: the process cannot get the threads or the memory.
    """
    try:
        return make(config)
    except KafkaException as exception:
        if kafka_error(exception).code() == KafkaError._CRIT_SYS_RESOURCE:  # noqa: SLF001
            raise Fatal(f"construct a Kafka client: {kafka_error(exception).str()}") from None
        raise SettingsError(f"KAFKA_PROPERTIES: {name_file(kafka_error(exception).str(), config)}") from None
    except (ValueError, TypeError) as error:
        raise SettingsError(f"KAFKA_PROPERTIES: {error}") from None
