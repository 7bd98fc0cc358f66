"""What detectors look at: an exact value for limits and alerts, and the nearest float for baselines and models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from types import MappingProxyType
from typing import Final, assert_never

from service.core.detectors import Of
from service.core.model import Aggregate
from service.core.money import SCALE

LARGEST: Final = 1e100
"""Floats for baselines are between -LARGEST and LARGEST, so that their squares and sums of squares stay finite."""

MEAN: Final = Context(prec=34, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""A mean is shown with 34 digits (IEEE's decimal128). Comparisons with a limit don't use it: they are exact."""


def value_of(of: Of, aggregate: Aggregate) -> Decimal | float | int:
    """Return the exact value; a float means its shortest decimal form. A mean is rounded to 34 digits."""
    match of:
        case Of.SUM:
            return aggregate.value()
        case Of.COUNT:
            return aggregate.count
        case Of.MAX:
            return aggregate.greatest
        case Of.MIN:
            return aggregate.least
        case Of.MEAN:
            return MEAN.divide(aggregate.value(), aggregate.count)
        case _:
            assert_never(of)


def number_of(of: Of, aggregate: Aggregate) -> float:
    """Return the float that is nearest to the value, between -LARGEST and LARGEST."""
    return NUMBERS[of](aggregate)


def bounded(value: float) -> float:
    """Return the value, or the nearer of -LARGEST and LARGEST if it is beyond them."""
    return value if -LARGEST <= value <= LARGEST else max(-LARGEST, min(value, LARGEST))


def _sum(aggregate: Aggregate) -> float:
    return bounded(float(aggregate.value())) if aggregate.rest else aggregate.units / SCALE


def _count(aggregate: Aggregate) -> float:
    return float(aggregate.count)


def _max(aggregate: Aggregate) -> float:
    return bounded(float(aggregate.greatest))


def _min(aggregate: Aggregate) -> float:
    return bounded(float(aggregate.least))


def _mean(aggregate: Aggregate) -> float:
    if aggregate.rest:
        return bounded(float(MEAN.divide(aggregate.value(), aggregate.count)))
    return aggregate.units / (SCALE * aggregate.count)


NUMBERS: Final[Mapping[Of, Callable[[Aggregate], float]]] = MappingProxyType(
    {Of.SUM: _sum, Of.COUNT: _count, Of.MAX: _max, Of.MIN: _min, Of.MEAN: _mean}
)
"""number_of() for those who look at the same thing again and again."""
