"""Silences by the wall clock: of keys, of a partition, of the topic.

Our own absence is no silence. So silence counts from the first time that the partition was read to its end after its
assignment, and a deadline is judged only once everything has been read that was in the partition after the deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from service.core.detectors.inactivity import Inactivity, LastEvent
from service.core.memory.alerts import Judgement
from service.core.memory.table import Table
from service.core.model import Aggregate, EventTimeMs, Offset, WallTimeMs

WHOLE: Final = ""
"""The key of the state of a partition, or of the topic."""
LOOK_EVERY_MS: Final = 1_000
"""The time between questions for the ends of partitions."""
REFRESH: Final = 200
"""How many deadlines one turn may compare with the states: less than a millisecond."""


class WallSilences:
    """The inactivity detectors of one partition that go by the wall clock."""

    def __init__(self, tables: Sequence[Table]) -> None:
        """``tables`` are those of these detectors."""
        self._keys: Final = [_ByKey(one) for one in tables if _detector(one).scope == "key"]
        self._wholes: Final = [_Whole(one) for one in tables if _detector(one).scope == "partition"]
        self._topics: Final = [_Whole(one) for one in tables if _detector(one).scope == "topic"]
        self.any: Final = bool(tables)
        self._counts_from_ms: WallTimeMs | None = None
        """When silence began to count; None before the first catch-up."""
        self._arrival_ms: WallTimeMs | None = None
        """When the last new record came to this owner."""
        self._read_to_ms: WallTimeMs | None = None
        """Everything that was in the partition at this time has been read."""
        self._event_ms: EventTimeMs | None = None
        self._offset: Offset | None = None
        self._topic_asked_ms = 0
        self._waited_ms = 0

    # ---- what the task notes --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to count: the partition was assigned, or is read again from its committed offset."""
        self._counts_from_ms = self._arrival_ms = self._read_to_ms = None
        self._waited_ms = 0
        for one in (*self._wholes, *self._topics):
            one.begin()

    def good_record(self, event_ms: EventTimeMs, offset: Offset) -> None:
        """Note the newest record that could be decoded."""
        self._event_ms, self._offset = event_ms, offset

    def arrived(self, now_ms: WallTimeMs) -> None:
        """Note that new records came. After a silence of the whole partition, that of its keys counts from here on."""
        if self._counts_from_ms is not None:
            for key in self._keys:
                key.resume_after_pause(now_ms, self._heard_ms())
        self._arrival_ms = now_ms
        for one in self._wholes:
            one.moved(LastEvent(self._event_ms, self._offset, now_ms))

    def at_end(self, asked_ms: WallTimeMs) -> None:
        """Note that everything that was in the partition at ``asked_ms`` has been read."""
        if self._counts_from_ms is None:
            self._counts_from_ms = asked_ms
        self._read_to_ms = asked_ms

    def wants_topic(self, now_ms: WallTimeMs) -> bool:
        """Whether the ends of all partitions should be asked for now; at most once in LOOK_EVERY_MS."""
        if not self._topics or 0 <= now_ms - self._topic_asked_ms < LOOK_EVERY_MS:
            return False
        self._topic_asked_ms = now_ms
        return True

    def topic_ends(self, asked_ms: WallTimeMs, ends: int) -> None:
        """Note the sum of the end offsets of all partitions at ``asked_ms``."""
        for one in self._topics:
            one.look(asked_ms, LastEvent(self._event_ms, self._offset, asked_ms, ends=ends))

    # ---- what comes up --------------------------------------------------------------------------------------

    def waits(self, now_ms: WallTimeMs) -> bool:
        """Whether it has to be known that everything up to now has been read; at most once in LOOK_EVERY_MS."""
        if not (self._keys or self._wholes) or 0 <= now_ms - self._waited_ms < LOOK_EVERY_MS:
            return False
        if self._counts_from_ms is not None and (self.due(self._read_to_ms) or not self.due(now_ms)):
            return False
        self._waited_ms = now_ms
        return True

    @property
    def has_due(self) -> bool:
        """Whether there is a silence to report."""
        return self.due(self._read_to_ms) or any(one.is_due(one.looked_ms, one.first_look_ms) for one in self._topics)

    def due(self, at_ms: WallTimeMs | None) -> bool:
        """Whether a deadline of a key or of the partition is not later than ``at_ms``."""
        from_ms = self._counts_from_ms
        if at_ms is None or from_ms is None:
            return False
        heard_ms = self._heard_ms()
        return any(one.is_due(at_ms, from_ms) for one in self._wholes) or any(
            not one.is_paused(at_ms, heard_ms) and one.is_due(at_ms, from_ms) for one in self._keys
        )

    def report(
        self,
        watermark_ms: EventTimeMs | None,
        open_aggregate: Callable[[str], Aggregate | None],
        found: Judgement,
    ) -> None:
        """Report the silences that have lasted long enough, and stage what was noted.

        ``open_aggregate`` returns the newest aggregate of a key in the open windows.
        """
        from_ms, to_ms = self._counts_from_ms, self._read_to_ms
        for whole in (*self._wholes, *self._topics):
            whole.stage()
        if from_ms is not None and to_ms is not None:
            for key in self._keys:
                if not key.is_paused(to_ms, self._heard_ms()):
                    key.report(to_ms, from_ms, watermark_ms, open_aggregate, found)
            for whole in self._wholes:
                if whole.is_due(to_ms, from_ms):
                    whole.report(watermark_ms, found)
        for whole in self._topics:
            if whole.is_due(whole.looked_ms, whole.first_look_ms):
                whole.report(watermark_ms, found)

    def _heard_ms(self) -> int:
        """When the partition was last not silent, as far as this owner knows."""
        return max(self._counts_from_ms or 0, self._arrival_ms or 0)


