"""Three clocks for windows; each answers which window a record belongs to, and which windows are over.

Every clock keeps the open windows of one partition and what it takes to find them again after a crash. Who drives a
task, and the task itself, see only WindowClock and never ask which one it is. Pure, as all of the core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.core.model import (
    Accepted,
    Aggregate,
    ClockName,
    EventTimeMs,
    Offset,
    Progress,
    Transaction,
    TumblingWindow,
    WallTimeMs,
)

Appended = Callable[[], Sequence[WallTimeMs]]
"""Asks for the broker's append time of each record of a batch. It costs time, so only who needs it asks."""


@dataclass(slots=True)
class OpenWindow:
    """A window that is not over."""

    window: TumblingWindow
    first_offset: Offset
    newest_ms: int
    """The greatest event time of the partition before this window's first record, or with it: it makes no difference
    to that record, which cannot be below itself."""
    aggregates: dict[str, Aggregate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Over:
    """A window that is over and holds something, not yet looked at by detectors."""

    clock: ClockName
    window: TumblingWindow
    watermark_ms: EventTimeMs
    aggregates: dict[str, Aggregate]


class WindowClock(Protocol):
    """The windows of one partition by one clock."""

    at_once: bool
    """Whether windows that are over may be committed while others are open; if not, all close together in tick()."""
    over: list[Over]
    """Windows that are over, until somebody takes them away; earliest first."""

    @property
    def open_keys(self) -> int:
        """How many keys the open windows hold."""

    def accept(
        self, now_ms: WallTimeMs, offsets: Sequence[Offset], transactions: Sequence[Transaction], appended: Appended
    ) -> Accepted:
        """Judge each record by the watermark it meets, move the watermark, and add the record to its window."""

    def tick(self, now_ms: WallTimeMs) -> None:
        """Notice the time, with no new record needed for it."""

    def waits_for_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> bool:
        """Whether a window would be over at ``now_ms`` if it were known that everything up to now has been read."""

    def at_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> None:
        """Everything that was in the partition at ``now_ms`` has been read."""

    def close_open(self) -> None:
        """Close every open window as it is."""

    def progress(self, next_offset: Offset) -> Progress:
        """What to commit when everything below ``next_offset`` has been read."""
