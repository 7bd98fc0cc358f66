"""Windows by append time and by event time at each boundary, and what is committed of them."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.core.memory.partition import Memory
from service.core.model import (
    Accepted,
    ClockName,
    EventTimeMs,
    Filtered,
    LatePolicy,
    Offset,
    Progress,
    Reason,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.task import PartitionTask
from tests.driver import LIMIT, PLACE, T0, rules, tx

Sums = list[tuple[int, int, dict[str, tuple[float, int]]]]
"""Start, watermark at the close, and of each key the sum and how many were late; times after T0."""


class Partition:
    """A task by one of these clocks, driven by hand. All times are milliseconds after T0."""

    def __init__(self, clock: ClockName, progress: Progress | None = None, **changed: Any) -> None:  # noqa: ANN401
        """Take over where an earlier owner left."""
        usual = {"late_policy": LatePolicy.DIVERT} if clock is ClockName.EVENT else {}
        progress = progress or Progress(Offset(0), None)
        self.task = PartitionTask(
            rules(clock=clock, **{**usual, **changed}), WallTimeMs(T0), progress, Memory(LIMIT, PLACE)
        )

    def read(self, *records: Transaction, now: int = 0, appended: tuple[int, ...] | None = None) -> Accepted:
        """Read one batch, appended at these times, or now."""
        now_ms, first = WallTimeMs(T0 + now), self.task.next_offset
        offsets = [Offset(first + number) for number in range(len(records))]
        times = [WallTimeMs(T0 + each) for each in appended or (now,) * len(records)]
        accepted = self.task.accept(now_ms, offsets, list(records), lambda: times)
        self.task.arrived(now_ms, Offset(first + len(records)))
        return accepted

    def end(self, now: int) -> None:
        """Everything that is in the partition now has been read."""
        self.task.reached_end(self.task.next_offset)
        self.task.at_end(WallTimeMs(T0 + now), self.task.next_offset)

    def closed(self) -> Sums:
        """The windows that have closed since it was last asked."""
        return [_sums(one) for one in self.task.take_closed()]


def _sums(one: WindowClosed) -> tuple[int, int, dict[str, tuple[float, int]]]:
    keys = {key: (float(found.value()), found.late_count) for key, found in one.aggregates.items()}
    return one.window.start_ms - T0, one.watermark_ms - T0, keys


def by_event_time(progress: Progress | None = None, **changed: Any) -> Partition:  # noqa: ANN401
    """Windows of 10 s, 1 s of lateness."""
    return Partition(ClockName.EVENT, progress, **changed)


def by_append_time(progress: Progress | None = None, **changed: Any) -> Partition:  # noqa: ANN401
    """Windows of 10 s, a margin of 1 s."""
    return Partition(ClockName.INGESTION, progress, **changed)


@pytest.mark.parametrize("clock", [ClockName.EVENT, ClockName.INGESTION])
def test_a_batch_in_which_nothing_is_good_changes_nothing(clock: ClockName) -> None:
    partition = Partition(clock)
    assert Accepted(0, []) == partition.read()
    assert (0, None, []) == (partition.task.open_keys, partition.task.watermark_ms, partition.closed())


# ---- event time -------------------------------------------------------------------------------------------------


def test_the_watermark_closes_a_window_when_it_reaches_the_end_and_not_one_millisecond_before() -> None:
    partition = by_event_time()
    partition.read(tx(0), tx(10_999))
    assert [] == partition.closed()
    partition.read(tx(11_000))
    assert [(0, 10_000, {"tx1": (1.0, 0)})] == partition.closed()


def test_several_windows_are_open_at_once_and_each_record_is_in_its_own() -> None:
    partition = by_event_time(lateness_ms=30_000)
    partition.read(tx(0), tx(10_000, 2.0), tx(9_999, 4.0), tx(25_000, 8.0), tx(19_999, 16.0))
    assert (3, []) == (partition.task.open_keys, partition.closed())
    partition.read(tx(60_000))
    expected = [
        (0, 30_000, {"tx1": (5.0, 0)}),
        (10_000, 30_000, {"tx1": (18.0, 0)}),
        (20_000, 30_000, {"tx1": (8.0, 0)}),
    ]
    assert expected == partition.closed()


def test_a_late_record_counts_while_its_window_is_open_and_is_set_aside_afterwards() -> None:
    partition = by_event_time()
    accepted = partition.read(tx(9_000), tx(7_999, 2.0), tx(11_000), tx(9_999, 4.0))
    assert (2, [(Offset(3), Reason.LATE)]) == (accepted.late, [(one.offset, one.reason) for one in accepted.set_aside])
    assert [(0, 10_000, {"tx1": (3.0, 1)})] == partition.closed()


def test_sums_of_event_time_windows_are_exact() -> None:
    partition = by_event_time()
    partition.read(tx(0, Decimal("8000.00000000000000001")), tx(1, 0.1), tx(2, 4e13), tx(3, 4e13))
    partition.read(tx(4, Decimal("0.00000000000000002")), tx(11_000))
    (closed,) = partition.task.take_closed()
    assert Decimal("80000000008000.10000000000000003") == closed.aggregates["tx1"].value()


def test_nothing_is_flushed_before_the_silence_is_long_enough_or_where_nothing_is_open() -> None:
    partition = by_event_time(flush_after_ms=5_000)
    partition.end(20_000)
    assert [] == partition.closed()
    partition.read(tx(0), now=20_000)
    partition.end(24_999)
    assert [] == partition.closed()
    partition.end(25_000)
    assert [(0, -1_000, {"tx1": (1.0, 0)})] == partition.closed()


def test_a_record_of_a_flushed_window_is_late_though_the_watermark_has_not_passed_it() -> None:
    partition = by_event_time(flush_after_ms=5_000)
    partition.read(tx(5_000))
    partition.end(5_000)
    (aside,) = partition.read(tx(6_000), now=5_001).set_aside
    assert (Reason.LATE, 1) == (aside.reason, partition.task.next_offset - 1)
    assert "closed by the wall clock" in aside.why


def test_a_bound_that_a_clock_has_moved_does_not_hold_when_the_clock_is_set_back() -> None:
    """What was allowed by the clock of then stays allowed only for what was read then."""
    partition = by_event_time(max_future_ms=1_000)
    assert [] == partition.read(tx(60_000), now=60_000).set_aside
    accepted = partition.read(tx(60_500), tx(60_000), now=0)
    assert [Reason.TIMESTAMP_IN_FUTURE] * 2 == [one.reason for one in accepted.set_aside]
    assert [] == partition.read(tx(59_999), now=59_000).set_aside


def test_what_a_clock_that_was_set_back_refused_is_refused_also_when_it_is_read_again() -> None:
    first = by_event_time(max_future_ms=1_000)
    first.read(tx(60_000), now=60_000)
    assert [1] == [one.offset for one in first.read(tx(60_500), now=0).set_aside]
    second = by_event_time(first.task.progress(), max_future_ms=1_000)
    second.read(tx(60_000), tx(60_500), now=60_000)
    second.read(tx(71_000), now=71_000)
    assert [(60_000, 70_000, {"tx1": (1.0, 0)})] == second.closed()


def test_a_clock_that_jumps_again_and_again_moves_the_bound_in_few_steps() -> None:
    partition = by_event_time(max_future_ms=1_000, lateness_ms=10**9, window_size_ms=10**9)
    for number in range(40):
        later = 10_000 * (number + 1)
        partition.read(tx(later), now=later)
        partition.read(tx(later), now=0)
    ahead = partition.task.progress().ahead
    assert ahead is not None
    assert len(ahead.horizons) < 25


def test_a_successor_judges_what_was_judged_by_the_bound_of_that_time() -> None:
    first = by_event_time(max_future_ms=1_000)
    assert [1] == [one.offset for one in first.read(tx(0), tx(1_001), tx(1_000)).set_aside]
    second = by_event_time(first.task.progress(), max_future_ms=1_000)
    second.read(tx(0), tx(1_001), tx(1_000), tx(1_001), now=10**6)
    second.read(tx(11_000), now=10**6)
    assert [(0, 10_000, {"tx1": (3.0, 0)})] == second.closed()


def test_under_other_rules_a_partition_in_which_nothing_good_was_read_starts_without_a_watermark() -> None:
    first = by_event_time(max_future_ms=1_000)
    first.read(tx(5_000))
    second = by_event_time(first.task.progress(), max_future_ms=2_000)
    assert (None, 1, []) == (second.task.watermark_ms, second.task.next_offset, second.closed())


# ---- append time ------------------------------------------------------------------------------------------------


def test_by_event_time_a_record_exactly_at_the_watermark_is_on_time() -> None:
    partition = by_event_time()
    partition.read(tx(5_000))
    assert [0, 1] == [partition.read(tx(event_ms)).late for event_ms in (4_000, 3_999)]


def test_by_event_time_a_sum_has_the_offsets_the_late_count_and_the_exact_amount_of_its_records() -> None:
    partition = by_event_time()
    unusual = Decimal("0.000000000000000001")
    partition.read(tx(5_000, 0.00001), tx(1_000, 0.00001), tx(2_000, unusual), tx(6_000, unusual), tx(0, 1.5, "tx2"))
    partition.read(tx(11_000))
    (closed,) = partition.task.take_closed()
    one, other = closed.aggregates["tx1"], closed.aggregates["tx2"]
    assert (0, 3, 4, 2) == (one.first_offset, one.last_offset, one.count, one.late_count)
    assert (4, 4, 1, 1) == (other.first_offset, other.last_offset, other.count, other.late_count)
    assert Decimal("0.000020000000000002") == one.value()
    assert T0 + 6_000 == one.max_timestamp


def test_one_batch_closes_several_windows_by_event_time() -> None:
    partition = by_event_time()
    partition.read(tx(0), tx(10_000), tx(11_000), tx(20_000), tx(21_000), tx(30_999))
    assert [0, 10_000] == [start_ms for start_ms, _, _ in partition.closed()]


def test_when_the_rules_change_the_watermark_stays_and_the_open_windows_are_closed() -> None:
    first = by_event_time()
    first.read(tx(0), tx(5_000))
    second = by_event_time(first.task.progress(), lateness_ms=2_000)
    second.read(tx(0), tx(5_000))
    assert T0 + 4_000 == second.task.watermark_ms
    assert [(0, 4_000, {"tx1": (2.0, 0)})] == second.closed()
    second.read(tx(7_000))
    assert T0 + 5_000 == second.task.watermark_ms


def test_windows_of_the_wall_clock_never_wait_for_the_partitions_end() -> None:
    partition = Partition(ClockName.PROCESSING)
    partition.read(tx(0))
    partition.task.reached_end(Offset(1))
    assert not partition.task.waits_for_end(WallTimeMs(T0 + 10**6))


def test_a_record_appended_at_a_windows_end_closes_it_and_belongs_to_the_next() -> None:
    partition = by_append_time()
    partition.read(tx(0), tx(1), tx(2), appended=(0, 9_999, 10_000))
    assert [(0, -999, {"tx1": (2.0, 0)})] == partition.closed()
    assert 1 == partition.task.open_keys


def test_the_open_window_is_closed_by_the_wall_clock_after_the_margin_and_not_one_millisecond_before() -> None:
    partition = by_append_time()
    partition.end(0)
    partition.read(tx(0))
    partition.end(10_999)
    assert [] == partition.closed()
    partition.end(11_000)
    assert [(0, -1_000, {"tx1": (1.0, 0)})] == partition.closed()


@pytest.mark.parametrize(("event_ms", "late"), [(5_000, 1), (-5_000, 1)])
def test_a_record_appended_below_what_is_closed_counts_as_late_for_the_open_window(event_ms: int, late: int) -> None:
    partition = by_append_time()
    partition.read(tx(0), tx(5_000), appended=(0, 10_000))
    accepted = partition.read(tx(event_ms, 2.0), tx(5_001, 4.0), appended=(9_999, 10_001))
    assert Accepted(1, []) == accepted
    assert [(0, -1_000, {"tx1": (1.0, 0)})] == partition.closed()
    partition.read(tx(20_000), appended=(20_000,))
    assert [(10_000, 4_001, {"tx1": (7.0, late)})] == partition.closed()


def test_a_record_appended_below_what_is_closed_opens_the_next_window_where_none_is_open() -> None:
    partition = by_append_time()
    partition.read(tx(0))
    partition.end(11_000)
    partition.closed()
    partition.read(tx(1, 2.0), appended=(9_999,))
    partition.read(tx(2), appended=(20_000,))
    assert [(10_000, -999, {"tx1": (2.0, 1)})] == partition.closed()


@pytest.mark.parametrize("policy", [LatePolicy.DIVERT, LatePolicy.DROP])
def test_a_record_appended_below_what_is_closed_is_set_aside_by_the_other_policies(policy: LatePolicy) -> None:
    partition = by_append_time(late_policy=policy)
    partition.read(tx(0), tx(0), appended=(0, 10_000))
    accepted = partition.read(tx(7_000), appended=(9_990,))
    (aside,) = accepted.set_aside
    why = f"append time {T0 + 9_990} is 10 ms below the windows that are closed"
    assert (1, 2, Reason.LATE, why) == (accepted.late, aside.offset, aside.reason, aside.why)
    assert T0 + 6_000 == partition.task.watermark_ms


def test_an_event_time_too_far_ahead_of_its_own_append_time_is_set_aside_whenever_it_is_read() -> None:
    partition = by_append_time(max_future_ms=1_000)
    accepted = partition.read(tx(1_001), tx(1_001), now=10**6, appended=(0, 1))
    assert [(0, Reason.TIMESTAMP_IN_FUTURE)] == [(one.offset, one.reason) for one in accepted.set_aside]


def test_by_event_time_records_of_the_past_can_be_compared_with_their_append_times() -> None:
    partition = by_event_time(max_future_ms=1_000, future_by_append_time=True)
    accepted = partition.read(tx(1_001), tx(1_001), tx(5_000), now=10**6, appended=(0, 1, 3_999))
    assert [(0, Reason.TIMESTAMP_IN_FUTURE), (2, Reason.TIMESTAMP_IN_FUTURE)] == [
        (one.offset, one.reason) for one in accepted.set_aside
    ]
    partition.task.accept(WallTimeMs(T0), [], [], list, [Filtered(Offset(3), EventTimeMs(T0 + 9_000), WallTimeMs(T0))])
    assert T0 + 1 == partition.task.watermark_ms


def test_the_next_owner_starts_at_the_open_windows_first_record_with_the_watermark_of_before_it() -> None:
    first = by_append_time()
    first.read(tx(0), tx(3_000), tx(2_500), appended=(0, 10_000, 10_001))
    progress = first.task.progress()
    assert progress.ahead is not None
    assert (1, T0 - 1_000, 3, T0 + 2_000) == (
        progress.offset,
        progress.watermark_ms,
        progress.ahead.read,
        progress.ahead.watermark_ms,
    )
    second = by_append_time(progress)
    assert (3, EventTimeMs(T0 + 2_000)) == (second.task.position, second.task.watermark_ms)
    second.read(tx(3_000), tx(2_500), tx(4_000), appended=(10_000, 10_001, 20_000))
    assert [(10_000, 2_000, {"tx1": (2.0, 0)})] == second.closed()


def test_the_end_of_the_partition_closes_nothing_while_records_are_read_again() -> None:
    first = Partition(ClockName.EVENT, flush_after_ms=1_000)
    first.read(tx(0), tx(1_000))
    again = Partition(ClockName.EVENT, first.task.progress(), flush_after_ms=1_000)
    again.read(tx(0))
    again.end(5_000)
    assert [] == again.closed()
    again.read(tx(1_000))
    again.end(5_000)
    assert 1 == len(again.closed())
