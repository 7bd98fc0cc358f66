"""Exact decimal sums that cost little more than float additions.

Amounts of up to four decimals are counted in whole ten-thousandths, which a float holds exactly below 2**53. All other
amounts go through Decimal. Scaling and rounding use a known trick: add and subtract 1.5 * 2**52.

The check makes it exact: ``units / SCALE == amount`` holds only if ``amount`` is the float nearest to that decimal, and
no two decimals of at most 15 digits share a float.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_FLOOR, Context, Decimal
from typing import Final

import msgspec

SCALE: Final = 10_000.0
ROUND: Final = 1.5 * 2**52
"""Adding and then subtracting it rounds a float below 2**51 to the nearest whole number."""
UNITS_LIMIT: Final = 4e14
"""The bound on a running sum. Two such sums differ by less than 1e15, so an added amount has at most 15 digits."""

MAX_DIGITS: Final = 400
"""The most digits before or after the decimal point. More are no amount of money and would cost time."""

# Wide enough for the exact sum of 10**90 amounts with MAX_DIGITS on each side of the point, so it never rounds.
EXACT: Final = Context(prec=2 * MAX_DIGITS + 90, Emax=MAX_EMAX, Emin=MIN_EMIN)

_ZERO: Final = Decimal(0)
_SCALE: Final = Decimal(int(SCALE))


class Total(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """A running sum: ``units`` ten-thousandths plus ``rest``, which is exact."""

    units: float = 0.0
    rest: Decimal = _ZERO

    def add(self, amount: float | Decimal) -> None:
        """Add any amount exactly. The hot loops (add_records and EventClock.accept) do the common case inline."""
        if isinstance(amount, float):
            units = (amount * SCALE + ROUND) - ROUND
            total = self.units + units
            if units / SCALE == amount and -UNITS_LIMIT < total < UNITS_LIMIT:
                self.units = total
                return
            amount = Decimal(repr(amount))
        self.rest = EXACT.add(EXACT.add(self.rest, amount), self._whole())
        self.units = 0.0

    def exceeds(self, limit: Decimal, limit_units: float) -> bool:
        """Whether the sum is strictly greater than ``limit``; ``limit_units`` is ``whole_units(limit)``."""
        return self.value() > limit if self.rest else self.units > limit_units

    def text(self) -> str | None:
        """The sum as text, or None where only value() gives it. A float shows a decimal of 15 digits unchanged."""
        return None if self.rest else repr(self.units / SCALE)

    def value(self) -> Decimal:
        """The exact sum."""
        return EXACT.add(self.rest, self._whole()) if self.rest else self._whole()

    def _whole(self) -> Decimal:
        return EXACT.divide(Decimal(int(self.units)), _SCALE)


def whole_units(limit: Decimal) -> float:
    """The ten-thousandths in ``limit``, rounded down: a whole number exceeds both or neither."""
    bound = Decimal(UNITS_LIMIT)
    return float(EXACT.multiply(max(-bound, min(limit, bound)), _SCALE).to_integral_value(ROUND_FLOOR))
