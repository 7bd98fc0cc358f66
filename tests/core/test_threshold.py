"""The limit is compared exactly, and strictly."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal

import pytest

from service.core.detectors import ConfiguredDetector
from service.core.detectors.threshold import Threshold
from tests.driver import Anomaly, Driver, tx

LIMIT = Decimal(8000)


def anomalies(*amounts: float | Decimal, limit: Decimal = LIMIT) -> list[Anomaly]:
    """What is found in one window of these amounts."""
    driver = Driver(detectors=(ConfiguredDetector("threshold", Threshold(limit)),))
    driver.read(*(tx(0, amount) for amount in amounts))
    return driver.close(10_000).anomalies


def test_a_sum_of_exactly_the_limit_is_no_anomaly() -> None:
    assert [] == anomalies(8000.0)


@pytest.mark.parametrize("more", [Decimal("8000.0001"), 8000.0001, LIMIT + Decimal("1e-15"), Decimal("8000.01"), 9e3])
def test_whatever_is_above_the_limit_is_an_anomaly(more: float | Decimal) -> None:
    assert [Anomaly("threshold", "tx1", LIMIT)] == anomalies(more)


@pytest.mark.parametrize("less", [7999.9999, LIMIT - Decimal("1e-15"), 0.0, -8000.01])
def test_whatever_is_below_the_limit_is_none(less: float | Decimal) -> None:
    assert [] == anomalies(less)


def test_a_femto_more_is_an_anomaly_when_it_comes_on_top_as_well() -> None:
    assert 1 == len(anomalies(8000.0, 1e-15))


@pytest.mark.parametrize(("count", "found"), [(80_000, 0), (80_001, 1)])
def test_eighty_thousand_times_ten_cents_is_eight_thousand(count: int, found: int) -> None:
    assert found == len(anomalies(*[0.1] * count))


def test_the_example_of_the_exercise() -> None:
    assert [] == anomalies(3200.0)
    assert 1 == len(anomalies(3200.0, 6000.0, 2500.0))


def test_each_key_is_judged_by_itself() -> None:
    driver = Driver()
    driver.read(tx(0, 8000.01, "a"), tx(0, 8000.0, "b"), tx(0, 9000.0, "c"))
    assert ["a", "c"] == [one.transaction_id for one in driver.close(10_000).anomalies]


def test_each_window_is_judged_by_itself() -> None:
    driver = Driver()
    driver.read(tx(0, 8000.0))
    assert [] == driver.close(10_000).anomalies
    driver.read(tx(0, 8000.0))
    assert [] == driver.close(20_000).anomalies


def test_a_limit_with_decimals_is_exact_too() -> None:
    limit = Decimal("0.3")
    assert [] == anomalies(0.1, 0.2, limit=limit)
    assert 1 == len(anomalies(0.1, 0.2, 0.0001, limit=limit))


def test_a_negative_limit_is_a_limit() -> None:
    assert 1 == len(anomalies(0.0, limit=Decimal(-1)))


def test_every_detector_is_asked() -> None:
    driver = Driver(detectors=tuple(ConfiguredDetector(str(limit), Threshold(Decimal(limit))) for limit in (1, 2, 9)))
    driver.read(tx(0, 5.0))
    assert [1, 2] == [one.limit for one in driver.close(10_000).anomalies]


def test_without_detectors_a_window_still_closes() -> None:
    driver = Driver(detectors=())
    driver.read(tx(0, 9000.0))
    assert [] == driver.close(10_000).anomalies
