"""The watermark of one partition, and whether the partition is idle."""

from __future__ import annotations

from typing import Final

from service.core.model import EventTimeMs, Offset, WallTimeMs

NEVER_MS: Final = -(2**63)
"""Less than any event time. Used inside the core only; elsewhere, no watermark is None."""


class BoundedOutOfOrderness:
    """The greatest event time seen minus the allowed lateness; it never goes back.

    The name is Flink's. Flink's watermark is one millisecond less, and the same records are late.
    """

    __slots__ = ("lateness_ms", "newest_ms")

    def __init__(self, lateness_ms: int, restored_ms: EventTimeMs | None = None) -> None:
        """Start without a record, or at the watermark that an earlier owner committed."""
        self.lateness_ms = lateness_ms
        self.newest_ms = NEVER_MS if restored_ms is None else restored_ms + lateness_ms

    @property
    def value_ms(self) -> EventTimeMs | None:
        """The watermark. A record exactly at it is on time."""
        return watermark_at(self.newest_ms, self.lateness_ms)


def watermark_at(newest_ms: int, lateness_ms: int) -> EventTimeMs | None:
    """The watermark when ``newest_ms`` is the greatest event time seen."""
    return None if newest_ms == NEVER_MS else EventTimeMs(newest_ms - lateness_ms)


class Idleness:
    """A partition is idle if it is caught up and silent.

    Silence alone is not enough: under back-pressure a slow partition would count as idle, and its next records as late.
    """

    __slots__ = ("after_ms", "last_arrival_ms", "reached")

    def __init__(self, after_ms: int, now_ms: WallTimeMs) -> None:
        """Start not caught up, with the silence beginning at ``now_ms``."""
        self.after_ms = after_ms
        self.last_arrival_ms = now_ms
        self.reached: Offset | None = None

    def caught_up(self, next_offset: Offset) -> bool:
        """Whether ``next_offset`` has reached the partition's last known end."""
        return self.reached is not None and self.reached >= next_offset

    def idle(self, next_offset: Offset, now_ms: WallTimeMs) -> bool:
        """Whether the partition is caught up and no record has come for ``after_ms``."""
        return self.caught_up(next_offset) and now_ms - self.last_arrival_ms >= self.after_ms
