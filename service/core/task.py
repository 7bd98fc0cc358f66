"""Everything that txwatch keeps of one input partition."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.clocks import Appended, Over, WindowClock
from service.core.clocks.by_name import clock_for
from service.core.model import Accepted, EventTimeMs, Offset, Progress, Transaction, WallTimeMs, WindowClosed
from service.core.rules import TaskRules
from service.core.watermark import BoundedOutOfOrderness, Idleness


class PartitionTask:
    """Watermark, open windows and next offset of one partition. It moves as a whole or is dropped as a whole.

    What an earlier owner read ahead of the committed offset is read again, by the rules of that time and without a
    verdict: its late and bad records have been counted and set aside. From ``read`` on everything is new.
    """

    def __init__(self, rules: TaskRules, now_ms: WallTimeMs, progress: Progress) -> None:
        """Take over where the last owner committed."""
        ahead = progress.ahead
        self.next_offset = progress.offset
        self.read = progress.offset if ahead is None else max(progress.offset, ahead.read)
        """Nothing below it is new."""
        self._rules = rules
        self._idleness = Idleness(rules.idle_after_ms, now_ms)
        then = rules if ahead is None else rules.as_of(ahead)
        self._again = ahead is not None
        self._shown_ms = None if ahead is None else ahead.watermark_ms
        there_ms = progress.watermark_ms if ahead is None or progress.offset < ahead.read else ahead.watermark_ms
        self._watermark = BoundedOutOfOrderness(then.lateness_ms, there_ms)
        self._clock: WindowClock = clock_for(then, self._watermark, ahead)
        self._other_rules = then != rules
        self._move(progress.offset)

    @property
    def watermark_ms(self) -> EventTimeMs | None:
        """The watermark, or None where no record has been seen. It does not go back while records are read again."""
        value_ms = self._watermark.value_ms
        return value_ms if self._shown_ms is None else max(value_ms or self._shown_ms, self._shown_ms)

    @property
    def position(self) -> Offset:
        """How far the partition has been read, by this owner or an earlier one."""
        return max(self.next_offset, self.read)

    @property
    def open_keys(self) -> int:
        """How many keys the open windows hold."""
        return self._clock.open_keys

    @property
    def has_windows_of_old_rules(self) -> bool:
        """Whether windows of other rules are being read again, to be closed as they are."""
        return self._again and self._other_rules

    @property
    def has_closed(self) -> bool:
        """Whether there are windows that are over."""
        return bool(self._clock.over)

    @property
    def to_commit(self) -> bool:
        """Whether there are windows that are over and need not wait for others."""
        return bool(self._clock.over) and self._clock.at_once

    def caught_up(self) -> bool:
        """Whether everything in the partition has been read."""
        return self._idleness.caught_up(self.next_offset)

    def idle(self, now_ms: WallTimeMs) -> bool:
        """Whether the partition is caught up and silent, and so no longer holds back the service's watermark."""
        return self._idleness.idle(self.next_offset, now_ms)

    def arrived(self, now_ms: WallTimeMs, next_offset: Offset) -> None:
        """Records up to ``next_offset`` came at ``now_ms``, good or bad; accept() has had the good ones."""
        self._idleness.last_arrival_ms = now_ms
        self._move(next_offset)

    def reached_end(self, end_offset: Offset) -> None:
        """There is nothing below ``end_offset`` that was not read (transaction markers take up offsets, too)."""
        self._idleness.reached = end_offset
        self._move(max(self.next_offset, end_offset))

    def _move(self, next_offset: Offset) -> None:
        self.next_offset = next_offset
        if self._again and next_offset >= self.read:
            self._again, self._shown_ms = False, None
            if self._other_rules:
                self._change_rules()

    def _change_rules(self) -> None:
        """Close what was open under the rules of an earlier owner, and go on by ours, from the same watermark."""
        self._clock.close_open()
        over = self._clock.over
        self._watermark = BoundedOutOfOrderness(self._rules.lateness_ms, self._watermark.value_ms)
        self._clock = clock_for(self._rules, self._watermark)
        self._clock.over += over

    def accept(
        self, now_ms: WallTimeMs, offsets: Sequence[Offset], transactions: Sequence[Transaction], appended: Appended
    ) -> Accepted:
        """Judge each record by the watermark it meets, then add it to its window.

        Raises:
            AssertionError: an open window of the wall clock is over; whoever drives the task ticks it first.
        """
        if not self._again:
            return self._clock.accept(now_ms, offsets, transactions, appended)
        known = sum(1 for offset in offsets if offset < self.read)
        self._clock.accept(now_ms, offsets[:known], transactions[:known], lambda: appended()[:known])
        if known == len(transactions):
            return Accepted(0, [])
        self._move(self.read)
        return self._clock.accept(now_ms, offsets[known:], transactions[known:], lambda: appended()[known:])

    def tick(self, now_ms: WallTimeMs) -> None:
        """Close the windows that the wall clock alone closes, with no new record needed for it."""
        self._clock.tick(now_ms)

    def waits_for_end(self, now_ms: WallTimeMs) -> bool:
        """Whether a window would be over if it were sure that everything up to now has been read."""
        return self._clock.waits_for_end(now_ms, self._idleness.last_arrival_ms) and self.caught_up()

    def at_end(self, now_ms: WallTimeMs, end_offset: Offset) -> None:
        """At ``now_ms`` or later the partition ended at ``end_offset``."""
        if self.next_offset >= end_offset and not self._again:
            self._clock.at_end(now_ms, self._idleness.last_arrival_ms)

    def take_closed(self) -> list[WindowClosed]:
        """Hand out the windows that are over, each once, earliest first, with what the detectors say."""
        over, self._clock.over = self._clock.over, []
        return [self._judged(one) for one in over]

    def _judged(self, over: Over) -> WindowClosed:
        anomalies = [
            anomaly
            for transaction_id, aggregate in over.aggregates.items()
            for detector in self._rules.detectors
            if (anomaly := detector.judge(transaction_id, aggregate)) is not None
        ]
        return WindowClosed(over.clock, over.window, over.watermark_ms, over.aggregates, anomalies)

    def progress(self) -> Progress:
        """What to commit together with everything that take_closed() has handed out.

        Raises:
            AssertionError: a window of the wall clock is open.
        """
        return self._clock.progress(self.next_offset)
