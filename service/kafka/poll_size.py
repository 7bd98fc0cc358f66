"""How many records a poll asks for: the client counts records, and 500 of a megabyte each would be held at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import Message

POLL_BYTES: Final = 8 * 1024 * 1024
FIRST_RECORDS: Final = 16
"""Asked for while nothing is known of their size."""
_EVERY: Final = 16


class PollSize:
    """Bounds the bytes of a poll by the largest of the last poll's records, of which it looks at every 16th."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self._records = FIRST_RECORDS

    def within(self, max_records: int) -> int:
        """So many records at most, at least one."""
        return min(max_records, self._records)

    def note(self, messages: Sequence[Message]) -> None:
        """Take note of what a poll brought; the length of a message is its value's, in bytes."""
        largest = max(map(len, messages[::_EVERY]), default=0)
        self._records = max(1, POLL_BYTES // max(1, largest))
