"""The service's status: the loop writes snapshots, and other threads read them at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """What blocks the partition, in words."""
    state_keys: int | None = None
    """How many states of keys the detectors keep; None where none keeps states."""


@dataclass(frozen=True, slots=True)
class Status:
    """The service at one moment. ``not_ready`` says why it is not ready, or is None when it is."""

    not_ready: str | None
    partitions: tuple[PartitionStatus, ...] = ()
    stuck: str | None = None
    """Which partitions have records and do not advance."""
    open_episodes: Mapping[str, int] = field(default_factory=dict)
    """How many episodes are open, by detector."""

    @property
    def watermark(self) -> int | None:
        """The service's watermark: the minimum over partitions that are not idle."""
        watermarks = [p.watermark for p in self.partitions if not p.idle and p.watermark is not None]
        return min(watermarks, default=None)


STALLED_AFTER_S: Final = 30.0
"""A loop without a turn for this time is stuck: a turn takes 0.1 s, and blocking calls return every few seconds."""


class StatusBoard:
    """The loop writes the status here; other threads read it. Assigning an attribute is atomic, so there is no lock."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """``monotonic_s`` is a clock in seconds that never goes back."""
        self._monotonic_s = monotonic_s
        self._beat_s = monotonic_s()
        self.status = Status(not_ready="starting")
        self.state_restore_s: float | None = None
        """How long the last restore of detectors' states took; None where there was none."""
        self.throttled: Callable[[], str | None] = lambda: None
        """Returns which clients a broker throttles; None while there are none."""

    def beat(self) -> None:
        """Note that the loop has advanced."""
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
        """Whether the loop has advanced recently."""
        return self.silent_s() < STALLED_AFTER_S
