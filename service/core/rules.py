"""The rules of a task: clock, window, lateness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from service.core.model import NO_DETAIL, AggregateDetail, ClockName, LatePolicy, ReadAhead

COMMIT_WITHIN_MS: Final = 10_000
"""The longest time between commits under the clocks that commit while windows are open."""


@dataclass(frozen=True, slots=True)
class TaskRules:
    """The settings that a task needs; all times in milliseconds."""

    clock: ClockName
    window_size_ms: int
    lateness_ms: int
    idle_after_ms: int
    max_future_ms: int
    """A record whose event time is further ahead of the wall clock is set aside; 0 turns the check off."""
    late_policy: LatePolicy
    margin_ms: int
    """How far the broker's clock may be behind ours: ``ingestion`` waits this time after a window's end."""
    flush_after_ms: int
    """``event`` closes all windows of a partition that is caught up and silent for this time; 0 turns that off."""
    detail: AggregateDetail = NO_DETAIL
    """What aggregates hold besides sum, count and places."""
    future_by_append_time: bool = False
    """Whether ``event`` compares event times with append times instead of the wall clock, as ``ingestion`` does. For
    records of the past, which the wall clock says nothing about."""

    @property
    def commit_within_ms(self) -> int:
        """Everything read is committed at the end of each span of the wall clock of this length."""
        return self.window_size_ms if self.clock is ClockName.PROCESSING else min(self.window_size_ms, COMMIT_WITHIN_MS)

    def of_earlier_owner(self, ahead: ReadAhead) -> TaskRules:
        """These rules, with the clock, window and limits that an earlier owner used when it read ahead."""
        return replace(
            self,
            clock=ahead.clock,
            window_size_ms=ahead.window_size_ms,
            lateness_ms=ahead.lateness_ms,
            max_future_ms=ahead.max_future_ms,
            late_policy=ahead.late_policy,
        )
