"""What a user may set of the Kafka client, and what not, checked before there is one."""

from __future__ import annotations

import json
import re
from typing import Final

from service.wire.client import PROTECTED
from service.wire.names import NO_TOPICS, TOPIC_NAME, first_bad_address

Value = str | int | float | bool

PROTECTED_PROPERTIES: Final = PROTECTED | {
    "delivery.report.only.error",
    "queuing.strategy",
    "log.queue",
    "enabled_events",
}
"""Nothing lost, nothing twice, the Java clients' partitions and the count of rows rest on these."""

_TOPIC: Final = re.compile(TOPIC_NAME)


class PropertiesError(ValueError):
    """The setting can't be used; the message says why in one line, and never shows a property's value."""


def parse_properties(text: str) -> dict[str, Value]:
    """Read KAFKA_PROPERTIES: a JSON object of librdkafka properties; raises `PropertiesError`.

    Properties of consumers stay in: the same environment serves the service, and a producer ignores them.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise PropertiesError(f"not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise PropertiesError("not a JSON object")
    for name, value in found.items():
        if name in PROTECTED_PROPERTIES:
            raise PropertiesError(f"{name} can't be set here: the replay's guarantees rest on it")
        if not isinstance(value, str | int | float):
            raise PropertiesError(f"{name} must be text, a number, true or false")
    return found


def check_brokers(text: str) -> str:
    """Return a list of brokers, ``host:port,host:port``, as it is; raises `PropertiesError`."""
    if (broker := first_bad_address(text)) is not None:
        raise PropertiesError(f"{broker!r} is not host:port")
    return text


def check_topic(name: str) -> str:
    """Return a topic's name as it is; raises `PropertiesError` where Kafka would not have it."""
    if _TOPIC.fullmatch(name) is None or name in NO_TOPICS:
        raise PropertiesError(f"{name!r} is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -")
    return name