def _detector(table: Table) -> Inactivity:
    detector = table.silence
    assert detector is not None  # noqa: S101 - only inactivity detectors come here
    return detector


class _ByKey:
    """Silences of the keys of a partition."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._detector = _detector(table)
        self._after_ms = self._detector.after_ms
        self._resumed_ms = 0
        """When the partition was last heard of after a silence as long as that of a key."""

    def is_paused(self, at_ms: int, heard_ms: int) -> bool:
        """Whether the whole partition is silent: that is one outage, and not one of each key."""
        return at_ms - heard_ms >= self._after_ms

    def resume_after_pause(self, now_ms: int, heard_ms: int) -> None:
        """Count silences from now on, if the whole partition was silent."""
        if self.is_paused(now_ms, heard_ms):
            self._resumed_ms = now_ms

    def is_due(self, at_ms: int, from_ms: int) -> bool:
        """Whether the earliest deadline is not later than ``at_ms``."""
        return self._table.has_silence(at_ms, REFRESH, lambda state: self._deadline_ms(state, from_ms))

    def report(
        self,
        to_ms: int,
        from_ms: int,
        watermark_ms: EventTimeMs | None,
        open_aggregate: Callable[[str], Aggregate | None],
        found: Judgement,
    ) -> None:
        """Report each key whose deadline is not later than ``to_ms``."""

        def open_event(key: str) -> LastEvent | None:
            aggregate = open_aggregate(key)
            return None if aggregate is None else self._detector.last_event(aggregate)

        self._table.expire_silences(
            to_ms, lambda state: self._deadline_ms(state, from_ms), watermark_ms, found, open_event
        )

    def _deadline_ms(self, state: LastEvent, from_ms: int) -> int:
        return max(state.at_ms, from_ms, self._resumed_ms) + self._after_ms


class _Whole:
    """The silence of a partition or of the topic."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._detector = _detector(table)
        self._noted: LastEvent | None = None
        """The last event that this owner has seen; None: the committed state has it."""
        self.first_look_ms: WallTimeMs | None = None
        self.looked_ms: WallTimeMs | None = None

    def begin(self) -> None:
        """Forget what was noted: only what is committed counts."""
        self._noted = self.first_look_ms = self.looked_ms = None

    def _last(self) -> LastEvent | None:
        if self._noted is not None:
            return self._noted
        entry = self._table.states.get(WHOLE)
        return None if entry is None else entry.state

    def moved(self, event: LastEvent) -> None:
        """Note an event."""
        self._noted = event

    def look(self, asked_ms: WallTimeMs, seen: LastEvent) -> None:
        """Note the topic's ends: they have moved since the last look, or they have not."""
        self.looked_ms = asked_ms
        if self.first_look_ms is None:
            self.first_look_ms = asked_ms
        last = self._last()
        if last is None or last.ends is None:
            if seen.ends:
                self._noted = seen
        else:
            newest = last if seen.offset is None else seen  # of partition 0's own records
            moved = seen if last.ends != seen.ends else last
            self._noted = replace(moved, event_ms=newest.event_ms, offset=newest.offset)

    def is_due(self, at_ms: int | None, from_ms: int | None) -> bool:
        """Whether there is a silence at ``at_ms`` that was not reported; it counts from ``from_ms`` at the earliest."""
        last = self._last()
        if last is None or last.reported or at_ms is None or from_ms is None:
            return False
        return at_ms >= max(last.at_ms, from_ms) + self._detector.after_ms

    def stage(self) -> None:
        """Stage the last event."""
        if self._noted is not None:
            self._table.states.put(WHOLE, self._noted.event_ms or 0, self._noted, None)

    def report(self, watermark_ms: EventTimeMs | None, found: Judgement) -> None:
        """Report the silence."""
        last = self._last()
        assert last is not None  # noqa: S101 - it is due
        self._noted = self._table.report_silence(WHOLE, last, last.event_ms or 0, watermark_ms, found)
