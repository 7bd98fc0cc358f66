"""How many records a poll may return. The client counts records, and 500 of a megabyte each would be too much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import Message

POLL_BYTES: Final = 8 * 1024 * 1024
FIRST_RECORDS: Final = 16
"""The first poll's records, while we know nothing of their size."""
_EVERY: Final = 16


class PollSize:
    """Bounds the bytes of a poll by the largest record that it sampled in the poll before: every 16th is looked at."""

    def __init__(self) -> None:
        """Begin with the first poll's records."""
        self._records = FIRST_RECORDS

    def within(self, max_records: int) -> int:
        """The number of records to ask for: at least one, at most ``max_records``."""
        return min(max_records, self._records)

    def note(self, messages: Sequence[Message]) -> None:
        """Note what a poll returned; a message's length is that of its value, in bytes."""
        largest = max(map(len, messages[::_EVERY]), default=0)
        self._records = max(1, POLL_BYTES // max(1, largest))
