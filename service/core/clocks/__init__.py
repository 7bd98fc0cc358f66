"""Three clocks for windows. Each keeps one partition's open windows, closes them, and says where recovery starts.

The task and the loop see only the interface WindowClock, never which clock it is. Which window a time belongs to is in
service.core.window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.core.model import (
    Accepted,
    Aggregate,
    Filtered,
    Offset,
    Progress,
    Transaction,
    TumblingWindow,
    WallTimeMs,
    WindowClosed,
)

AppendTimes = Callable[[], Sequence[WallTimeMs]]
"""Returns the broker's append time of each record of a batch. It is costly, so only the ingestion clock calls it."""


@dataclass(slots=True)
class OpenWindow:
    """A window that is not closed."""

    window: TumblingWindow
    first_offset: Offset
    newest_ms: int
    """The greatest event time in the partition before this window's first record. It may include that record, which
    is never late by its own event time."""
    aggregates: dict[str, Aggregate] = field(default_factory=dict)


class WindowClock(Protocol):
    """The interface of a clock: the windows of one partition."""

    commits_while_open: bool
    """Whether closed windows may be committed while others are open. If not, tick() closes all of them together."""
    closed: list[WindowClosed]
    """Closed windows, earliest first. The task takes them."""

    @property
    def open_keys(self) -> int:
        """How many keys the open windows hold."""

    def open_windows(self, most: int) -> list[OpenWindow]:
        """The windows that are open; at most ``most`` of them."""

    def open_aggregate(self, transaction_id: str) -> Aggregate | None:
        """A key's newest aggregate in the open windows; None where it has none."""

    def accept(
        self,
        now_ms: WallTimeMs,
        offsets: Sequence[Offset],
        transactions: Sequence[Transaction],
        append_times: AppendTimes,
    ) -> Accepted:
        """Judge each record by the current watermark, advance the watermark, and add the record to its window."""

    def pass_by(self, now_ms: WallTimeMs, record: Filtered) -> None:
        """Advance the watermark to a filtered record, unless its event time is too far ahead."""

    def tick(self, now_ms: WallTimeMs) -> None:
        """Close the windows that the wall clock closes without a new record."""

    def waits_for_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> bool:
        """Whether a window will close at ``now_ms`` as soon as everything up to now is known to have been read."""

    def at_end(self, now_ms: WallTimeMs, last_arrival_ms: WallTimeMs) -> None:
        """Note that everything that was in the partition at ``now_ms`` has been read."""

    def close_open(self) -> None:
        """Close every open window, whatever the time."""

    def progress(self, next_offset: Offset) -> Progress:
        """Return what to commit when everything below ``next_offset`` has been read."""
