"""Guard: a call of a txn that waits for a deleted topic.

Seen (librdkafka 2.16): the broker answered AddPartitionsToTxn with UNKNOWN_TOPIC_OR_PART, which librdkafka takes for
temporary. It asked again every half second until the message timed out, a minute later, and then all began again.
What we do: the admin client looks for the topics now and then while a call waits. We do not ask the producer: a wrong
answer to it would abort the txn.
It can go when librdkafka refreshes its metadata on that answer.
docs/decisions/producer.md, "A long wait looks for topics that are gone".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

EVERY_S: Final = 3.0
LIMIT: Final = 3
"""This many answers in a row prove that a topic is missing: a broker may not know a topic for a moment."""


class MissingTopicWatch:
    """Looks for the topics every EVERY_S seconds while one call waits."""

    def __init__(self, missing_topic: Callable[[], str | None], monotonic_s: Callable[[], float]) -> None:
        """Begin at the start of the wait. ``missing_topic`` returns a topic that the cluster does not know, if any."""
        self._missing_topic = missing_topic
        self._monotonic_s = monotonic_s
        self._last_s = monotonic_s()
        self._answers = 0

    def look(self) -> str | None:
        """Look, if it is time to; returns a topic that is proved to be missing, else None."""
        if self._monotonic_s() - self._last_s < EVERY_S:
            return None
        topic = self._missing_topic()
        self._last_s = self._monotonic_s()
        self._answers = self._answers + 1 if topic else 0
        return topic if self._answers >= LIMIT else None
