"""A record is late when its event time is below the watermark at that moment; the policy decides what happens to it."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal

import pytest

from service.core.model import LatePolicy, Offset, Reason, SetAside
from tests.driver import T0, Driver, tx

EVERY_POLICY = pytest.mark.parametrize("policy", list(LatePolicy))
NOT_INCLUDED = pytest.mark.parametrize("policy", [LatePolicy.DIVERT, LatePolicy.DROP])


@EVERY_POLICY
def test_a_record_exactly_at_the_watermark_is_on_time(policy: LatePolicy) -> None:
    accepted = Driver(late_policy=policy).read(tx(5_000), tx(4_000))
    assert (0, []) == (accepted.late, accepted.set_aside)


@EVERY_POLICY
def test_a_record_one_millisecond_below_the_watermark_is_late(policy: LatePolicy) -> None:
    assert 1 == Driver(late_policy=policy).read(tx(5_000), tx(3_999)).late


@EVERY_POLICY
def test_the_first_record_is_never_late(policy: LatePolicy) -> None:
    assert 0 == Driver(late_policy=policy).read(tx(-(10**12))).late


@EVERY_POLICY
def test_a_record_is_judged_by_the_watermark_before_it_and_not_by_its_own(policy: LatePolicy) -> None:
    assert 0 == Driver(late_policy=policy, lateness_ms=0).read(tx(1), tx(2), tx(3)).late


@EVERY_POLICY
def test_a_record_is_not_judged_by_records_that_follow_in_its_batch(policy: LatePolicy) -> None:
    assert 0 == Driver(late_policy=policy).read(tx(1_000), tx(9_000)).late


@EVERY_POLICY
def test_a_record_is_judged_by_records_of_earlier_windows(policy: LatePolicy) -> None:
    driver = Driver(late_policy=policy)
    driver.read(tx(5_000))
    driver.tick(10_000)
    assert 1 == driver.read(tx(3_999)).late


def test_include_adds_a_late_record_to_the_sum_and_counts_it() -> None:
    driver = Driver(late_policy=LatePolicy.INCLUDE)
    accepted = driver.read(tx(5_000, 10.0), tx(3_999, 20.0), tx(5_000, 40.0))
    closed = driver.close(10_000)
    aggregate = closed.aggregates["tx1"]
    assert [] == accepted.set_aside
    assert (Decimal(70), 3, 1) == (aggregate.value(), aggregate.count, aggregate.late_count)


@NOT_INCLUDED
def test_what_is_not_included_is_set_aside_and_in_no_sum(policy: LatePolicy) -> None:
    driver = Driver(late_policy=policy, next_offset=7)
    accepted = driver.read(tx(5_000, 10.0), tx(3_999, 20.0), tx(5_000, 40.0))
    closed = driver.close(10_000)
    aggregate = closed.aggregates["tx1"]
    why = f"timestamp {T0 + 3_999} is 1 ms below the watermark {T0 + 4_000}"
    assert [SetAside(Offset(8), Reason.LATE, why)] == accepted.set_aside
    assert (Decimal(50), 2, 0) == (aggregate.value(), aggregate.count, aggregate.late_count)


@NOT_INCLUDED
def test_a_key_with_nothing_but_late_records_opens_no_window(policy: LatePolicy) -> None:
    driver = Driver(late_policy=policy)
    driver.read(tx(5_000, key="a"), tx(0, key="b"))
    closed = driver.close(10_000)
    assert {"a"} == closed.aggregates.keys()


@NOT_INCLUDED
def test_a_window_with_nothing_but_late_records_closes_without_a_word(policy: LatePolicy) -> None:
    driver = Driver(watermark=4_000, late_policy=policy)
    driver.read(tx(0))
    assert driver.tick(10_000) is None
    assert 0 == driver.task.open_keys
    assert driver.task.progress() is not None


@EVERY_POLICY
def test_a_late_record_does_not_move_the_watermark(policy: LatePolicy) -> None:
    driver = Driver(late_policy=policy)
    driver.read(tx(5_000), tx(0))
    assert 4_000 == driver.watermark


def test_a_late_record_may_be_the_first_of_its_window() -> None:
    driver = Driver(watermark=4_000)
    driver.read(tx(1_000), tx(5_000))
    closed = driver.close(10_000)
    aggregate = closed.aggregates["tx1"]
    assert (T0 + 1_000, T0 + 5_000) == (aggregate.timestamp, aggregate.max_timestamp)
    assert (2, 1) == (aggregate.count, aggregate.late_count)
