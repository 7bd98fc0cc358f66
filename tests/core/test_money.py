"""Sums are exact in decimal for any amounts, any number of them and any order."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histories.decoder_oracle import exactly
from service.core.money import MAX_DIGITS, SCALE, UNITS_LIMIT, Total, whole_units
from tests.strategies import AMOUNTS, EVERYDAY_AMOUNTS

EDGE = UNITS_LIMIT / SCALE
"""The greatest sum that is counted in units."""

LIMITS = [Decimal(8000), Decimal(0), Decimal("-0.00001"), Decimal("1e30"), Decimal("-1e30"), Decimal("1e-30")]


def exactly_decimal(amount: float | Decimal) -> Decimal:
    """What an amount stands for."""
    return amount if isinstance(amount, Decimal) else Decimal(repr(amount))


def total(amounts: Iterable[float | Decimal]) -> Decimal:
    """The sum as the service has it."""
    running = Total()
    for amount in amounts:
        running.add(amount)
    return running.value()


def test_nothing_added_is_zero() -> None:
    assert Decimal(0) == total([])


@pytest.mark.parametrize("tenth", [0.1, Decimal("0.1"), Decimal("0.10")])
def test_ten_tenths_are_one(tenth: float | Decimal) -> None:
    assert Decimal(1) == total([tenth] * 10)


@pytest.mark.parametrize("text", ["0.3", "2.675", "1.005", "1e-05", "123456789.123456", "1e22", "5e-324", "1e308"])
def test_a_float_is_its_shortest_decimal(text: str) -> None:
    assert Decimal(text) == total([float(text)])


def test_a_sum_that_no_float_can_hold_is_exact() -> None:
    assert Decimal("10000000000000000.0001") == total([1e16, 0.0001])


def test_a_great_amount_that_comes_and_goes_leaves_no_trace() -> None:
    assert Decimal("0.0001") == total([0.0001, 1e300, -1e300])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("step", [0.0001, 1.0, EDGE - 0.0001, EDGE, 3 * EDGE])
def test_running_over_the_edge_of_the_units_is_exact(sign: int, step: float) -> None:
    amounts = [sign * (EDGE - 0.0001), sign * step, sign * step, sign * 0.0001]
    assert sum(map(exactly, amounts)) == Fraction(total(amounts))


def test_amounts_of_sixteen_digits_are_exact_on_top_of_a_sum_that_is_below_zero() -> None:
    """Their floats are 1.2 ten-thousandths apart, so the nearest ten-thousandth says nothing."""
    for units in range(7_000_000_000_000_000, 7_000_000_000_002_000):
        amounts = [1 - EDGE, units / SCALE]
        assert sum(map(exactly, amounts)) == Fraction(total(amounts))


def test_the_greatest_amount_of_the_wire_plus_the_least_is_exact() -> None:
    great, least = Decimal(10**308), Decimal(f"1e-{MAX_DIGITS}")
    assert Fraction(10**308) + Fraction(1, 10**MAX_DIGITS) == Fraction(total([great, least]))


@given(st.lists(AMOUNTS, max_size=20))
@example([EDGE, -EDGE, EDGE, 0.0001])
@example([Decimal("1.00000000000000000"), -1.0])
@example([-0.0, Decimal("-0.0")])
def test_a_sum_is_that_of_the_fractions(amounts: list[float | Decimal]) -> None:
    assert sum(map(exactly, amounts)) == Fraction(total(amounts))


@given(st.lists(EVERYDAY_AMOUNTS, max_size=200))
def test_a_sum_of_cents_is_that_of_the_decimals(amounts: list[float]) -> None:
    assert sum((Decimal(repr(amount)) for amount in amounts), Decimal(0)) == total(amounts)


@given(st.lists(AMOUNTS, max_size=12).flatmap(lambda amounts: st.tuples(st.just(amounts), st.permutations(amounts))))
def test_the_order_makes_no_difference(orders: tuple[list[float | Decimal], list[float | Decimal]]) -> None:
    one, other = orders
    assert total(one) == total(other)


@given(AMOUNTS)
def test_an_amount_and_its_opposite_are_nothing(amount: float | Decimal) -> None:
    opposite = -amount if isinstance(amount, float) else amount.copy_negate()
    assert Decimal(0) == total([amount, opposite])


@given(st.lists(AMOUNTS, max_size=10))
def test_looking_at_the_sum_does_not_change_it(amounts: list[float | Decimal]) -> None:
    running = Total()
    for amount in amounts:
        running.add(amount)
        running.value()
    assert total(amounts) == running.value()


@given(amounts=st.lists(AMOUNTS), limit=st.one_of(AMOUNTS.map(exactly_decimal), st.sampled_from(LIMITS)))
def test_a_sum_exceeds_a_limit_exactly_if_its_value_does(amounts: list[float | Decimal], limit: Decimal) -> None:
    running = Total()
    for amount in amounts:
        running.add(amount)
    for each in (limit, running.value(), running.value() - Decimal("0.00005"), running.value() + Decimal("0.00005")):
        assert (running.value() > each) == running.exceeds(each, whole_units(each))


@given(amounts=st.lists(EVERYDAY_AMOUNTS))
@example(amounts=[0.0001])
@example(amounts=[UNITS_LIMIT / SCALE - 0.0001])
def test_the_text_of_a_sum_is_its_value(amounts: list[float | Decimal]) -> None:
    running = Total()
    for amount in amounts:
        running.add(amount)
    text = running.text()
    assert text is None or (Decimal(text) == running.value() and "e" not in text)
