"""Amounts from their text, exactly."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from service.core.model import Reason
from service.core.money import MAX_DIGITS
from service.wire.decoder import Rejection

SAFE_DIGITS: Final = 15
"""No two decimals of at most this many digits share a float, so the float identifies the decimal."""
MAX_EXPONENT_CHARS: Final = 5


def exact_amount(text: str) -> float | Decimal:
    """The amount that a JSON number says: a float where that identifies it, else a Decimal.

    Raises:
        Rejection: it is beyond a float's range, or has too many digits or an absurd exponent.
    """
    amount = float(text)
    if amount and len(text) <= SAFE_DIGITS and math.isfinite(amount):
        return amount
    if math.isinf(amount):
        raise Rejection(Reason.AMOUNT_NOT_FINITE, "number out of range")
    # Check the text before it becomes a number: a hostile exponent would make a number of any size.
    mantissa, _, exponent = text.lower().partition("e")
    places = len(mantissa.partition(".")[2]) - int(exponent[:MAX_EXPONENT_CHARS] or 0)
    if len(exponent) > MAX_EXPONENT_CHARS or len(mantissa) > 2 * MAX_DIGITS or places > MAX_DIGITS:
        raise Rejection(Reason.SCHEMA, f"more than {MAX_DIGITS} digits after the point, or an absurd exponent")
    return Decimal(text) or 0.0
