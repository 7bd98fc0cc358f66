"""Tumbling windows of the wall clock: start inclusive, end exclusive, closed by time alone."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.model import TumblingWindow, WallTimeMs
from service.core.window import TumblingWindows, outside, window_at
from tests.driver import T0, Driver, tx


@pytest.mark.parametrize(
    ("time_ms", "start_ms"),
    [(0, 0), (1, 0), (9_999, 0), (10_000, 10_000), (10_001, 10_000), (19_999, 10_000), (20_000, 20_000)],
)
def test_a_windows_start_belongs_to_it_and_its_end_to_the_next(time_ms: int, start_ms: int) -> None:
    assert TumblingWindow(start_ms, start_ms + 10_000) == window_at(time_ms, 10_000)


def test_windows_are_aligned_to_the_epoch_whatever_their_size() -> None:
    assert TumblingWindow(T0 - T0 % 7, T0 - T0 % 7 + 7) == window_at(T0, 7)


def test_windows_before_the_epoch_are_aligned_too() -> None:
    assert TumblingWindow(-10, 0) == window_at(-1, 10)


@pytest.mark.parametrize(("time_ms", "found"), [(9_999, True), (10_000, False), (19_999, False), (20_000, True)])
def test_outside_is_before_the_start_and_from_the_end_on(time_ms: int, found: bool) -> None:  # noqa: FBT001
    assert found == outside(TumblingWindow(10_000, 20_000), WallTimeMs(time_ms))


@given(st.integers(-(2**63), 2**63), st.integers(1, 10**12))
def test_the_first_open_window_is_the_earliest_that_ends_after_a_time(time_ms: int, size_ms: int) -> None:
    windows = TumblingWindows(size_ms)
    first = windows.at(windows.first_open_ms(time_ms))
    before = windows.of(first.start_ms - 1)
    assert before.end_ms <= time_ms < first.end_ms
    assert before.end_ms == first.start_ms


@given(st.integers(-(2**63), 2**63), st.integers(1, 10**12))
def test_a_time_is_in_its_window_and_no_other(time_ms: int, size_ms: int) -> None:
    windows = TumblingWindows(size_ms)
    found = windows.of(time_ms)
    assert (0, size_ms) == (found.start_ms % size_ms, found.end_ms - found.start_ms)
    assert found.start_ms == windows.start_of(time_ms)
    assert not outside(found, WallTimeMs(time_ms))
    assert outside(windows.of(found.end_ms), WallTimeMs(time_ms))


def test_a_window_is_open_one_millisecond_before_its_end() -> None:
    driver = Driver()
    driver.read(tx(0))
    assert driver.tick(9_999) is None


def test_a_window_closes_exactly_at_its_end_with_no_new_record() -> None:
    driver = Driver()
    driver.read(tx(0))
    assert TumblingWindow(T0, T0 + 10_000) == driver.close(10_000).window


def test_a_record_is_in_the_window_of_the_wall_clock_and_not_of_its_event_time() -> None:
    driver = Driver(now=25_000)
    driver.read(tx(0))
    assert TumblingWindow(T0 + 20_000, T0 + 30_000) == driver.close(30_000).window


def test_a_record_read_exactly_at_a_windows_start_belongs_to_it() -> None:
    driver = Driver(now=10_000)
    driver.read(tx(0))
    assert T0 + 10_000 == driver.close(20_000).window.start_ms


def test_a_record_read_one_millisecond_before_belongs_to_the_window_before() -> None:
    driver = Driver(now=9_999)
    driver.read(tx(0))
    assert T0 == driver.close(10_000).window.start_ms


def test_a_window_closes_once() -> None:
    driver = Driver()
    driver.read(tx(0))
    driver.close(10_000)
    assert driver.tick(10_000) is None
    assert driver.tick(99_999) is None


def test_a_window_in_which_nothing_was_read_does_not_close() -> None:
    assert Driver().tick(10_000) is None


def test_a_window_that_is_long_over_closes_as_itself() -> None:
    driver = Driver()
    driver.read(tx(0))
    assert T0 == driver.close(3_600_000).window.start_ms


def test_the_next_window_begins_with_nothing_of_the_last() -> None:
    driver = Driver()
    driver.read(tx(0, 5.0, "a"))
    driver.close(10_000)
    driver.read(tx(0, 7.0, "b"))
    closed = driver.close(20_000)
    assert {"b": 7} == {key: aggregate.value() for key, aggregate in closed.aggregates.items()}


def test_a_record_read_after_the_end_without_a_tick_is_refused() -> None:
    driver = Driver()
    driver.read(tx(0))
    with pytest.raises(AssertionError, match="tick"):
        driver.at(10_000).read(tx(0))


def test_the_watermark_of_a_closed_window_is_the_one_at_that_moment() -> None:
    driver = Driver()
    driver.read(tx(5_000), tx(8_000), tx(7_000))
    assert T0 + 7_000 == driver.close(10_000).watermark_ms


def test_a_clock_set_back_into_the_open_window_changes_nothing() -> None:
    driver = Driver(now=5_000)
    driver.read(tx(0))
    driver.at(1_000).read(tx(0))
    assert driver.tick(9_999) is None
    assert 2 == driver.close(10_000).aggregates["tx1"].count


def test_a_clock_set_back_into_a_closed_window_counts_for_the_next_one() -> None:
    driver = Driver()
    driver.read(tx(0))
    driver.close(10_000)
    driver.at(9_990).read(tx(0))
    assert driver.tick(10_000) is None
    assert TumblingWindow(T0 + 10_000, T0 + 20_000) == driver.close(20_000).window


def test_a_clock_set_back_into_a_closed_window_joins_what_comes_when_it_is_right_again() -> None:
    driver = Driver()
    driver.read(tx(0))
    driver.close(10_000)
    driver.at(9_990).read(tx(0, 1.0))
    driver.tick(10_000)
    driver.at(10_000).read(tx(0, 2.0))
    assert 3 == driver.close(20_000).aggregates["tx1"].value()


def test_a_clock_set_back_before_the_closed_window_is_believed() -> None:
    driver = Driver(now=20_000)
    driver.read(tx(0))
    driver.close(30_000)
    driver.at(19_999).read(tx(0))
    assert TumblingWindow(T0 + 10_000, T0 + 20_000) == driver.close(20_000).window


def test_a_clock_set_back_by_an_hour_is_believed() -> None:
    driver = Driver(now=3_600_000)
    driver.read(tx(0))
    driver.close(3_610_000)
    driver.at(5_000).read(tx(0))
    assert TumblingWindow(T0, T0 + 10_000) == driver.close(10_000).window


def test_a_window_of_one_millisecond_works() -> None:
    driver = Driver(window_size_ms=1)
    driver.read(tx(0))
    assert driver.tick(0) is None
    assert TumblingWindow(T0, T0 + 1) == driver.close(1).window
