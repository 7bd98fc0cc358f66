"""One configuration over one history: what it finds, and the tallies that the report shows."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from service.core.detectors import ConfiguredDetector, KeyWindow
from service.core.memory.alerts import Alert, Judgement, Place
from service.core.memory.partition import Memory
from service.core.model import Offset, Partition, Reason, WallTimeMs, WindowClosed
from service.core.task import PartitionTask
from service.history.backtest.quality import Quality
from service.history.backtest.scoring import noted
from service.history.backtest.tallies import Bins, Keys, TopIds
from service.wire.alerts import alert_record
from service.wire.records import Source

MANY_CHANGES: Final = 1_000


class Reported:
    """From which offsets on the records of a partition are reported. Before --from they only warm up."""

    def __init__(self) -> None:
        """Report everything."""
        self._offsets: list[Offset] = []
        self._values: list[bool] = []

    def from_offset(self, offset: Offset, *, value: bool) -> None:
        """Note that records from this offset on are reported, or not."""
        if not self._values or self._values[-1] is not value:
            self._offsets.append(offset)
            self._values.append(value)

    def at(self, offset: Offset | None) -> bool:
        """Whether a window whose first record this is gets reported."""
        if not self._values or offset is None:
            return not self._values or self._values[-1]
        return self._values[max(0, bisect_right(self._offsets, offset) - 1)]

    @property
    def everything(self) -> bool:
        """Whether every record is reported."""
        return all(self._values)

    def forget_before(self, offset: Offset) -> None:
        """Forget what is before this offset, where there is much of it."""
        if len(self._values) > MANY_CHANGES:
            gone = max(0, bisect_right(self._offsets, offset) - 1)
            del self._offsets[:gone], self._values[:gone]


class Side:
    """Judges the windows that tasks have closed, as a checkpoint of the service does, and tallies what comes out."""

    def __init__(
        self,
        detectors: Sequence[ConfiguredDetector],
        topic: str,
        *,
        rules: str | None,
        forget_after_ms: int,
        labelled: bool = False,
        scored: bool = False,
        write: Callable[[bytes], None] | None = None,
        on_alert: Callable[[Alert], None] = lambda _: None,
    ) -> None:
        """Begin with empty states.

        ``topic`` is the input's, and ``rules`` the hash of the detectors, both as alerts have them. ``scored``: note
        the score of each window. ``write`` gets each alert's payload, and ``on_alert`` each alert that is reported.
        """
        self.quality: Final = Quality(detectors, labelled=labelled)
        self.detectors: Final = tuple(detectors)
        self._watched = [noted(one, self._note) for one in detectors] if labelled or scored else list(detectors)
        self._topic = topic
        self._rules = rules
        self._forget_after_ms = forget_after_ms
        self._write = write
        self._on_alert = on_alert
        self._reported: dict[Partition, Reported] = {}
        self._partition = Partition(0)
        self.rejected: Counter[Reason] = Counter()
        self.late = self.filtered = self.windows = 0
        self.keys: Final = Keys()
        self.alerts: Final[Counter[str]] = Counter({one.name: 0 for one in detectors})
        """By detector, those of shadow detectors included."""
        self.top: Final = TopIds()
        self.over_time: Final = Bins()

    def memory(self, partition: Partition) -> Memory:
        """What the detectors remember of a partition: nothing yet."""
        return Memory(self._watched, Place(self._topic, partition), forget_after_ms=self._forget_after_ms)

    def reported(self, partition: Partition) -> Reported:
        """Which records of a partition are reported."""
        return self._reported.setdefault(partition, Reported())

    def judge(self, partition: Partition, task: PartitionTask, closed: list[WindowClosed], at_ms: WallTimeMs) -> None:
        """Judge the windows that take_closed() has returned; ``at_ms`` becomes the alerts' ``detected_at``.

        Raises:
            DetectorError: a detector raised an exception.
        """
        if not closed:
            return
        self._partition = partition
        reported, source = self.reported(partition), Source(self._topic, partition)
        self._count(closed, reported)
        for alert in task.judge(closed, Judgement()):
            if reported.at(alert.facts.first_offset):
                self._report(alert, source, at_ms)
        task.memory.committed()
        self.quality.judged(closed)
        reported.forget_before(task.progress().offset)

    def _count(self, closed: Iterable[WindowClosed], reported: Reported) -> None:
        everything = reported.everything
        for one in closed:
            keys = (
                one.aggregates
                if everything
                else [key for key, found in one.aggregates.items() if reported.at(found.first_offset)]
            )
            self.windows += len(keys)
            self.keys.add(keys)

    def _note(self, configured: ConfiguredDetector, window: KeyWindow, score: float | None, anomalous: bool) -> None:  # noqa: FBT001 - see Note
        if self.reported(self._partition).at(window.aggregate.first_offset):
            self.quality.note(configured, window, score, anomalous)

    def _report(self, alert: Alert, source: Source, at_ms: WallTimeMs) -> None:
        self.alerts[alert.detector] += 1
        if not alert.shadow:
            self.top.add(alert.transaction_id)
            self.over_time.add(alert.facts.start_ms)
            if alert.status != "resolved":
                self._on_alert(alert)
        if self._write is not None:
            self._write(alert_record("", source, alert, at_ms, self._rules).value or b"")
