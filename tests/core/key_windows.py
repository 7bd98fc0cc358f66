"""Closed windows of one key, for tests of detectors."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from service.core.detectors import KeyWindow
from service.core.model import AggregateDetail
from tests.driver import Driver, tx

EVERYTHING = AggregateDetail(extremes=True, latest=True)


def key_window(amounts: Sequence[float | Decimal], key: str = "tx1") -> KeyWindow:
    """Let a task add these amounts in one window, and close it."""
    driver = Driver(detail=EVERYTHING)
    driver.read(*(tx(0, amount, key) for amount in amounts))
    closed = driver.close(10_000)
    return KeyWindow(key, closed.aggregates[key], closed.window, closed.watermark_ms)
