"""What tasks go by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from service.core.detectors import Detector
from service.core.model import ClockName, LatePolicy, ReadAhead

COMMIT_WITHIN_MS: Final = 10_000
"""Under the clocks that commit between windows: what is set aside, and how far was read, does not wait longer."""


@dataclass(frozen=True, slots=True)
class TaskRules:
    """What a task is told once; all times in milliseconds."""

    clock: ClockName
    window_size_ms: int
    lateness_ms: int
    idle_after_ms: int
    max_future_ms: int
    """An event time further ahead of the wall clock is set aside; 0 lets everything pass."""
    late_policy: LatePolicy
    margin_ms: int
    """How far the broker's clock may be behind ours: ``ingestion`` waits so long before it closes by the wall clock."""
    flush_after_ms: int
    """``event`` closes what is open when a partition is caught up and silent for so long; 0 waits for records."""
    detectors: tuple[Detector, ...]

    @property
    def commit_within_ms(self) -> int:
        """What has been read is committed at the end of a span of the wall clock that is so long."""
        return self.window_size_ms if self.clock is ClockName.PROCESSING else min(self.window_size_ms, COMMIT_WITHIN_MS)

    def as_of(self, ahead: ReadAhead) -> TaskRules:
        """The rules by which an earlier owner judged what it read ahead."""
        return replace(
            self,
            clock=ahead.clock,
            window_size_ms=ahead.window_size_ms,
            lateness_ms=ahead.lateness_ms,
            max_future_ms=ahead.max_future_ms,
            late_policy=ahead.late_policy,
        )
