"""What reading the past brings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it lies in a topic."""

    partition: int
    offset: int
    timestamp_ms: int
    """The topic's: of its creation or of its append."""
    value: bytes | None
