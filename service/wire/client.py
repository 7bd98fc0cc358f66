"""What both programs know about librdkafka: how users set properties, and after which errors a retry is useless."""

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
"""Properties that KAFKA_PROPERTIES may not set in either program: guarantees rest on them, or they have a setting."""


_NO_TOKEN_SERVER: Final = tuple(
    f"Failed to acquire SASL OAUTHBEARER token: {fault}"
    for fault in (
        "Failed to connect",
        "Could not connect",
        "Could not resolve",
        "Timeout was reached",
        "Connection timed",
    )
)
"""How the client reports by OIDC that there was no answer, in curl's words."""


class PropertiesError(ValueError):
    """KAFKA_PROPERTIES cannot be used. The message is one line and shows no value, which may be a secret."""


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


def as_text(value: Any) -> Any:  # noqa: ANN401
    """Return a property's value as librdkafka reads it: booleans are ``true`` and ``false``; a callback stays."""
    if callable(value):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def no_token_server(text: str) -> bool:
    """Whether an error says that the token server cannot be reached, so that the client asks again after 10 s."""
    return any(fault in text for fault in _NO_TOKEN_SERVER)


def settings_refused(error_name: str, text: str) -> bool:
    """Whether an error shows that the broker and KAFKA_PROPERTIES do not fit together, so that no retry helps.

    ``error_name`` is librdkafka's, such as ``_SSL``. A TLS connection that ends in its handshake is no such error: the
    broker may be stopping at that moment. A token server that cannot be reached is none either.
    """
    if no_token_server(text):
        return False
    if error_name == "_SSL":
        return "Disconnected" not in text
    return error_name in {"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"}
