"""Exact decimal sums, nearly as cheap as float additions.

Money written with up to four decimals is counted in whole ten-thousandths, and whole numbers in a float
are exact far beyond any amount; everything else goes through Decimal. The idea (scale, round by adding
1.5 * 2**52, check by dividing back) is the classic float rounding trick; the check is what makes it exact:
``units / SCALE == amount`` holds only where ``amount`` is the float nearest to that decimal, and decimals
of 15 digits or fewer never share a float.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_FLOOR, Context, Decimal
from typing import Final

SCALE: Final = 10_000.0
ROUND: Final = 1.5 * 2**52
"""Adding and then subtracting it rounds a float below 2**51 to the nearest whole number."""
UNITS_LIMIT: Final = 4e14
"""Running units stay below it. Two such numbers differ by less than 1e15, so an added amount has 15 digits at most."""

MAX_DIGITS: Final = 400
"""More digits before or after the decimal point than this is no amount of money, and would only cost time."""

# Wide enough for the exact sum of 10**90 amounts of MAX_DIGITS on either side of the point: it never rounds.
EXACT: Final = Context(prec=2 * MAX_DIGITS + 90, Emax=MAX_EMAX, Emin=MIN_EMIN)

_ZERO: Final = Decimal(0)
_SCALE: Final = Decimal(int(SCALE))


class Total:
    """A running sum: ``units`` ten-thousandths and a ``rest``. Both together are exact."""

    __slots__ = ("rest", "units")

    def __init__(self) -> None:
        """Start at zero."""
        self.units = 0.0
        self.rest = _ZERO

    def add(self, amount: float | Decimal) -> None:
        """Add any amount exactly. The loops of the clocks do the common case themselves, without this call."""
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
        """Whether the sum is strictly greater than ``limit``, whose whole ten-thousandths are ``limit_units``."""
        return self.value() > limit if self.rest else self.units > limit_units

    def text(self) -> str | None:
        """The sum as a decimal number, where that is cheap: a decimal of 15 digits is what its float is shown as."""
        return None if self.rest else repr(self.units / SCALE)

    def value(self) -> Decimal:
        """The exact sum."""
        return EXACT.add(self.rest, self._whole()) if self.rest else self._whole()

    def _whole(self) -> Decimal:
        return EXACT.divide(Decimal(int(self.units)), _SCALE)


def whole_units(limit: Decimal) -> float:
    """The ten-thousandths in ``limit``, rounded down: whole units are above one exactly if they are above the other."""
    bound = Decimal(UNITS_LIMIT)
    return float(EXACT.multiply(max(-bound, min(limit, bound)), _SCALE).to_integral_value(ROUND_FLOOR))
