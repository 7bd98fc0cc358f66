"""Finding out that something waits for a topic that is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

EVERY_S: Final = 3.0
LIMIT: Final = 3
"""Answers in a row that a topic is gone: a broker may not know one for a moment."""


class MissingTopicWatch:
    """Looks for the topics now and then while one call waits.

    librdkafka does not tell. Where AddPartitionsToTxn answers that it knows no such partition, it asks again every half
    second until the message times out, a minute later, and looks at the topic itself only with its next refresh of
    metadata. Nor is it asked: its answer, if it were a wrong one, would cost the txn.
    """

    def __init__(self, missing_topic: Callable[[], str | None], monotonic_s: Callable[[], float]) -> None:
        """The wait begins."""
        self._missing_topic = missing_topic
        self._monotonic_s = monotonic_s
        self._last_s = monotonic_s()
        self._answers = 0

    def look(self) -> str | None:
        """A topic that is gone for good, where it is time to look for it."""
        if self._monotonic_s() - self._last_s < EVERY_S:
            return None
        topic = self._missing_topic()
        self._last_s = self._monotonic_s()
        self._answers = self._answers + 1 if topic else 0
        return topic if self._answers >= LIMIT else None
