"""The record that readers of a topic return."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.model import Offset
from service.wire.records import Headers

CREATE_TIME = 1
"""The client's code for a timestamp that the record's producer set."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a topic stores it."""

    partition: int
    offset: int
    timestamp_ms: int
    """When it was created or appended, as the topic is configured; -1 where the record does not say."""
    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A stored record of the input, as decoders take it."""

    stored: StoredRecord

    def offset(self) -> Offset:
        """Its offset."""
        return Offset(self.stored.offset)

    def key(self) -> bytes | None:
        """Its key."""
        return self.stored.key

    def value(self) -> bytes | None:
        """Its value."""
        return self.stored.value

    def headers(self) -> Headers | None:
        """Its headers; None where it has none, or the name of one is not UTF-8."""
        return self.stored.headers

    def timestamp(self) -> tuple[int, int]:
        """A code for the type of its timestamp, which is not kept, and epoch milliseconds."""
        return CREATE_TIME, self.stored.timestamp_ms
