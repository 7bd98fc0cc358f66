"""The watermark: greatest event time minus lateness, never back."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from service.core.model import EventTimeMs
from service.core.watermark import BoundedOutOfOrderness
from tests.driver import Driver, tx


def test_no_record_seen_is_no_watermark() -> None:
    assert Driver().watermark is None


def test_the_watermark_is_the_event_time_minus_the_lateness() -> None:
    driver = Driver(lateness_ms=1_000)
    driver.read(tx(5_000))
    assert 4_000 == driver.watermark


def test_without_lateness_the_watermark_is_the_event_time() -> None:
    driver = Driver(lateness_ms=0)
    driver.read(tx(5_000))
    assert 5_000 == driver.watermark


def test_the_watermark_does_not_go_back_in_a_later_batch() -> None:
    driver = Driver()
    driver.read(tx(5_000))
    driver.read(tx(2_000))
    assert 4_000 == driver.watermark


def test_the_watermark_does_not_go_back_within_a_batch() -> None:
    driver = Driver()
    driver.read(tx(5_000), tx(2_000), tx(4_999))
    assert 4_000 == driver.watermark


def test_an_equal_event_time_leaves_the_watermark_where_it_is() -> None:
    driver = Driver()
    driver.read(tx(5_000), tx(5_000))
    assert 4_000 == driver.watermark


def test_one_millisecond_more_moves_the_watermark_by_one_millisecond() -> None:
    driver = Driver()
    driver.read(tx(5_000))
    driver.read(tx(5_001))
    assert 4_001 == driver.watermark


def test_the_watermark_outlives_its_window() -> None:
    driver = Driver()
    driver.read(tx(5_000))
    driver.tick(10_000)
    assert 4_000 == driver.watermark


def test_the_watermark_is_the_partitions_and_not_a_keys() -> None:
    driver = Driver()
    driver.read(tx(5_000, key="a"))
    assert 1 == driver.read(tx(3_999, key="b")).late


def test_a_restored_watermark_is_taken_as_it_was_committed() -> None:
    assert 4_000 == Driver(watermark=4_000).watermark


def test_a_restored_watermark_judges_the_first_record() -> None:
    accepted = Driver(watermark=4_000).read(tx(3_999), tx(4_000))
    assert 1 == accepted.late


def test_a_restored_watermark_does_not_go_back_when_the_lateness_has_grown() -> None:
    driver = Driver(watermark=4_000, lateness_ms=60_000)
    driver.read(tx(5_000))
    assert 4_000 == driver.watermark


def test_a_restored_watermark_does_not_jump_when_the_lateness_has_shrunk() -> None:
    driver = Driver(watermark=4_000, lateness_ms=0)
    driver.read(tx(4_000))
    assert 4_000 == driver.watermark


def test_after_a_restore_the_new_lateness_is_the_one_that_counts() -> None:
    driver = Driver(watermark=4_000, lateness_ms=10)
    driver.read(tx(4_011))
    assert 4_001 == driver.watermark


def test_a_watermark_restored_at_the_epoch_is_a_watermark() -> None:
    assert BoundedOutOfOrderness(1_000, None).value_ms is None
    assert EventTimeMs(0) == BoundedOutOfOrderness(1_000, EventTimeMs(0)).value_ms


def test_the_lateness_may_be_greater_than_any_event_time() -> None:
    driver = Driver(lateness_ms=10**15)
    assert 0 == driver.read(tx(5_000), tx(-(10**12))).late
    assert 5_000 - 10**15 == driver.watermark
