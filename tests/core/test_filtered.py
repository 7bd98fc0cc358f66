"""A filtered record only moves the watermark, at its place among the others: by every clock, in any batches."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.model import ClockName, LatePolicy, Reason, Transaction
from tests.driver import T0, Driver, tx

LATENESS, FUTURE, LONG_AFTER = 1_000, 3_000, 10**7
KEYS = st.sampled_from(["a", "b"])
RECORD = st.builds(tx, st.integers(-4_000, 9_000), st.just(1.0), KEYS) | st.integers(-4_000, 9_000)
BATCHES = st.lists(st.tuples(st.sampled_from([0, 1, 700, 4_000]), st.lists(RECORD, max_size=8)), max_size=6)
"""How much later the batch comes, and its records."""
POLICIES = st.sampled_from([LatePolicy.DIVERT, LatePolicy.INCLUDE])


def verdicts(batches: list[tuple[int, list[Transaction | int]]]) -> list[tuple[int, Reason]]:
    """The oracle: of each record that is late or too far ahead, the offset and why. One scan, by plain words."""
    found: list[tuple[int, Reason]] = []
    now, offset, greatest = 0, 0, None
    for after, records in batches:
        now += after
        for record in records:
            event = record if isinstance(record, int) else record.timestamp - T0
            if event > now + FUTURE:
                if not isinstance(record, int):
                    found.append((offset, Reason.TIMESTAMP_IN_FUTURE))
            else:
                if not isinstance(record, int) and greatest is not None and event < greatest - LATENESS:
                    found.append((offset, Reason.LATE))
                greatest = event if greatest is None else max(greatest, event)
            offset += 1
    return found


def watermark(batches: list[tuple[int, list[Transaction | int]]]) -> int | None:
    """The greatest event time that is not too far ahead, minus the lateness."""
    now, seen = 0, []
    for after, records in batches:
        now += after
        events = [one if isinstance(one, int) else one.timestamp - T0 for one in records]
        seen += [event - LATENESS for event in events if event <= now + FUTURE]
    return max(seen, default=None)


def driver(**more: Any) -> Driver:  # noqa: ANN401
    """A partition without records."""
    return Driver(lateness_ms=LATENESS, max_future_ms=FUTURE, **more)


@given(BATCHES)
def test_what_is_late_or_too_far_ahead_is_as_the_oracle_says(
    batches: list[tuple[int, list[Transaction | int]]],
) -> None:
    one, now, found = driver(late_policy=LatePolicy.DIVERT), 0, []
    for after, records in batches:
        now += after
        one.tick(now)
        found += [(aside.offset, aside.reason) for aside in one.read_mixed(records).set_aside]
    assert verdicts(batches) == found
    assert watermark(batches) == one.watermark


@given(BATCHES, POLICIES, st.sampled_from(list(ClockName)))
def test_batches_may_be_split_anywhere(
    batches: list[tuple[int, list[Transaction | int]]], policy: LatePolicy, clock: ClockName
) -> None:
    if clock is ClockName.EVENT:
        policy = LatePolicy.DIVERT
    ends = []
    for one_by_one in (False, True):
        one, now, late, aside, closed = driver(late_policy=policy, clock=clock), 0, 0, [], []
        for after, records in batches:
            now += after
            one.at(now).task.tick(one.now_ms)
            for part in [[record] for record in records] if one_by_one else [records]:
                accepted = one.read_mixed(part)
                late += accepted.late
                aside += accepted.set_aside
            closed += one.task.take_closed()
        one.at(LONG_AFTER).task.tick(one.now_ms)
        one.task.reached_end(one.task.next_offset)
        one.task.at_end(one.now_ms, one.task.next_offset)
        closed += one.task.take_closed()
        windows = [
            (window.window, window.watermark_ms, key, sums.value(), sums.count, sums.late_count)
            for window in closed
            for key, sums in window.aggregates.items()
        ]
        ends.append((late, sorted(aside, key=lambda found: found.offset), windows, one.watermark))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("clock", list(ClockName))
def test_a_filtered_record_opens_no_window_and_is_never_late(clock: ClockName) -> None:
    one = driver(late_policy=LatePolicy.DIVERT, clock=clock)
    accepted = one.read_mixed([2_000, -3_000])
    assert (0, [], 0, 1_000) == (accepted.late, accepted.set_aside, one.task.open_keys, one.watermark)


def test_a_filtered_record_closes_windows_of_event_time() -> None:
    one = driver(late_policy=LatePolicy.DIVERT, clock=ClockName.EVENT, window_size_ms=1_000)
    one.read_mixed([tx(500), 2_000])
    (closed,) = one.task.take_closed()
    assert (T0, T0 + 1_000) == (closed.window.start_ms, closed.watermark_ms)


def test_a_filtered_record_of_a_later_window_closes_the_open_one_of_append_time() -> None:
    one = driver(clock=ClockName.INGESTION, window_size_ms=1_000)
    one.read_mixed([tx(500)])
    one.at(1_000).read_mixed([900])
    (closed,) = one.task.take_closed()
    assert T0 - 500 == closed.watermark_ms  # by the watermark before it
    assert -100 == one.watermark


@pytest.mark.parametrize("clock", list(ClockName))
def test_a_filtered_record_too_far_ahead_moves_nothing(clock: ClockName) -> None:
    one = driver(late_policy=LatePolicy.DIVERT, clock=clock)
    accepted = one.read_mixed([tx(500), FUTURE + 1, tx(0), FUTURE])
    assert ([], FUTURE - LATENESS) == (accepted.set_aside, one.watermark)
