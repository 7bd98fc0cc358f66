"""What the loop tells the outside: a snapshot that other threads may read at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One assigned partition; times in epoch milliseconds."""

    topic: str
    partition: int
    position: int
    lag: int | None
    watermark: int | None
    idle: bool
    open_keys: int
    blocked_ms: int | None = None
    """How long it has waited for ``waits_for``; None where it does not wait."""
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The service at one moment. ``not_ready`` says why it is not ready, or is None when it is."""

    not_ready: str | None
    partitions: tuple[PartitionStatus, ...] = ()
    stuck: str | None = None
    """Which partitions make no progress although they have records."""

    @property
    def watermark(self) -> int | None:
        """The least watermark over partitions that are not idle: the service's own."""
        marks = [p.watermark for p in self.partitions if not p.idle and p.watermark is not None]
        return min(marks, default=None)


STALLED_AFTER_S: Final = 30.0
"""A loop that has not turned for so long is stuck: a turn takes 0.1 s, and calls that block are cut into seconds."""


class StatusBoard:
    """Where the loop posts and other threads look. Attribute assignment is atomic, so no lock is needed."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Nothing has happened yet."""
        self._monotonic_s = monotonic_s
        self._beat_s = monotonic_s()
        self.status = Status(not_ready="starting")
        self.throttled: Callable[[], str | None] = lambda: None
        """Says which clients a broker's quota holds up; None while there are none."""

    def beat(self) -> None:
        """The loop advances."""
        self._beat_s = self._monotonic_s()

    @property
    def beat_s(self) -> float:
        """When the loop last advanced, by the monotonic clock."""
        return self._beat_s

    def silent_s(self) -> float:
        """Seconds since the loop last advanced."""
        return self._monotonic_s() - self._beat_s

    @property
    def alive(self) -> bool:
        """Whether the loop advances."""
        return self.silent_s() < STALLED_AFTER_S
