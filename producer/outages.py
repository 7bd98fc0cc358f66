"""Turns the client's connection errors into lines: one for each kind of error, until rows are delivered again."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

from producer.client import text_of
from service.wire.client import settings_refused

_NOT_AUTHORISED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_KINDS: Final = {
    KafkaError._ALL_BROKERS_DOWN: "no broker answers",  # noqa: SLF001  librdkafka's names of its own errors
    KafkaError._AUTHENTICATION: "authentication failed",  # noqa: SLF001
    KafkaError._SSL: "TLS failed",  # noqa: SLF001
    **dict.fromkeys(_NOT_AUTHORISED, "not authorised"),
}


class Outages:
    """Collects the client's errors. All methods are for one thread."""

    def __init__(self, topic: str) -> None:
        """Take the topic that the client writes to."""
        self._topic = topic
        self._last_error = ""
        self._announced: set[int] = set()
        self._lines: list[str] = []
        self._most_delivered = 0
        self.refusal = ""
        """Why the brokers refuse this client as it is configured. Empty: they have not refused it."""

    def note(self, error: KafkaError) -> None:
        """Note an error of a connection. A callback of the client: never raises."""
        code = error.code()
        if settings_refused(error.name(), error.str()):
            self.refusal = text_of(error)
        if code not in _KINDS:
            self._last_error = text_of(error)
        elif code not in self._announced:
            self._announced.add(code)
            self._lines.append(f"{_KINDS[code]}, still trying: {self._last_error or text_of(error)}")

    def note_fatal(self, error: KafkaError) -> None:
        """Note the error that ends the client."""
        # Without this permission, the brokers also refuse the producer id that an idempotent client needs.
        needs = f"; needs ACL WRITE on topic {self._topic}" if error.code() in _NOT_AUTHORISED else ""
        self._lines.append(f"the client gives up: {text_of(error)}{needs}")

    def take(self, delivered: int) -> list[str]:
        """Return the lines since the last call; ``delivered`` is how many rows the brokers have acknowledged."""
        if self._announced and delivered > self._most_delivered:
            self._announced.clear()
            self._lines.append("rows are delivered again")
        # The count is too low for a moment in the middle of a batch, so it may go back.
        self._most_delivered = max(self._most_delivered, delivered)
        lines, self._lines = self._lines, []
        return lines
