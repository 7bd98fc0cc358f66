"""Which event time is too far ahead, so that a record that is read again is judged as it was.

The wall clock decides, and when the record is read again it shows another time. So the bound moves in few steps, and
the steps since the committed offset are committed: ``(offset, horizon)``, the horizon from that offset on. It is moved
only for a record that needs it, in ordinary traffic once in ``max_future_ms``.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from service.core.clocks.add_records import NO_HORIZON
from service.core.model import Offset, WallTimeMs
from service.core.watermark import NEVER_MS

MANY: Final = 16
"""Past so many steps each one reaches twice as far as the one before: they must fit into 4,096 bytes."""


class Horizon:
    """The bound for one partition."""

    def __init__(self, max_future_ms: int, steps: tuple[tuple[Offset, int], ...], known_to: Offset) -> None:
        """Start with the steps that an earlier owner took below ``known_to``."""
        self._max_future_ms = max_future_ms
        self._steps = list(steps)
        self._known_to = known_to

    def sure_ms(self, offset: Offset, now_ms: WallTimeMs) -> int:
        """An event time up to this needs no call of allows(), at ``offset`` and after it."""
        if not self._max_future_ms:
            return NO_HORIZON
        if offset < self._known_to:
            return min((horizon_ms for _, horizon_ms in self._steps), default=NEVER_MS)
        return min(self._in_force_ms(), now_ms + self._max_future_ms)

    def allows(self, offset: Offset, event_ms: int, now_ms: WallTimeMs) -> bool:
        """Whether a record above sure_ms() is taken; moves the bound where it has to."""
        if offset < self._known_to:
            before = bisect_right(self._steps, offset, key=lambda step: step[0])
            return before > 0 and event_ms <= self._steps[before - 1][1]
        in_force_ms, allowed_ms = self._in_force_ms(), now_ms + self._max_future_ms
        crowded = len(self._steps) - MANY
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
        """The steps in force from ``offset`` on; the older ones are forgotten."""
        if offset >= next_offset:
            self._steps.clear()
        before = bisect_right(self._steps, offset, key=lambda step: step[0])
        del self._steps[: max(0, before - 1)]
        return tuple(self._steps)

    def _in_force_ms(self) -> int:
        return self._steps[-1][1] if self._steps else NEVER_MS
