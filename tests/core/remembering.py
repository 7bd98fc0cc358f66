"""One partition's Memory driven by hand: windows in, alerts and states out, and txns that commit or abort."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Self

from service.core.detectors import ConfiguredDetector, Finding, KeyWindow
from service.core.detectors.inactivity import Inactivity
from service.core.detectors.threshold import Threshold
from service.core.memory.alerts import Alert
from service.core.memory.partition import Memory
from service.core.model import (
    Aggregate,
    ClockName,
    EventTimeMs,
    Latest,
    Offset,
    TumblingWindow,
    WallTimeMs,
    WindowClosed,
)
from tests.driver import PLACE, T0

SIZE_MS: Final = 10_000


def threshold(name: str = "high", limit: int = 100, **more: Any) -> ConfiguredDetector:  # noqa: ANN401
    """A threshold on the sum."""
    return ConfiguredDetector(name, Threshold(Decimal(limit)), **more)


def silence(after_ms: int, name: str = "silent", **more: Any) -> ConfiguredDetector:  # noqa: ANN401
    """An inactivity detector."""
    return ConfiguredDetector(name, Inactivity(after_ms=after_ms, **more))


class Counting:
    """A detector that remembers how many windows of a key it has judged, and reports each."""

    state_kind = "counting"

    def __init__(self) -> None:
        """Begin with nothing judged."""
        self.judged = 0

    @property
    def state_type(self) -> type[int]:
        """A number."""
        return int

    def judge(self, state: int | None, window: KeyWindow) -> tuple[int, Finding]:
        """Count the window."""
        del window
        self.judged += 1
        return (state or 0) + 1, Finding(Decimal(0), score=float((state or 0) + 1))


class Remembering:
    """The Memory of partition 0, whose windows are by event time. All times are milliseconds after T0."""

    def __init__(self, *detectors: ConfiguredDetector, clock: ClockName = ClockName.EVENT, **more: Any) -> None:  # noqa: ANN401
        """Remember nothing."""
        self._detectors, self._more = detectors, more
        self._clock = clock
        self.memory = Memory(detectors, PLACE, **more)
        self.topic: dict[tuple[str, str], bytes] = {}
        """What was committed to the state topic, compacted."""
        self.alerts: list[Alert] = []
        self._next_offset = 0

    def window(self, start: int, watermark: int | None = None, /, **sums: float) -> WindowClosed:
        """A closed window with one record of each of these keys, at its start."""
        aggregates = {}
        for key, amount in sums.items():
            at, offset = EventTimeMs(T0 + start), Offset(self._next_offset)
            aggregates[key] = Aggregate(at, offset, at, offset, latest=Latest(at, offset, WallTimeMs(at)))
            aggregates[key].add(amount)
            aggregates[key].count = 1
            self._next_offset += 1
        end = start + SIZE_MS
        mark = EventTimeMs(T0 + (end if watermark is None else watermark))
        return WindowClosed(self._clock, TumblingWindow(T0 + start, T0 + end), mark, aggregates)

    def abort(self, *closed: WindowClosed) -> None:
        """Judge these windows in a txn that is aborted."""
        self.memory.judge(closed, None, lambda _: None)
        self.memory.dropped()

    def commit(self, *closed: WindowClosed) -> list[Alert]:
        """Judge these windows in one txn that is committed; returns its alerts."""
        found = self.memory.judge(closed, None, lambda _: None)
        for detector, key, packed in self.memory.changes():
            if packed is None:
                del self.topic[detector, key]
            else:
                self.topic[detector, key] = packed
        self.memory.committed()
        self.alerts += found.alerts
        return found.alerts

    def see(self, start: int, watermark: int | None = None, /, **sums: float) -> list[Alert]:
        """Commit one window of these sums."""
        return self.commit(self.window(start, watermark, **sums))

    def restarted(self, *detectors: ConfiguredDetector, **more: Any) -> Self:  # noqa: ANN401
        """Another owner, which reads the state topic back."""
        other = type(self)(*(detectors or self._detectors), clock=self._clock, **{**self._more, **more})
        other.topic = dict(self.topic)
        other._next_offset = self._next_offset
        states: dict[str, dict[str, bytes]] = {}
        for (detector, key), packed in self.topic.items():
            states.setdefault(detector, {})[key] = packed
        other.not_kept = other.memory.restore(states)
        return other

    not_kept: Any = None


def statuses(alerts: list[Alert]) -> list[tuple[str, str | None]]:
    """Key and status of each alert."""
    return [(alert.transaction_id, alert.status) for alert in alerts]
