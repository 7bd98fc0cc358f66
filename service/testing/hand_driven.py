"""One partition that a test drives by hand: records and times go in, alerts and states come out."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from service.app.detectors import configured, detail_for, rules_hash
from service.app.from_settings import task_rules
from service.core.detectors import ConfiguredDetector
from service.core.memory.alerts import Judgement, Place
from service.core.memory.failure import DetectorError
from service.core.memory.partition import Memory, Why
from service.core.memory.states import States
from service.core.model import (
    ClockName,
    EventTimeMs,
    Offset,
    Partition,
    Progress,
    SetAside,
    Transaction,
    TumblingWindow,
    WallTimeMs,
)
from service.core.task import PartitionTask
from service.core.window import SteadyClock, outside, window_at
from service.settings import Settings, load
from service.wire.alerts import alert_record
from service.wire.records import Source

Record = tuple[str, int, Decimal | float]
"""A transaction's id, its event time in epoch milliseconds, and its amount."""

DEFAULTS: Final[Mapping[str, str]] = MappingProxyType({})


class HandDrivenTask:
    """Partition 0 of the input, as one instance of the service has it. Nothing moves unless a method is called.

    The partition is always read to its end. All times are epoch milliseconds, UTC.
    """

    def __init__(
        self, *detectors: ConfiguredDetector, now_ms: int, settings: Mapping[str, str] | Path = DEFAULTS
    ) -> None:
        """Start an empty partition at ``now_ms`` of the wall clock.

        Args:
            detectors: what judges the windows; without any, the detectors of the settings.
            now_ms: the wall clock. A record that is further ahead of it than WATERMARK_MAX_FUTURE_MS is set aside.
            settings: the service's settings, as environment variables or as a TOML file.

        Raises:
            SettingsError: a setting is wrong, or a detector of the settings refuses its fields.
        """
        self.alerts: Final[list[dict[str, Any]]] = []
        """All alerts that were committed, as their JSON says it. A number with a point is a Decimal."""
        self.shadow_alerts: Final[list[dict[str, Any]]] = []
        """Those of detectors in shadow mode."""
        self.set_aside: Final[list[SetAside]] = []
        """The records that went to the late or the dead-letter topic, by offset and reason. The first offset is 0."""
        self.states: Final[dict[tuple[str, str], bytes]] = {}
        """What the state topic holds, by detector and id."""
        self.not_kept: Counter[Why] = Counter()
        """How many states the last restart() did not keep, by detector and reason."""
        self._records: list[Transaction] = []
        self._arrived_ms: list[WallTimeMs] = []
        self._committed = Progress(Offset(0), None)
        self._pending: list[SetAside] = []
        self._read_in: TumblingWindow | None = None
        """The window of the wall clock in which records were last read."""
        self._configure(detectors, settings)
        self._clock = SteadyClock(self._rules.window_size_ms)
        self._now_ms = self._clock.at(WallTimeMs(now_ms))
        self._start()

    # ---- what comes in --------------------------------------------------------------------------------------

    def read(self, *records: Record) -> None:
        """Read these records in one batch, at the present time."""
        first = len(self._records)
        self._records += [Transaction(key, EventTimeMs(time_ms), amount) for key, time_ms, amount in records]
        self._arrived_ms += [self._now_ms] * len(records)
        self._feed(first)

    def at(self, now_ms: int) -> None:
        """Set the wall clock. This closes the windows whose end has passed by it."""
        self._now_ms = self._clock.at(WallTimeMs(now_ms))
        self._task.tick(self._now_ms)
        self._look_at_end()

    def replay(self, *records: Record) -> list[dict[str, Any]]:
        """Read each record at its own time, and commit whenever the service would; returns the new alerts.

        By ``processing`` the last window is still open afterwards: at() and commit() end it.
        """
        first = len(self.alerts)
        for record in records:
            self.at(max(record[1], self._now_ms))
            if not self._window_is_open:
                self.commit()
            self.read(record)
            if not self._window_is_open:
                self.commit()
        return self.alerts[first:]

    # ---- what comes out -------------------------------------------------------------------------------------

    def commit(self) -> list[dict[str, Any]]:
        """Let the detectors judge the closed windows, and commit; returns the new alerts, without the shadow ones.

        Raises:
            DetectorError: a detector raised an exception. Nothing was committed, and everything is read again.
            ValueError: a window of the wall clock is open. The service commits at its end.
        """
        if self._window_is_open:
            raise ValueError("a window of the wall clock is open: set the clock to its end first, with at()")
        try:
            found = list(self._task.judge(self._task.take_closed(), Judgement()))
        except DetectorError:
            self._rewind()
            raise
        first = len(self.alerts)
        for alert in found:
            value = alert_record("alerts", _SOURCE, alert, self._now_ms, self._rules_hash).value
            assert value is not None  # noqa: S101 - an alert is no tombstone
            payload = json.loads(value, parse_float=Decimal)
            (self.shadow_alerts if alert.shadow else self.alerts).append(payload)
        for detector, transaction_id, packed in self._memory.changes():
            if packed is None:
                self.states.pop((detector, transaction_id), None)
            else:
                self.states[detector, transaction_id] = packed
        self._committed = self._task.progress()
        self._memory.committed()
        self.set_aside.extend(self._pending)
        self._pending = []
        return self.alerts[first:]

    def state(self, detector: str, transaction_id: str) -> Any:  # noqa: ANN401 - the detector's own type
        """What the detector of this name remembers of an id, as committed; None: nothing."""
        packed = self.states.get((detector, transaction_id))
        if packed is None:
            return None
        (own,) = (one.detector for one in self._detectors if one.name == detector)
        return States(own.state_type, "").unpack(packed).state

    @property
    def open_episodes(self) -> dict[str, int]:
        """How many episodes are open, by detector; only detectors with ``resolve_after`` have some."""
        return self._memory.open_episodes

    @property
    def watermark_ms(self) -> int | None:
        """The partition's watermark; None before the first record."""
        return self._task.watermark_ms

    # ---- what goes wrong ------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Let the detectors judge, and abort the txn: what was not committed is read again."""
        list(self._task.judge(self._task.take_closed(), Judgement()))
        self._rewind()

    def restart(self, *detectors: ConfiguredDetector, settings: Mapping[str, str] | Path | None = None) -> None:
        """Let the next owner take over: it reads back the states, and reads again what was not committed.

        It has the same detectors and settings, unless others are given.

        Raises:
            SettingsError: as in the constructor.
            UnknownStateError: a state does not fit the detector's ``state_type``.
        """
        if detectors or settings is not None:
            self._configure(detectors, self._settings if settings is None else settings)
        self._pending = []
        self._start()

    # ---- inside ---------------------------------------------------------------------------------------------

    def _configure(self, detectors: tuple[ConfiguredDetector, ...], settings: Mapping[str, str] | Path) -> None:
        self._settings = settings
        loaded = load(settings, {}) if isinstance(settings, Path) else load(Path(os.devnull), settings)
        values: Settings = loaded.settings
        self._detectors = detectors or configured(values)
        self._rules_hash = None if detectors else rules_hash(values)
        self._rules = task_rules(values, detail_for(self._detectors))
        self._forget_after_ms = values.detect.forget_after_ms

    def _start(self) -> None:
        self._memory = Memory(self._detectors, _PLACE, forget_after_ms=self._forget_after_ms)
        by_detector: dict[str, dict[str, bytes]] = defaultdict(dict)
        for (detector, transaction_id), packed in self.states.items():
            by_detector[detector][transaction_id] = packed
        self.not_kept = self._memory.restore(by_detector)
        self._begin()

    def _rewind(self) -> None:
        self._pending = []
        self._memory.dropped()
        self._begin()

    def _begin(self) -> None:
        self._task = PartitionTask(self._rules, self._now_ms, self._committed, self._memory)
        self._read_in = None
        self._feed(self._committed.offset)

    @property
    def _window_is_open(self) -> bool:
        """Whether a window of the wall clock is open; only ``processing`` must not commit then."""
        read_in = self._read_in
        by_clock = self._rules.clock is ClockName.PROCESSING
        return by_clock and read_in is not None and not outside(read_in, self._now_ms)

    def _feed(self, first: int) -> None:
        """Pass the records from this offset on to the task."""
        records, arrived_ms = self._records[first:], self._arrived_ms[first:]
        if records:
            offsets = [Offset(first + number) for number in range(len(records))]
            accepted = self._task.accept(self._now_ms, offsets, records, lambda: arrived_ms)
            self._pending += accepted.set_aside
            self._task.arrived(self._now_ms, Offset(len(self._records)))
            self._read_in = window_at(self._now_ms, self._rules.window_size_ms)
        self._look_at_end()

    def _look_at_end(self) -> None:
        end = Offset(len(self._records))
        self._task.reached_end(end)
        self._task.at_end(self._now_ms, end)
        if self._memory.silences.any:
            self._memory.silences.topic_ends(self._now_ms, end)


_PLACE: Final = Place("transactions", Partition(0))
_SOURCE: Final = Source("transactions", Partition(0))
