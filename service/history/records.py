"""The record that readers of a topic return."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a topic stores it."""

    partition: int
    offset: int
    timestamp_ms: int
    """When it was created or appended, as the topic is configured."""
    value: bytes | None
