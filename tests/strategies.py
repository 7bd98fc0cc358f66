"""Hypothesis strategies: amounts, records, and what a partition may go through."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from service.core.model import LatePolicy, Transaction
from service.core.money import MAX_DIGITS, SCALE, UNITS_LIMIT
from tests.driver import tx


def run_without_deadlines() -> None:
    """Let Hypothesis judge by what is found and not by how long it took: the machine has other users."""
    settings.register_profile("txwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("txwatch")


def _decimal(digits: int, exponent: int) -> Decimal:
    return Decimal(f"{digits}e{exponent}")


EVERYDAY_AMOUNTS = st.integers(-(10**9), 10**9).map(lambda cents: cents / 100)
"""Cents, as floats."""

_NEAR_THE_EDGE = st.builds(
    lambda sign, units: sign * units / SCALE,
    st.sampled_from([1, -1]),
    st.integers(int(UNITS_LIMIT) - 3, int(UNITS_LIMIT) + 3),
)

_LONG_DECIMALS = st.one_of(
    st.builds(_decimal, st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1), st.integers(-MAX_DIGITS, 0)),
    st.builds(_decimal, st.integers(-(10**20), 10**20), st.integers(-MAX_DIGITS, 300)),
)

AMOUNTS: st.SearchStrategy[float | Decimal] = st.one_of(
    EVERYDAY_AMOUNTS,
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**15), 10**15).map(lambda units: units / SCALE),
    _NEAR_THE_EDGE,
    _LONG_DECIMALS,
)
"""Every amount that may reach the core: floats for their shortest decimal, and decimals of up to 400 digits a side."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The wall clock moves on, and these records arrive together."""

    after_ms: int
    records: list[Transaction]


@dataclass(frozen=True, slots=True)
class Tick:
    """The wall clock moves on, and nothing arrives."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class Story:
    """What a partition goes through, and its rules."""

    window_size_ms: int
    lateness_ms: int
    max_future_ms: int
    late_policy: LatePolicy
    watermark: int | None
    """Restored, after T0."""
    next_offset: int
    limit: Decimal
    steps: list[Batch | Tick]


KEYS = st.sampled_from(["tx1", "tx2", "tx3"])
RECORDS = st.builds(tx, st.integers(-8_000, 20_000), AMOUNTS, KEYS)
STEPS_MS = st.sampled_from([0, 1, 6, 999, 1_000, 4_000, 25_000])
BATCHES = st.builds(Batch, STEPS_MS, st.lists(RECORDS, max_size=8))

STORIES = st.builds(
    Story,
    window_size_ms=st.sampled_from([1, 7, 1_000, 10_000]),
    lateness_ms=st.sampled_from([0, 1, 1_000, 30_000]),
    max_future_ms=st.sampled_from([0, 1, 1_000, 10_000]),
    late_policy=st.sampled_from(LatePolicy),
    watermark=st.none() | st.integers(-60_000, -30_000),
    next_offset=st.integers(0, 2**40),
    limit=st.sampled_from([Decimal(8000), Decimal("0.01"), Decimal(0), Decimal(-1)]),
    steps=st.lists(BATCHES | st.builds(Tick, STEPS_MS), max_size=12),
)
