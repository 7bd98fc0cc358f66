"""The state of one input partition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Final

from service.core.clocks import AppendTimes, OpenWindow, WindowClock
from service.core.clocks.by_name import clock_for
from service.core.memory.alerts import Alert, Judgement
from service.core.memory.partition import Memory
from service.core.model import (
    Accepted,
    EventTimeMs,
    Filtered,
    Offset,
    Progress,
    SetAside,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.rules import TaskRules
from service.core.watermark import BoundedOutOfOrderness, Idleness

NONE_FILTERED: Final[Sequence[Filtered]] = ()


class PartitionTask:
    """Watermark, open windows and next offset of one partition. A revoke drops all of it.

    What the detectors remember is not the task's own: it outlives a rewind, which makes another task.

    Records that an earlier owner read beyond the committed offset are read again by that owner's rules. They are not
    counted or set aside a second time. Records from ``read`` on are new.
    """

    def __init__(self, rules: TaskRules, now_ms: WallTimeMs, progress: Progress, memory: Memory) -> None:
        """Start where the last owner committed, with the states that were committed then."""
        self.memory = memory
        self._awaited_end: tuple[Offset, WallTimeMs] | None = None
        """An end that has not been reached yet, and when it was asked for: only silences wait for it."""
        ahead = progress.ahead
        self.next_offset = progress.offset
        self.read = progress.offset if ahead is None else max(progress.offset, ahead.read)
        """The first offset that no owner has read."""
        self._rules = rules
        self._idleness = Idleness(rules.idle_after_ms, now_ms)
        earlier = rules if ahead is None else rules.of_earlier_owner(ahead)
        self._rereading = ahead is not None
        self._read_watermark_ms = None if ahead is None else ahead.watermark_ms
        restored_ms = progress.watermark_ms if ahead is None or progress.offset < ahead.read else ahead.watermark_ms
        self._watermark = BoundedOutOfOrderness(earlier.lateness_ms, restored_ms)
        self._clock: WindowClock = clock_for(earlier, self._watermark, ahead)
        self._rules_changed = earlier != rules
        self._advance(progress.offset)

    @property
    def watermark_ms(self) -> EventTimeMs | None:
        """The watermark, or None before the first record. It does not go back while records are read again."""
        value_ms = self._watermark.value_ms
        return (
            value_ms
            if self._read_watermark_ms is None
            else max(value_ms or self._read_watermark_ms, self._read_watermark_ms)
        )

    @property
    def position(self) -> Offset:
        """How far the partition has been read, by this owner or an earlier one."""
        return max(self.next_offset, self.read)

    @property
    def open_keys(self) -> int:
        """How many keys the open windows hold."""
        return self._clock.open_keys

    def open_windows(self, most: int) -> list[OpenWindow]:
        """The windows that are open; at most ``most`` of them."""
        return self._clock.open_windows(most)

    @property
    def has_windows_of_old_rules(self) -> bool:
        """Whether records are being read again by other rules; their windows will be closed as they are."""
        return self._rereading and self._rules_changed

    @property
    def has_output(self) -> bool:
        """Whether there are closed windows, or silences to report."""
        return bool(self._clock.closed) or self.memory.has_due

    @property
    def to_commit(self) -> bool:
        """Whether there is such output that can be committed while windows are open."""
        return self._clock.commits_while_open and self.has_output

    def caught_up(self) -> bool:
        """Whether everything up to the partition's last known end has been read."""
        return self._idleness.caught_up(self.next_offset)

    def idle(self, now_ms: WallTimeMs) -> bool:
        """Whether the partition is caught up and silent. Then it no longer holds back the service's watermark."""
        return self._idleness.idle(self.next_offset, now_ms)

    def arrived(self, now_ms: WallTimeMs, next_offset: Offset) -> None:
        """Note that records below ``next_offset`` came at ``now_ms``, good and bad. accept() gets the good ones."""
        self._idleness.last_arrival_ms = now_ms
        if self.memory.silences.any and next_offset > self.read:
            self.memory.silences.arrived(now_ms)
        self._advance(next_offset)

    def reached_end(self, end_offset: Offset) -> None:
        """Note that every record below ``end_offset`` has been read. A txn marker takes up an offset, too."""
        self._idleness.reached = end_offset
        self._advance(max(self.next_offset, end_offset))

    def _advance(self, next_offset: Offset) -> None:
        self.next_offset = next_offset
        if self._awaited_end is not None and next_offset >= self._awaited_end[0]:
            self.memory.silences.at_end(self._awaited_end[1])
            self._awaited_end = None
        if self._rereading and next_offset >= self.read:
            self._rereading, self._read_watermark_ms = False, None
            if self._rules_changed:
                self._change_rules()

    def _change_rules(self) -> None:
        """Close the windows of the earlier owner's rules, and continue by ours from the same watermark."""
        self._clock.close_open()
        closed = self._clock.closed
        self._watermark = BoundedOutOfOrderness(self._rules.lateness_ms, self._watermark.value_ms)
        self._clock = clock_for(self._rules, self._watermark)
        self._clock.closed += closed

    def accept(
        self,
        now_ms: WallTimeMs,
        offsets: Sequence[Offset],
        transactions: Sequence[Transaction],
        append_times: AppendTimes,
        filtered: Sequence[Filtered] = NONE_FILTERED,
    ) -> Accepted:
        """Judge each record by the current watermark, then add it to its window.

        Args:
            now_ms: the wall clock.
            offsets: of the good records, as the next two.
            transactions: the good records.
            append_times: when the broker appended them.
            filtered: the batch's filtered records. Each advances the watermark at its place among the good ones.

        Raises:
            AssertionError: a window of the wall clock should have been closed; call tick() first.
        """
        if filtered:
            return self._accept_between(now_ms, offsets, transactions, append_times, filtered)
        if self.memory.silences.any and transactions and offsets[-1] >= self.read:
            self.memory.silences.good_record(transactions[-1].timestamp, offsets[-1])
        if not self._rereading:
            return self._clock.accept(now_ms, offsets, transactions, append_times)
        known = sum(1 for offset in offsets if offset < self.read)
        self._clock.accept(now_ms, offsets[:known], transactions[:known], lambda: append_times()[:known])
        if known == len(transactions):
            return Accepted(0, [])
        self._advance(self.read)
        return self._clock.accept(now_ms, offsets[known:], transactions[known:], lambda: append_times()[known:])

    def _accept_between(
        self,
        now_ms: WallTimeMs,
        offsets: Sequence[Offset],
        transactions: Sequence[Transaction],
        append_times: AppendTimes,
        filtered: Sequence[Filtered],
    ) -> Accepted:
        """Accept the runs of good records between filtered ones."""
        late, set_aside = 0, list[SetAside]()
        begin, count, times = 0, len(transactions), cache(append_times)
        for record in (*filtered, None):
            end = count if record is None else bisect_left(offsets, record.offset, begin)
            if begin < end:
                run = slice(begin, end)
                found = self.accept(now_ms, offsets[run], transactions[run], partial(_part, times, run))
                late += found.late
                set_aside += found.set_aside
                begin = end
            if record is not None:
                if self._rereading and record.offset >= self.read:
                    self._advance(self.read)
                self._clock.pass_by(now_ms, record)
        return Accepted(late, set_aside)

    def tick(self, now_ms: WallTimeMs) -> None:
        """Close the windows that the wall clock closes without a new record."""
        self._clock.tick(now_ms)

    def waits_for_end(self, now_ms: WallTimeMs) -> bool:
        """Whether a window will close, or a silence be found, once everything up to now is known to have been read."""
        if self._clock.waits_for_end(now_ms, self._idleness.last_arrival_ms) and self.caught_up():
            return True
        return self.memory.silences.any and self.memory.silences.waits(now_ms)

    def at_end(self, now_ms: WallTimeMs, end_offset: Offset) -> None:
        """Note that the partition ended at ``end_offset``, at ``now_ms`` or later."""
        if self._rereading:
            return
        if self.next_offset >= end_offset:
            self._clock.at_end(now_ms, self._idleness.last_arrival_ms)
            self.memory.silences.at_end(now_ms)
        elif self.memory.silences.any and self._awaited_end is None:
            self._awaited_end = end_offset, now_ms

    def take_closed(self) -> list[WindowClosed]:
        """Return the closed windows, each once, earliest first."""
        closed, self._clock.closed = self._clock.closed, []
        return closed

    def judge(self, closed: list[WindowClosed], found: Judgement) -> Iterator[Alert]:
        """Let the detectors judge windows that take_closed() returned, while they are being written.

        Raises:
            DetectorError: a detector raised an exception.
        """
        return self.memory.judge_each(closed, self.watermark_ms, self._clock.open_aggregate, found)

    def progress(self) -> Progress:
        """Return what to commit together with the windows that take_closed() has returned.

        Raises:
            AssertionError: a window of the wall clock is open.
        """
        progress, memory = self._clock.progress(self.next_offset), self.memory
        if memory.partitions is None and memory.rules is None:
            return progress
        return replace(progress, partitions=memory.partitions, rules=memory.rules)


def _part(times: AppendTimes, run: slice) -> Sequence[WallTimeMs]:
    return times()[run]
