"""What both programs know of librdkafka: properties that they protect, and errors that no retry helps."""

from __future__ import annotations

from typing import Final

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


def settings_refused(error_name: str, text: str) -> bool:
    """Whether an error shows that the broker and KAFKA_PROPERTIES do not fit together, so that no retry helps.

    ``error_name`` is librdkafka's, such as ``_SSL``. A TLS connection that ends in its handshake is no such error: the
    broker may be stopping at that moment.
    """
    if error_name == "_SSL":
        return "Disconnected" not in text
    return error_name in {"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"}
