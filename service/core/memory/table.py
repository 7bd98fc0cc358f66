"""One detector's part in a partition: it folds closed windows, reports findings and episodes, and forgets keys.

What ends without a record (an episode, a silence, a state) is judged whenever a window of the partition closes, after
the keys of that window. docs/decisions/time.md, "Deadlines are judged when a window closes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from service.core.detectors import ConfiguredDetector, Finding, KeyWindow
from service.core.detectors.inactivity import Inactivity, LastEvent
from service.core.detectors.looked_at import value_of
from service.core.memory.alerts import (
    Judgement,
    Place,
    alert_of,
    check_finding,
    facts_of,
    facts_of_silence,
    facts_without_finding,
)
from service.core.memory.deadlines import Deadlines
from service.core.memory.episodes import Episode, continued, opened, quieter, resolved
from service.core.memory.failure import DetectorError
from service.core.memory.states import Entry, States, UnwritableStateError
from service.core.model import ClockName, EventTimeMs, WindowClosed


class Table:
    """The states of one detector for the keys of one partition, and what it finds there."""

    def __init__(self, configured: ConfiguredDetector, place: Place, forget_after_ms: int) -> None:
        """Remember nothing yet; a key without an event for ``forget_after_ms`` is forgotten."""
        self.configured: Final = configured
        self._place = place
        detector = configured.detector
        # The peak of an open episode means something else, too, when the detector looks at something else.
        self.states: Final = States(detector.state_type, f"{detector.state_kind} of {configured.of.value}")
        self.silence: Final = detector if isinstance(detector, Inactivity) else None
        self._forget_after_ms = forget_after_ms
        self._to_forget = Deadlines()
        self._to_resolve = Deadlines()
        self._silences = Deadlines()
        self._judged_ms = 0
        """The watermark at the last expire()."""

    # ---- windows --------------------------------------------------------------------------------------------

    def fold(self, windows: Sequence[KeyWindow], clock: ClockName, found: Judgement) -> None:
        """Fold the keys of one closed window into their states."""
        if not windows:
            return
        name, detector, get = self.configured.name, self.configured.detector, self.states.get
        judge = self._in_one_call(windows) if hasattr(detector, "judge_all") else detector.judge
        for window in windows:
            entry = get(window.transaction_id)
            before, episode = (None, None) if entry is None else (entry.state, entry.episode)
            try:
                state, finding = judge(before, window)
                if finding is not None:
                    check_finding(finding)
            except Exception as error:  # a detector may be somebody's own code, and raise anything
                raise DetectorError.about(name, window, error) from error
            if finding is not None or episode is not None:
                episode = self._report(window, clock, finding, episode, found)
            try:
                self._remember(window, entry, state, episode)
            except UnwritableStateError as error:
                raise DetectorError.about(name, window, error) from error

    def _in_one_call(self, windows: Sequence[KeyWindow]) -> Callable[[Any, KeyWindow], tuple[Any, Finding | None]]:
        """Let a BatchDetector judge all windows; returns a function that gives out the results one by one."""
        detector = self.configured.detector
        entries = [self.states.get(window.transaction_id) for window in windows]
        try:
            prepared = [
                detector.prepare(None if entry is None else entry.state, window)
                for entry, window in zip(entries, windows, strict=True)
            ]
            findings = detector.judge_all([row for _, row in prepared])
            results = iter([(state, finding) for (state, _), finding in zip(prepared, findings, strict=True)])
        except Exception as error:  # a detector may be somebody's own code, and raise anything
            raise DetectorError.about(self.configured.name, windows[0], error) from error
        return lambda _state, _window: next(results)

    def _remember(self, window: KeyWindow, entry: Entry[Any] | None, state: Any, episode: Episode | None) -> None:  # noqa: ANN401
        key, seen_ms = window.transaction_id, window.aggregate.max_timestamp
        if state is None and episode is None:
            if entry is not None:
                self.states.forget(key)
            return
        if entry is not None and entry.seen_ms > seen_ms:
            seen_ms = EventTimeMs(entry.seen_ms)
        self.states.put(key, seen_ms, state, episode)
        if state is not None and (entry is None or entry.state is None):
            self._to_forget.add(seen_ms + self._forget_after_ms, key)
        if episode is not None and (entry is None or entry.episode is None):
            self._to_resolve.add(self._ends_ms(seen_ms, episode), key)
        if self.silence is not None and self.silence.arms(None if entry is None else entry.state, state):
            self._silences.add(self.silence.deadline_ms(state), key)

    # ---- findings -------------------------------------------------------------------------------------------

    def _report(
        self, window: KeyWindow, clock: ClockName, finding: Finding | None, episode: Episode | None, found: Judgement
    ) -> Episode | None:
        """Report a finding, or a window without one during an episode; returns the episode that is open then."""
        configured, key = self.configured, window.transaction_id
        if episode is not None and not configured.resolve_after:  # episodes were turned off
            found.alerts.append(resolved(episode, configured.name, key))
            episode = None
        if finding is None:
            return None if episode is None else self._quiet(window, clock, episode, found)
        found.count(configured)
        facts = facts_of(window, clock, configured.of, finding)
        value = value_of(configured.of, window.aggregate) if finding.value is None else finding.value
        if episode is not None:
            return continued(episode, configured, facts, finding, value)
        alert = alert_of(configured, self._place, key, facts)
        found.alerts.append(alert)
        if not configured.resolve_after:
            return None
        return opened(alert, finding, value)

    def _quiet(self, window: KeyWindow, clock: ClockName, episode: Episode, found: Judgement) -> Episode | None:
        configured = self.configured
        episode = quieter(episode)
        if episode.quiet < configured.resolve_after:
            return episode
        value = value_of(configured.of, window.aggregate)
        facts = facts_without_finding(window, clock, configured.of, value, episode.last.limit)
        found.alerts.append(resolved(episode, configured.name, window.transaction_id, facts))
        return None

    # ---- what ends without a record -------------------------------------------------------------------------

    def expire(self, closed: WindowClosed, found: Judgement) -> None:
        """Report silences by event time, end episodes and forget keys, as of this window's close."""
        watermark_ms = self._judged_ms = closed.watermark_ms
        silence_ms = closed.window.end_ms if closed.clock is ClockName.EVENT else watermark_ms
        if self.silence is not None and self.silence.clock == "event":
            self.expire_silences(silence_ms, self.silence.deadline_ms, watermark_ms, found)
        for key in self._to_resolve.take(watermark_ms):
            self._resolve_if_over(key, watermark_ms, found)
        for key in self._to_forget.take(watermark_ms):
            self._forget_if_old(key, watermark_ms)

    def expire_silences(
        self,
        to_ms: int,
        deadline_of: Callable[[Any], int],
        watermark_ms: EventTimeMs | None,
        found: Judgement,
        open_event: Callable[[str], Any] = lambda _: None,
    ) -> None:
        """Report each key whose deadline is not later than ``to_ms``.

        ``deadline_of`` returns the deadline by a state. ``open_event`` returns a key's state by the open windows.
        """
        for key in self._silences.take(to_ms):
            entry = self.states.get(key)
            if entry is None or entry.state.reported:
                continue
            last = open_event(key) or entry.state
            deadline_ms = deadline_of(last)
            if deadline_ms > to_ms:
                self._silences.add(deadline_ms, key)
                continue
            self.report_silence(key, last, entry.seen_ms, watermark_ms, found)

    def report_silence(
        self, key: str, last: LastEvent, seen_ms: int, watermark_ms: EventTimeMs | None, found: Judgement
    ) -> LastEvent:
        """Report the silence after the last event of a key, a partition or the topic; returns the state after it."""
        assert self.silence is not None  # noqa: S101 - only such a table has deadlines of silence
        state, silence = self.silence.silent(last)
        found.count(self.configured)
        facts = facts_of_silence(silence, watermark_ms)
        found.alerts.append(alert_of(self.configured, self._place, key, facts))
        self.states.put(key, seen_ms, state, None)
        return state

    def has_silence(self, to_ms: int, budget: int, deadline_of: Callable[[Any], int]) -> bool:
        """Whether a key's deadline is not later than ``to_ms``, as far as ``budget`` keys show; for expire_silences().

        Nothing may be staged.
        """
        return self._silences.is_due(to_ms, budget, lambda key: self._silence_ms(key, deadline_of))

    def refresh(self, budget: int) -> None:
        """Look at deadlines that come up in the second half of their span, ``budget`` keys of each kind at most."""
        if self.silence is not None and self.silence.clock == "event":
            deadline = self.silence.deadline_ms
            self._silences.refresh(
                self._judged_ms + self.silence.after_ms // 2, budget, lambda key: self._silence_ms(key, deadline)
            )
        self._to_forget.refresh(self._judged_ms + self._forget_after_ms // 2, budget, self._forget_ms)
        ahead_ms = self.configured.resolve_after_ms // 2
        self._to_resolve.refresh(self._judged_ms + ahead_ms, budget, self._resolve_ms)

    def _silence_ms(self, key: str, deadline_of: Callable[[Any], int]) -> int | None:
        entry = self.states.get(key)
        return None if entry is None or entry.state.reported else deadline_of(entry.state)

    def _resolve_ms(self, key: str) -> int | None:
        entry = self.states.get(key)
        return None if entry is None or entry.episode is None else self._ends_ms(entry.seen_ms, entry.episode)

    def _forget_ms(self, key: str) -> int | None:
        entry = self.states.get(key)
        return None if entry is None else entry.seen_ms + self._forget_after_ms

    def _resolve_if_over(self, key: str, watermark_ms: EventTimeMs, found: Judgement) -> None:
        entry = self.states.get(key)
        if entry is None or entry.episode is None:
            return
        ends_ms = self._ends_ms(entry.seen_ms, entry.episode)
        if ends_ms > watermark_ms:
            self._to_resolve.add(ends_ms, key)
            return
        found.alerts.append(resolved(entry.episode, self.configured.name, key))
        if entry.state is None:
            self.states.forget(key)
        else:
            self.states.put(key, entry.seen_ms, entry.state, None)

    def _ends_ms(self, seen_ms: int, episode: Episode) -> int:
        """When the watermark ends an episode: some time after its last anomalous window, or with its key.

        By ``processing`` and ``ingestion`` a window's end is no event time, so the watermark at its close counts.
        """
        last = episode.last
        window_ms = last.end_ms if last.clock == ClockName.EVENT else last.watermark or 0
        return min(window_ms + self.configured.resolve_after_ms, seen_ms + self._forget_after_ms)

    def _forget_if_old(self, key: str, watermark_ms: EventTimeMs) -> None:
        forget_ms = self._forget_ms(key)
        if forget_ms is None:
            return
        if forget_ms > watermark_ms:
            self._to_forget.add(forget_ms, key)
        else:
            self.states.forget(key)  # its episode has ended by the same deadline

    # ---- what is restored -----------------------------------------------------------------------------------

    def restore(self, states: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Keep states that were committed; returns those of another kind, which are not kept.

        Raises:
            UnknownStateError: another version has written a state, or it is damaged.
        """
        to_forget, to_resolve, silences = [], [], []
        refused = []
        for key, packed in states:
            entry = self.states.restore(key, packed)
            if entry is None:
                refused.append((key, packed))
                continue
            if entry.state is not None and (self.silence is None or self.silence.scope == "key"):
                to_forget.append((entry.seen_ms + self._forget_after_ms, key))
                if self.silence is not None and not entry.state.reported:
                    silences.append((self.silence.deadline_ms(entry.state), key))
            if entry.episode is not None:
                to_resolve.append((self._ends_ms(entry.seen_ms, entry.episode), key))
        self._to_forget.restore(to_forget)
        self._to_resolve.restore(to_resolve)
        self._silences.restore(silences)
        return refused

    # ---- the txn --------------------------------------------------------------------------------------------

    def committed(self) -> None:
        """Make what was staged the state."""
        self.states.committed()
        for deadlines in (self._to_forget, self._to_resolve, self._silences):
            deadlines.committed()

    def dropped(self) -> None:
        """Forget what was staged."""
        self.states.dropped()
        for deadlines in (self._to_forget, self._to_resolve, self._silences):
            deadlines.dropped()
