"""The bound on event times ahead of the wall clock. A record that is read again gets the same verdict.

The wall clock decides, and it shows another time when the record is read again. So the bound moves in few steps,
``(offset, bound from there on)``, and the steps since the committed offset are committed. A step is made only for a
record that needs it: in ordinary traffic once in ``max_future_ms``.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from service.core.clocks.add_records import NO_HORIZON
from service.core.model import Offset, WallTimeMs
from service.core.watermark import NEVER_MS

MANY_STEPS: Final = 16
"""After this many steps each one reaches twice as far as the last: all must fit into an offset's metadata."""


class Horizon:
    """The bound for one partition."""

    def __init__(self, max_future_ms: int, steps: tuple[tuple[Offset, int], ...], known_to: Offset) -> None:
        """Start with the steps that earlier owners made; records below ``known_to`` are judged by them alone.

        The first record that is read again must have been allowed before, so that a step holds there.
        """
        self._max_future_ms = max_future_ms
        self._steps = list(steps)
        self._known_to = known_to

    def sure_ms(self, offset: Offset, now_ms: WallTimeMs) -> int:
        """The greatest event time that is allowed without a call of allows(), from ``offset`` on."""
        if not self._max_future_ms:
            return NO_HORIZON
        if offset < self._known_to:
            return min((horizon_ms for _, horizon_ms in self._steps), default=NEVER_MS)
        return min(self._in_force_ms(), now_ms + self._max_future_ms)

    def allows(self, offset: Offset, event_ms: int, now_ms: WallTimeMs) -> bool:
        """Whether a record above sure_ms() is allowed. Makes a step of the bound where one is needed."""
        if offset < self._known_to:
            before = bisect_right(self._steps, offset, key=lambda step: step[0])
            return before > 0 and event_ms <= self._steps[before - 1][1]
        in_force_ms, allowed_ms = self._in_force_ms(), now_ms + self._max_future_ms
        crowded = len(self._steps) - MANY_STEPS
        if event_ms <= in_force_ms:
            if event_ms <= allowed_ms or crowded >= 0:
                return True
            self._steps.append((offset, allowed_ms))  # the clock was set back
            return False
        if event_ms > allowed_ms:
            return False
        reach_ms = self._max_future_ms << max(0, crowded + 1)
        self._steps.append((offset, min(NO_HORIZON, now_ms + reach_ms)))
        return True

    def since(self, offset: Offset, next_offset: Offset) -> tuple[tuple[Offset, int], ...]:
        """The steps that hold from ``offset`` on. Older ones are forgotten."""
        if offset >= next_offset:
            self._steps.clear()
        before = bisect_right(self._steps, offset, key=lambda step: step[0])
        del self._steps[: max(0, before - 1)]
        return tuple(self._steps)

    def _in_force_ms(self) -> int:
        return self._steps[-1][1] if self._steps else NEVER_MS
