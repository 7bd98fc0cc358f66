"""The example of docs/time.md by each clock, to the digit."""

from __future__ import annotations

from service.core.model import ClockName, LatePolicy, Transaction
from tests.driver import T0, Driver, JudgedWindow, judged, tx

EXAMPLE = [tx(0, 3200.0), tx(5_000, 6000.0), tx(9_000, 2500.0), tx(10_000, 9000.0)]


def replayed(driver: Driver) -> list[JudgedWindow]:
    """Read each record at its own pace, from a window's start, and tick once a second."""
    closed = []
    for second in range(23):
        driver.at(second * 1_000).task.tick(driver.now_ms)
        due: list[Transaction] = [one for one in EXAMPLE if one.timestamp - T0 == second * 1_000]
        driver.read(*due)
        if driver.task.waits_for_end(driver.now_ms):
            driver.task.at_end(driver.now_ms, driver.task.next_offset)
        driver.task.reached_end(driver.task.next_offset)
        closed += judged(driver.task)
    return closed


def shown(closed: list[JudgedWindow]) -> list[tuple[int, int, int, bool]]:
    """Window, sum, watermark, alert."""
    return [
        (one.window.start_ms, int(one.aggregates["tx1"].value()), one.watermark_ms, bool(one.anomalies))
        for one in closed
    ]


def test_the_watermark_after_each_record() -> None:
    driver = Driver()
    marks = []
    for one in EXAMPLE:
        driver.at(one.timestamp - T0).task.tick(driver.now_ms)
        driver.read(one)
        marks.append(driver.task.watermark_ms)
    assert marks == [1715392799000, 1715392804000, 1715392808000, 1715392809000]


def test_a_fifth_record_is_late_below_the_watermark_and_not_at_it() -> None:
    driver = Driver()
    driver.read(*EXAMPLE)
    assert driver.read(tx(8_000)).late == 1
    assert driver.read(tx(9_000)).late == 0


def test_processing_and_ingestion_give_the_two_alerts() -> None:
    due = [(1715392800000, 11700, 1715392808000, True), (1715392810000, 9000, 1715392809000, True)]
    assert shown(replayed(Driver())) == due
    assert shown(replayed(Driver(clock=ClockName.INGESTION))) == due


def test_event_waits_for_the_watermark() -> None:
    driver = Driver(clock=ClockName.EVENT, late_policy=LatePolicy.DIVERT)
    assert replayed(driver) == []
    driver.read(tx(11_000, 1.0))
    assert shown(judged(driver.task)) == [(1715392800000, 11700, 1715392810000, True)]
    assert driver.task.open_keys == 1
