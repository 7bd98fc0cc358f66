"""What a window holds of each key, and which part of the input it came from."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal

import pytest

from service.core.model import Aggregate, ClockName, Offset
from tests.driver import T0, Driver, tx


def only(driver: Driver) -> Aggregate:
    """The one key's aggregate at the end of the first window."""
    (aggregate,) = driver.close(10_000).aggregates.values()
    return aggregate


def test_keys_are_summed_apart() -> None:
    driver = Driver()
    driver.read(tx(0, 1.0, "a"), tx(0, 2.0, "b"), tx(0, 4.0, "a"))
    sums = {key: aggregate.value() for key, aggregate in driver.close(10_000).aggregates.items()}
    assert {"a": 5, "b": 2} == sums


def test_ids_are_text_and_never_numbers() -> None:
    driver = Driver()
    driver.read(tx(0, key="1"), tx(0, key="01"), tx(0, key="1.0"), tx(0, key="1 "))
    assert {"1", "01", "1.0", "1 "} == driver.close(10_000).aggregates.keys()


def test_batches_of_one_window_add_up() -> None:
    driver = Driver()
    driver.read(tx(0, 1.0))
    driver.at(9_999).read(tx(0, 2.0))
    assert (2, Decimal(3)) == ((one := only(driver)).count, one.value())


def test_the_timestamp_is_the_first_record_reads_and_not_the_least() -> None:
    driver = Driver()
    driver.read(tx(3_000), tx(2_500), tx(4_000))
    assert T0 + 3_000 == only(driver).timestamp


def test_the_max_timestamp_is_the_greatest_and_not_the_last() -> None:
    driver = Driver()
    driver.read(tx(3_000), tx(4_000), tx(2_500))
    assert T0 + 4_000 == only(driver).max_timestamp


def test_timestamps_are_each_keys_own() -> None:
    driver = Driver()
    driver.read(tx(3_000, key="a"), tx(4_000, key="b"), tx(2_000, key="a"))
    aggregates = driver.close(10_000).aggregates
    assert (T0 + 3_000, T0 + 3_000) == (aggregates["a"].timestamp, aggregates["a"].max_timestamp)


def test_offsets_are_those_of_the_keys_first_and_last_record() -> None:
    driver = Driver(next_offset=100)
    driver.read(tx(0, key="b"), tx(0, key="a"), tx(0, key="b"), tx(0, key="a"), tx(0, key="b"))
    aggregate = driver.close(10_000).aggregates["a"]
    assert (101, 103) == (aggregate.first_offset, aggregate.last_offset)


def test_offsets_with_gaps_are_kept_as_they_are() -> None:
    driver = Driver()
    driver.read_at([3, 7, 1_000_000_007], [tx(0), tx(0), tx(0)])
    aggregate = only(driver)
    assert (3, 1_000_000_007, 3) == (aggregate.first_offset, aggregate.last_offset, aggregate.count)


def test_one_record_is_first_and_last() -> None:
    driver = Driver(next_offset=3)
    driver.read(tx(0))
    aggregate = only(driver)
    assert (3, 3) == (aggregate.first_offset, aggregate.last_offset)


def test_records_and_offsets_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Driver().read_at([1], [tx(0), tx(0)])


def test_a_batch_without_records_changes_nothing_but_the_progress() -> None:
    driver = Driver(next_offset=5)
    assert (0, []) == ((accepted := driver.read()).late, accepted.set_aside)
    driver.task.arrived(driver.now_ms, Offset(9))
    assert driver.tick(10_000) is None
    assert (9, None) == (driver.task.next_offset, driver.watermark)


def test_open_keys_counts_the_open_window_only() -> None:
    driver = Driver()
    driver.read(tx(0, key="a"), tx(0, key="b"), tx(0, key="a"))
    assert 2 == driver.task.open_keys
    driver.close(10_000)
    assert 0 == driver.task.open_keys


def test_negative_amounts_are_summed() -> None:
    driver = Driver()
    driver.read(tx(0, 10.5), tx(0, -11.0), tx(0, Decimal("-0.25")))
    assert Decimal("-0.75") == only(driver).value()


def test_an_amount_of_nothing_still_counts_as_a_record() -> None:
    driver = Driver()
    driver.read(tx(0, 0.0))
    assert (1, Decimal(0)) == ((one := only(driver)).count, one.value())


@pytest.mark.parametrize("clock", ClockName)
def test_sums_beyond_what_a_float_counts_are_exact(clock: ClockName) -> None:
    """An odd number of ten-thousandths above 2**53, where floats are even."""
    driver = Driver(clock=clock)
    driver.read(*[tx(0, 99_999_999_999.9999)] * 11)
    driver.task._clock.close_open()
    (closed,) = driver.task.take_closed()
    assert 11 * Decimal("99999999999.9999") == closed.aggregates["tx1"].value()
