"""The bound on event times ahead of the wall clock: in few steps, and the same when a record is read again."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.core.clocks.add_records import NO_HORIZON
from service.core.clocks.horizon import MANY_STEPS, Horizon
from service.core.model import Offset, WallTimeMs
from service.core.watermark import NEVER_MS

MAX_FUTURE_MS = 1_000


class Bounded:
    """A horizon, and what it has said. Each question is about the next offset."""

    def __init__(self) -> None:
        self.horizon = Horizon(MAX_FUTURE_MS, (), Offset(0))
        self.asked: list[tuple[int, bool]] = []

    def allows(self, event_ms: int, now_ms: int) -> bool:
        """Ask about an event time, as the clock does: only above what is sure."""
        offset = Offset(len(self.asked))
        sure = event_ms <= self.horizon.sure_ms(offset, WallTimeMs(now_ms))
        answer = sure or self.horizon.allows(offset, event_ms, WallTimeMs(now_ms))
        self.asked.append((event_ms, answer))
        return answer

    def step(self, count: int) -> int:
        """Let the bound move so often, by a wall clock that advances; returns the time of the last one."""
        now_ms = 0
        for _ in range(count):
            now_ms = max(now_ms, self.bound_ms)
            assert self.allows(now_ms + MAX_FUTURE_MS, now_ms)
        return now_ms

    @property
    def steps(self) -> tuple[tuple[Offset, int], ...]:
        return self.horizon.since(Offset(0), Offset(len(self.asked) + 1))

    @property
    def bound_ms(self) -> int:
        """The bound in force."""
        return self.steps[-1][1] if self.steps else 0


def test_the_bound_moves_to_what_is_allowed_at_that_moment() -> None:
    bounded = Bounded()
    assert bounded.allows(6_000, 5_000)
    assert ((Offset(0), 6_000),) == bounded.steps


def test_one_millisecond_above_what_is_allowed_is_refused_and_moves_nothing() -> None:
    bounded = Bounded()
    assert not bounded.allows(6_001, 5_000)
    assert () == bounded.steps


def test_below_the_bound_nothing_moves() -> None:
    bounded = Bounded()
    assert [True] * 3 == [bounded.allows(event_ms, 5_000) for event_ms in (6_000, 6_000, 1)]
    assert 1 == len(bounded.steps)


def test_without_a_limit_everything_is_sure() -> None:
    assert NO_HORIZON == Horizon(0, (), Offset(0)).sure_ms(Offset(7), WallTimeMs(0))


def test_before_the_first_step_nothing_is_sure() -> None:
    assert NEVER_MS == Horizon(MAX_FUTURE_MS, (), Offset(0)).sure_ms(Offset(0), WallTimeMs(5_000))


def test_a_clock_that_is_set_back_moves_the_bound_back() -> None:
    bounded = Bounded()
    bounded.allows(6_000, 5_000)
    assert not bounded.allows(5_500, 4_000)
    assert ((Offset(0), 6_000), (Offset(1), 5_000)) == bounded.steps


@pytest.mark.parametrize(("steps", "taken"), [(MANY_STEPS - 1, False), (MANY_STEPS, True), (MANY_STEPS + 1, True)])
def test_after_many_steps_a_clock_that_is_set_back_does_not_move_the_bound(steps: int, taken: bool) -> None:  # noqa: FBT001
    """Else a clock that goes back and forth would make more steps than a commit's metadata can hold."""
    bounded = Bounded()
    now_ms = bounded.step(steps)
    assert taken == bounded.allows(bounded.bound_ms, now_ms - 1)
    assert steps + (not taken) == len(bounded.steps)


@pytest.mark.parametrize(
    ("earlier", "reach"), [(0, 1), (MANY_STEPS - 1, 1), (MANY_STEPS, 2), (MANY_STEPS + 1, 4), (MANY_STEPS + 3, 16)]
)
def test_after_many_steps_each_reaches_twice_as_far_as_the_one_before(earlier: int, reach: int) -> None:
    bounded = Bounded()
    now_ms = bounded.step(earlier + 1)
    assert now_ms + reach * MAX_FUTURE_MS == bounded.bound_ms


def test_a_step_reaches_no_further_than_any_event_time() -> None:
    bounded = Bounded()
    now_ms = NO_HORIZON - MAX_FUTURE_MS // 2
    assert bounded.allows(NO_HORIZON, now_ms)
    assert NO_HORIZON == bounded.bound_ms


def test_what_an_earlier_owner_read_is_judged_by_its_steps_whatever_the_time_is_now() -> None:
    horizon = Horizon(MAX_FUTURE_MS, ((Offset(2), 6_000), (Offset(5), 9_000)), Offset(8))
    asked = [(0, 1), (1, 6_000), (2, 6_000), (2, 6_001), (4, 9_000), (5, 9_000), (7, 9_001)]
    expected = [False, False, True, False, False, True, False]
    assert expected == [horizon.allows(Offset(offset), event_ms, WallTimeMs(10**9)) for offset, event_ms in asked]
    assert 6_000 == horizon.sure_ms(Offset(7), WallTimeMs(10**9))
    assert 9_000 == horizon.sure_ms(Offset(8), WallTimeMs(10**9)), "from here on everything is new"
    assert 2_000 == horizon.sure_ms(Offset(8), WallTimeMs(1_000))


def test_the_step_in_force_at_an_offset_is_kept_and_older_ones_are_forgotten() -> None:
    steps = ((Offset(2), 6_000), (Offset(5), 9_000), (Offset(7), 11_000))
    kept = [
        Horizon(MAX_FUTURE_MS, steps, Offset(0)).since(Offset(offset), Offset(9)) for offset in (0, 2, 4, 5, 6, 7, 8, 9)
    ]
    assert [steps, steps, steps, steps[1:], steps[1:], steps[2:], steps[2:], ()] == kept


@given(st.lists(st.tuples(st.integers(0, 8_000), st.integers(0, 8_000)), max_size=60), st.integers(0, 60))
@example([(1_001, 0), (0, 1), (1_001, 0)], 0)
def test_whatever_the_clock_does_a_record_is_judged_the_same_when_it_is_read_again(
    asked: list[tuple[int, int]], begin: int
) -> None:
    bounded = Bounded()
    for event_ms, now_ms in asked:
        bounded.allows(event_ms, now_ms)
    count = len(asked)
    # An owner starts at the first record of an open window, which was allowed, or behind everything.
    begin = next((offset for offset in range(begin, count) if bounded.asked[offset][1]), count)
    again = Horizon(MAX_FUTURE_MS, bounded.horizon.since(Offset(begin), Offset(count)), Offset(count))
    for offset in range(begin, count):
        event_ms, answer = bounded.asked[offset]
        sure = event_ms <= again.sure_ms(Offset(offset), WallTimeMs(10**9))
        assert answer == (sure or again.allows(Offset(offset), event_ms, WallTimeMs(10**9)))


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=200))
def test_there_are_few_steps_whatever_the_clock_does(asked: list[tuple[int, int]]) -> None:
    bounded = Bounded()
    for event_ms, now_ms in asked:
        bounded.allows(event_ms, now_ms)
    assert len(bounded.steps) <= MANY_STEPS + 21, (
        "beyond MANY_STEPS each one doubles, and times of 10**9 are 2**20 times 1,000"
    )
