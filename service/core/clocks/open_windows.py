"""The open windows of a clock that has several: which of them are over, and where their records begin."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import islice

from service.core.clocks import OpenWindow
from service.core.clocks.add_records import NO_HORIZON
from service.core.model import Aggregate, Offset, TumblingWindow


class OpenWindows:
    """Knows each window's own start and end, and nothing about which windows a record belongs to."""

    def __init__(self) -> None:
        """Start with no window."""
        self._by_start: dict[int, OpenWindow] = {}
        self._ends: list[tuple[int, int]] = []
        """End and start of each open window, as a heap."""

    def __bool__(self) -> bool:
        return bool(self._ends)

    @property
    def keys(self) -> int:
        """How many keys the windows hold, counted for each window."""
        return sum(len(one.aggregates) for one in self._by_start.values())

    @property
    def next_end_ms(self) -> int:
        """The earliest end."""
        return self._ends[0][0] if self._ends else NO_HORIZON

    @property
    def last_end_ms(self) -> int:
        """The latest end. There must be a window."""
        return max(self._ends)[0]

    @property
    def first(self) -> OpenWindow | None:
        """The window with the earliest record: after a crash the next owner reads from there."""
        return min(self._by_start.values(), key=lambda one: one.first_offset, default=None)

    def some(self, most: int) -> list[OpenWindow]:
        """At most ``most`` of the windows, those that were opened first."""
        return list(islice(self._by_start.values(), most))

    def newest(self, transaction_id: str) -> Aggregate | None:
        """A key's aggregate with the latest record; None where no window has one."""
        found = (one.aggregates.get(transaction_id) for one in self._by_start.values())
        return max((one for one in found if one is not None), key=lambda one: one.last_offset, default=None)

    def get(self, start_ms: int) -> OpenWindow | None:
        """The open window with this start."""
        return self._by_start.get(start_ms)

    def add(self, window: TumblingWindow, first_offset: Offset, newest_ms: int) -> OpenWindow:
        """Open a window for its first record; ``newest_ms`` as in OpenWindow."""
        opened = self._by_start[window.start_ms] = OpenWindow(window, first_offset, newest_ms)
        heappush(self._ends, (window.end_ms, window.start_ms))
        return opened

    def take(self, to_ms: int) -> list[OpenWindow]:
        """Remove the windows that end at ``to_ms`` or earlier, earliest first."""
        over = []
        while self._ends and self._ends[0][0] <= to_ms:
            over.append(self._by_start.pop(heappop(self._ends)[1]))
        return over
