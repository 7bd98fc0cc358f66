"""Checks the properties for the Kafka client before the client is created."""

from __future__ import annotations

from typing import Final

from service.wire.client import PROTECTED, PropertiesError, json_object

Value = str | int | float | bool

PROTECTED_PROPERTIES: Final = PROTECTED | {
    "delivery.report.only.error",
    "enabled_events",
    "log.queue",
    "queuing.strategy",
}
"""librdkafka properties that the replay's guarantees need: no row lost or repeated, Java's partitioner, the counts."""


def parse_properties(text: str) -> dict[str, Value]:
    """Read KAFKA_PROPERTIES, a JSON object of librdkafka properties.

    Properties of consumers stay in, because the service may use the same environment. A producer ignores them.

    Raises:
        PropertiesError: no JSON object, a protected property, or a value of a wrong type.
    """
    found = json_object(text)
    for name, value in found.items():
        if name in PROTECTED_PROPERTIES:
            raise PropertiesError(f"{name} may not be set here: the replay's guarantees need it")
        if not isinstance(value, str | int | float):
            raise PropertiesError(f"{name} must be text, a number, true or false")
    return found
