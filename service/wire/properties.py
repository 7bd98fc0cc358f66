"""KAFKA_PROPERTIES: the librdkafka properties that users add. Both programs read them with this."""

from __future__ import annotations

import json
from typing import Any, Final

PROTECTED: Final = frozenset(
    {
        "acks",
        "bootstrap.servers",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "metadata.broker.list",
        "partitioner",
        "request.required.acks",
        "transactional.id",
    }
)
"""Properties that the guarantees of both programs need, or that have a setting of their own."""


class PropertiesError(ValueError):
    """The properties cannot be used. The message is one line and shows no value, which may be a secret."""


def json_object(text: str) -> dict[str, Any]:
    """Return a JSON object as a dict.

    Raises:
        PropertiesError: the text is something else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PropertiesError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise PropertiesError(f"not a JSON object but {type(value).__name__}")
    return value


def as_text(value: str | float) -> str:
    """Return a property's value as librdkafka reads it: booleans are ``true`` and ``false``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
