"""Limits that are compared exactly, and which of them applies to an id."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import inf, nextafter
from typing import Final, Protocol

from service.core.detectors import Direction, Of
from service.core.model import Aggregate
from service.core.money import EXACT, SCALE, whole_units

ANY: Final = "*"
"""At the end of a name in ``limits`` it makes the name a prefix."""

_LAST_CHARACTER: Final = "\U0010ffff"


class Limit(Protocol):
    """A limit, prepared for comparing."""

    @property
    def value(self) -> Decimal:
        """The limit as it was configured."""

    def crossed_by(self, aggregate: Aggregate) -> bool:
        """Whether what is looked at is strictly beyond the limit. Exact: no value is rounded before."""


def limit_for(of: Of, direction: Direction, value: Decimal) -> Limit:
    """Prepare a limit.

    Raises:
        ValueError: a limit has one side; ``both`` is for deviations.
    """
    if direction is Direction.BOTH:
        raise ValueError("a limit is crossed from below or from above, not both")
    if of is Of.SUM:
        return _SumAbove(value) if direction is Direction.ABOVE else _SumBelow(value)
    return _LIMITS[of](value, direction)


class LimitsById:
    """Finds an id's limit: of the id itself, else of its longest prefix, else the default.

    Prefixes are intervals of sorted text that lie beside or inside each other. They are cut into segments once, so a
    lookup is one binary search, however they are nested.
    """

    def __init__(self, limits: Mapping[str, Limit], default: Limit | None) -> None:
        """``limits`` as in the settings: ids, and prefixes that end with ``*``.

        Raises:
            ValueError: an id would have no limit.
        """
        self._exact = {name: one for name, one in limits.items() if not name.endswith(ANY)}
        prefixes = {name[: -len(ANY)]: one for name, one in limits.items() if name.endswith(ANY)}
        whole = prefixes.setdefault("", default) if default is not None else prefixes.get("")
        if whole is None:
            raise ValueError("a limit for all other ids is missing")
        self._starts: list[str] = []
        self._limits: list[Limit] = []
        open_ones: list[tuple[str | None, Limit]] = []  # the end and the limit of each interval around this one
        for prefix in sorted(prefixes):
            self._end(open_ones, prefix)
            self._from(prefix, prefixes[prefix])
            open_ones.append((_after(prefix), prefixes[prefix]))
        self._end(open_ones, None)

    def _end(self, open_ones: list[tuple[str | None, Limit]], to: str | None) -> None:
        """End the intervals that end at ``to`` or earlier: what is around them continues there."""
        while open_ones and (end := open_ones[-1][0]) is not None and (to is None or end <= to):
            open_ones.pop()
            self._from(end, open_ones[-1][1])

    def _from(self, start: str, limit: Limit) -> None:
        if self._starts and self._starts[-1] == start:
            self._limits[-1] = limit
        else:
            self._starts.append(start)
            self._limits.append(limit)

    def of(self, transaction_id: str) -> Limit:
        """Return the limit that applies to this id."""
        exact = self._exact.get(transaction_id)
        return self._limits[bisect_right(self._starts, transaction_id) - 1] if exact is None else exact


def _after(prefix: str) -> str | None:
    """The least text that is greater than all that start with ``prefix``; None where there is none."""
    kept = prefix.rstrip(_LAST_CHARACTER)
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None


class _SumAbove:
    __slots__ = ("_units", "value")

    def __init__(self, value: Decimal) -> None:
        self.value = value
        self._units = whole_units(value)

    def crossed_by(self, aggregate: Aggregate) -> bool:
        return aggregate.value() > self.value if aggregate.rest else aggregate.units > self._units


class _SumBelow:
    __slots__ = ("_units", "value")

    def __init__(self, value: Decimal) -> None:
        self.value = value
        self._units = -whole_units(-value)

    def crossed_by(self, aggregate: Aggregate) -> bool:
        return aggregate.value() < self.value if aggregate.rest else aggregate.units < self._units


class _Beyond:
    """A limit with a side."""

    __slots__ = ("_beyond", "value")

    def __init__(self, value: Decimal, direction: Direction) -> None:
        self.value = value
        self._beyond: Callable[[Decimal | float, Decimal | float], bool] = (
            operator.gt if direction is Direction.ABOVE else operator.lt
        )


class _Count(_Beyond):
    __slots__ = ("_count",)

    def __init__(self, value: Decimal, direction: Direction) -> None:
        super().__init__(value, direction)
        rounding = ROUND_FLOOR if direction is Direction.ABOVE else ROUND_CEILING
        self._count = int(value.to_integral_value(rounding))

    def crossed_by(self, aggregate: Aggregate) -> bool:
        return self._beyond(aggregate.count, self._count)


class _Amount(_Beyond):
    """``bound`` is the float next to the limit that is not beyond it, so that floats are compared with a float."""

    __slots__ = ("_bound",)

    def __init__(self, value: Decimal, direction: Direction) -> None:
        super().__init__(value, direction)
        self._bound = float(value)
        if self._beyond(Decimal(repr(self._bound)), value):
            self._bound = nextafter(self._bound, -inf if direction is Direction.ABOVE else inf)

    def _crossed(self, amount: float | Decimal) -> bool:
        return self._beyond(amount, self._bound if amount.__class__ is float else self.value)


class _Greatest(_Amount):
    __slots__ = ()

    def crossed_by(self, aggregate: Aggregate) -> bool:
        return self._crossed(aggregate.greatest)


class _Least(_Amount):
    __slots__ = ()

    def crossed_by(self, aggregate: Aggregate) -> bool:
        return self._crossed(aggregate.least)


class _Mean(_Beyond):
    """The sum is compared with limit x count: nothing is divided."""

    __slots__ = ("_denominator", "_numerator")

    def __init__(self, value: Decimal, direction: Direction) -> None:
        super().__init__(value, direction)
        self._numerator, self._denominator = EXACT.multiply(value, Decimal(int(SCALE))).as_integer_ratio()

    def crossed_by(self, aggregate: Aggregate) -> bool:
        if aggregate.rest:
            return self._beyond(aggregate.value(), EXACT.multiply(self.value, aggregate.count))
        return self._beyond(int(aggregate.units) * self._denominator, self._numerator * aggregate.count)


_LIMITS: Final[Mapping[Of, Callable[[Decimal, Direction], Limit]]] = {
    Of.COUNT: _Count,
    Of.MAX: _Greatest,
    Of.MIN: _Least,
    Of.MEAN: _Mean,
}
