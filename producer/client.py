"""How the replay's Kafka client is configured, and what it may log."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from confluent_kafka import KafkaError

from producer.properties import Value
from service.process.iam import with_tokens
from service.wire.client import as_text


def client_config(brokers: str, properties: Mapping[str, Value], linger_ms: int) -> dict[str, object]:
    """Return librdkafka's settings: our defaults, then the user's properties, then what the guarantees need.

    Raises:
        IamError: the properties ask for IAM of AWS, and no token can be had.
    """
    return {
        "linger.ms": linger_ms,
        "compression.type": "none",  # some clients need another package for lz4, snappy or zstd
        "client.id": "txwatch-replay",
        "enable.metrics.push": "false",
        "log_level": 0,
        **{name: as_text(value) for name, value in with_tokens(properties, client_log(properties)).items()},
        "bootstrap.servers": brokers,
        "enable.idempotence": "true",
        "acks": "all",
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
    }


def client_log(properties: Mapping[str, Value]) -> logging.Logger:
    """Return the client's logger. It writes only if the properties ask for it: errors are reported in another way."""
    log = logging.getLogger("producer.librdkafka")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    wanted = not properties.keys().isdisjoint({"debug", "log_level"})
    log.handlers = [logging.StreamHandler() if wanted else logging.NullHandler()]
    return log


def text_of(error: KafkaError) -> str:
    """Return an error's text on one line."""
    return " ".join(error.str().split())
