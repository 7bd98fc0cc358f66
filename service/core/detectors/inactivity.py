"""The inactivity detector: something that has been seen had nothing for a while. Reported once for each silence."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from service.core.detectors import KeyWindow, Silence
from service.core.model import Aggregate, EventTimeMs, Offset

Scope = Literal["key", "partition", "topic"]
SilenceClock = Literal["event", "wall"]


class LastEvent(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The last event of a key, a partition or the topic; times in epoch milliseconds."""

    event_ms: EventTimeMs | None
    """Its event time; None where no record could be read."""
    offset: Offset | None
    """Where it is in its partition."""
    at_ms: int
    """When it was: by ``event`` its event time, by ``wall`` the wall clock at its arrival."""
    reported: bool = False
    """Whether the silence after it was reported."""
    ends: int | None = None
    """For the topic: the sum of its partitions' end offsets."""


class Inactivity:
    """A silence is an anomaly. The task keeps the deadlines, because no window of a silent key closes.

    ``wall`` deadlines are judged by service.core.memory.silences, since they need to know what has been read.
    """

    state_type: Final = LastEvent

    def __init__(self, *, after_ms: int, scope: Scope = "key", clock: SilenceClock = "event") -> None:
        """``after_ms`` is how long nothing came; ``partition`` and ``topic`` go by the wall clock only."""
        if scope != "key" and clock != "wall":
            raise ValueError(f"scope {scope} needs clock wall")
        self.after_ms: Final = after_ms
        self.scope: Final = scope
        self.clock: Final = clock
        self.state_kind: Final = f"inactivity {scope} {clock}"

    def judge(self, state: LastEvent | None, window: KeyWindow) -> tuple[LastEvent | None, None]:
        """Note a key's last event. A window never holds a finding; silent() makes those."""
        last = self.last_event(window.aggregate)
        return (state if state is not None and self._is_known(state, last) else last), None

    def _is_known(self, state: LastEvent, last: LastEvent) -> bool:
        """Whether an event is not newer: it is late, or by ``wall`` was read again after a restart.

        A topic that was created again has small offsets again, with newer event times.
        """
        if self.clock == "event":
            return last.at_ms <= state.at_ms
        return (last.offset or 0) <= (state.offset or 0) and (last.event_ms or 0) <= (state.event_ms or 0)

    def last_event(self, aggregate: Aggregate) -> LastEvent:
        """The last event of a key in a window."""
        latest = aggregate.latest
        assert latest is not None, "AggregateDetail.latest is off"  # noqa: S101
        if self.clock == "wall":
            return LastEvent(aggregate.max_timestamp, aggregate.last_offset, latest.arrived_ms)
        return LastEvent(aggregate.max_timestamp, latest.offset, aggregate.max_timestamp)

    def arms(self, before: LastEvent | None, after: LastEvent) -> bool:
        """Whether a deadline begins: at the first event, and at the first one after a silence that was reported."""
        return not after.reported and (before is None or before.reported)

    def deadline_ms(self, state: LastEvent) -> int:
        """When the silence after this event is long enough."""
        return state.at_ms + self.after_ms

    def silent(self, state: LastEvent, since_ms: int | None = None) -> tuple[LastEvent, Silence]:
        """Report the silence after this event; its window begins at ``since_ms``, or at the event."""
        start_ms = state.at_ms if since_ms is None else since_ms
        silence = Silence(self.after_ms, start_ms, state.event_ms, state.offset, self.clock)
        return msgspec.structs.replace(state, reported=True), silence
