"""An event time too far ahead of the wall clock is set aside, before it can make all others late."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal

from service.core.model import Offset, Reason, SetAside
from tests.driver import T0, Driver, tx


def test_exactly_as_far_ahead_as_allowed_is_accepted() -> None:
    driver = Driver(now=500, max_future_ms=1_000)
    assert [] == driver.read(tx(1_500)).set_aside
    assert 1 == driver.close(10_000).aggregates["tx1"].count


def test_one_millisecond_further_ahead_is_set_aside() -> None:
    why = f"timestamp {T0 + 1_501} is 1001 ms ahead of the wall clock, allowed are 1000"
    accepted = Driver(now=500, max_future_ms=1_000, next_offset=3).read(tx(1_501))
    assert [SetAside(Offset(3), Reason.TIMESTAMP_IN_FUTURE, why)] == accepted.set_aside


def test_zero_lets_any_future_pass() -> None:
    driver = Driver(max_future_ms=0)
    assert [] == driver.read(tx(2**63 - 1 - T0)).set_aside
    assert 2**63 - 1 - T0 - 1_000 == driver.watermark


def test_what_is_set_aside_does_not_move_the_watermark() -> None:
    driver = Driver(max_future_ms=1_000)
    driver.read(tx(0), tx(1_001))
    assert -1_000 == driver.watermark


def test_what_is_set_aside_is_no_watermark_where_there_was_none() -> None:
    driver = Driver(max_future_ms=1_000)
    driver.read(tx(1_001))
    assert driver.watermark is None


def test_what_is_set_aside_does_not_make_its_neighbours_late() -> None:
    accepted = Driver(max_future_ms=1_000, lateness_ms=0).read(tx(0), tx(10**9), tx(1))
    assert 0 == accepted.late
    assert [Offset(1)] == [one.offset for one in accepted.set_aside]


def test_what_is_set_aside_is_not_late() -> None:
    assert 0 == Driver(max_future_ms=1_000).read(tx(1_001)).late


def test_what_is_set_aside_is_in_no_sum() -> None:
    driver = Driver(max_future_ms=1_000)
    driver.read(tx(0, 1.0), tx(1_001, 2.0), tx(1_000, 4.0))
    aggregate = driver.close(10_000).aggregates["tx1"]
    assert (2, Decimal(5), T0 + 1_000) == (aggregate.count, aggregate.value(), aggregate.max_timestamp)


def test_a_window_with_nothing_but_future_records_closes_without_a_word() -> None:
    driver = Driver(max_future_ms=1_000)
    driver.read(tx(1_001))
    assert driver.tick(10_000) is None


def test_a_window_of_set_aside_records_does_not_hold_up_the_next_one() -> None:
    driver = Driver(max_future_ms=1_000)
    driver.read(tx(1_001))
    driver.tick(10_000)
    driver.read(tx(10_000))
    assert T0 + 10_000 == driver.close(20_000).window.start_ms


def test_the_same_record_is_accepted_once_the_wall_clock_has_come_near_enough() -> None:
    driver = Driver(max_future_ms=1_000)
    assert 1 == len(driver.read(tx(1_001)).set_aside)
    assert [] == driver.at(1).read(tx(1_001)).set_aside


def test_a_future_record_is_set_aside_also_where_the_watermark_is_already_that_far() -> None:
    """As after a restart with a smaller WATERMARK_MAX_FUTURE_MS, or with a wall clock that has been set back."""
    driver = Driver(watermark=5_000, max_future_ms=1_000)
    reasons = [one.reason for one in driver.read(tx(5_500)).set_aside]
    assert [Reason.TIMESTAMP_IN_FUTURE] == reasons
