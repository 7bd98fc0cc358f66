"""Idle is caught up and silent."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from service.core.model import Offset
from tests.driver import Driver, tx


def caught_up() -> Driver:
    """A partition with one record at offset 0, read at the wall clock's 0."""
    driver = Driver()
    driver.read(tx(0))
    driver.task.reached_end(Offset(1))
    return driver


def test_caught_up_and_silent_for_exactly_the_time_is_idle() -> None:
    assert caught_up().at(30_000).idle


def test_one_millisecond_less_is_not_idle() -> None:
    assert not caught_up().at(29_999).idle


def test_silent_but_not_caught_up_is_not_idle() -> None:
    driver = Driver()
    driver.read(tx(0))
    assert not driver.at(10**9).idle


def test_silent_with_records_left_to_read_is_not_idle() -> None:
    driver = caught_up()
    driver.read(tx(0), tx(0))
    driver.task.reached_end(Offset(2))
    assert not driver.at(10**9).idle


def test_a_partition_just_taken_over_is_not_idle() -> None:
    assert not Driver().idle


def test_an_empty_partition_becomes_idle() -> None:
    driver = Driver()
    driver.task.reached_end(Offset(0))
    assert not driver.at(29_999).idle
    assert driver.at(30_000).idle


def test_a_record_ends_the_idleness() -> None:
    driver = caught_up()
    driver.tick(30_000)
    driver.read(tx(0))
    assert not driver.idle


def test_silence_is_measured_from_the_last_record() -> None:
    driver = caught_up()
    driver.tick(20_000)
    driver.read(tx(0))
    driver.task.reached_end(Offset(2))
    assert not driver.at(49_999).idle
    assert driver.at(50_000).idle


def test_a_bad_record_is_no_silence() -> None:
    driver = caught_up().at(20_000)
    driver.task.arrived(driver.now_ms, Offset(2))
    driver.task.reached_end(Offset(2))
    assert not driver.at(49_999).idle


def test_hearing_of_the_end_again_is_still_silence() -> None:
    driver = caught_up().at(20_000)
    driver.task.reached_end(Offset(1))
    assert driver.at(30_000).idle


def test_a_clock_set_back_makes_nothing_idle() -> None:
    assert not caught_up().at(-(10**9)).idle


def test_caught_up_is_having_read_up_to_the_end() -> None:
    driver = Driver(next_offset=5)
    assert not driver.task.caught_up()
    driver.task.reached_end(Offset(5))
    assert driver.task.caught_up()
    driver.read(tx(0))
    assert not driver.task.caught_up()


def test_the_end_lies_behind_markers_that_are_no_records() -> None:
    driver = Driver(next_offset=5)
    driver.task.reached_end(Offset(7))
    assert (7, True) == (driver.task.next_offset, driver.task.caught_up())


def test_an_end_below_what_was_read_takes_nothing_back() -> None:
    driver = Driver(next_offset=5)
    driver.task.reached_end(Offset(3))
    assert (5, False) == (driver.task.next_offset, driver.task.caught_up())
