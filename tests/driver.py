"""A partition's task driven by hand: records in, effects out, and a wall clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

from service.core.detectors import ConfiguredDetector
from service.core.detectors.threshold import Threshold
from service.core.memory.alerts import Judgement, Place
from service.core.memory.partition import Memory
from service.core.model import (
    Accepted,
    ClockName,
    EventTimeMs,
    Filtered,
    LatePolicy,
    Offset,
    Partition,
    Progress,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.rules import TaskRules
from service.core.task import PartitionTask
from service.core.window import SteadyClock

T0: Final = 1_715_392_800_000
"""2024-05-11 02:00:00 UTC, a window's start for every size used here: event and wall times count from it."""


def rules(**changed: Any) -> TaskRules:  # noqa: ANN401
    """The documented defaults, with changes."""
    defaults: dict[str, Any] = {
        "clock": ClockName.PROCESSING,
        "window_size_ms": 10_000,
        "lateness_ms": 1_000,
        "idle_after_ms": 30_000,
        "max_future_ms": 300_000,
        "late_policy": LatePolicy.INCLUDE,
        "margin_ms": 1_000,
        "flush_after_ms": 0,
    }
    return TaskRules(**{**defaults, **changed})


LIMIT: Final = (ConfiguredDetector("threshold", Threshold(Decimal(8000))),)
"""The default detector."""
PLACE: Final = Place("transactions", Partition(0))


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The part of an alert that most tests look at."""

    detector: str
    transaction_id: str
    limit: Decimal


@dataclass(frozen=True, slots=True)
class JudgedWindow(WindowClosed):
    """A closed window, and what the detectors found in it."""

    anomalies: list[Anomaly]


def judged(task: PartitionTask) -> list[JudgedWindow]:
    """Take a task's closed windows, and commit what the detectors find in them."""
    found = []
    for one in task.take_closed():
        alerts = list(task.judge([one], Judgement()))
        task.memory.committed()
        anomalies = [Anomaly(alert.detector, alert.transaction_id, Decimal(alert.facts.limit)) for alert in alerts]
        found.append(JudgedWindow(one.clock, one.window, one.watermark_ms, one.aggregates, anomalies))
    return found


def tx(at_ms: int, amount: float | Decimal = 1.0, key: str = "tx1") -> Transaction:
    """A transaction whose event time is ``at_ms`` after T0."""
    return Transaction(key, EventTimeMs(T0 + at_ms), amount)


class Driver:
    """Does what the loop does with one task. All times are milliseconds after T0."""

    def __init__(
        self,
        *,
        now: int = 0,
        watermark: int | None = None,
        next_offset: int = 0,
        detectors: tuple[ConfiguredDetector, ...] = LIMIT,
        **changed: Any,  # noqa: ANN401
    ) -> None:
        """Take over a partition at ``next_offset``; ``changed`` are rules other than the default ones."""
        self._clock = SteadyClock(changed.get("window_size_ms", 10_000))
        self.now_ms = self._clock.at(WallTimeMs(T0 + now))
        restored_ms = None if watermark is None else EventTimeMs(T0 + watermark)
        self.task = PartitionTask(
            rules(**changed), self.now_ms, Progress(Offset(next_offset), restored_ms), Memory(detectors, PLACE)
        )

    def at(self, now: int) -> Self:
        """Set the wall clock."""
        self.now_ms = self._clock.at(WallTimeMs(T0 + now))
        return self

    def read(self, *transactions: Transaction) -> Accepted:
        """Read one batch at the next offsets."""
        return self.read_at(range(self.task.next_offset, self.task.next_offset + len(transactions)), transactions)

    def read_mixed(self, records: Iterable[Transaction | int]) -> Accepted:
        """Read one batch with filtered records, which are only an event time, at the next offsets."""
        numbered = list(enumerate(records, self.task.next_offset))
        good = [(offset, one) for offset, one in numbered if isinstance(one, Transaction)]
        filtered = [
            Filtered(Offset(offset), EventTimeMs(T0 + one), self.now_ms)
            for offset, one in numbered
            if isinstance(one, int)
        ]
        accepted = self.read_at([offset for offset, _ in good], [one for _, one in good], filtered)
        if numbered:
            self.task.arrived(self.now_ms, Offset(numbered[-1][0] + 1))
        return accepted

    def read_at(
        self, offsets: Iterable[int], transactions: Iterable[Transaction], filtered: Sequence[Filtered] = ()
    ) -> Accepted:
        """Read one batch at these offsets."""
        taken = [Offset(offset) for offset in offsets]
        accepted = self.task.accept(
            self.now_ms, taken, list(transactions), lambda: [self.now_ms] * len(taken), filtered
        )
        if taken:
            self.task.arrived(self.now_ms, Offset(taken[-1] + 1))
        return accepted

    def tick(self, now: int) -> JudgedWindow | None:
        """Set the wall clock and let the task notice."""
        self.at(now).task.tick(self.now_ms)
        closed = judged(self.task)
        assert len(closed) < 2, "windows of the wall clock are over one by one"
        return closed[0] if closed else None

    def close(self, now: int) -> JudgedWindow:
        """Move the wall clock to where a window with records closes, and return that window."""
        closed = self.tick(now)
        assert closed is not None, "no window closed"
        return closed

    @property
    def watermark(self) -> int | None:
        """The watermark after T0, or None."""
        watermark_ms = self.task.watermark_ms
        return None if watermark_ms is None else watermark_ms - T0

    @property
    def idle(self) -> bool:
        """Whether the partition is idle now."""
        return self.task.idle(self.now_ms)
