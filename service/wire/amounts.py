"""Amounts from their text, exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from service.core.model import Reason
from service.core.money import MAX_DIGITS
from service.wire.decoder import Rejection

SAFE_DIGITS: Final = 15
"""No two decimals of at most this many digits share a float, so the float identifies the decimal."""
MAX_EXPONENT_CHARS: Final = 5
_NUMERIC: Final = bytes(ord("0") if chr(byte) in "0123456789." else ord(" ") for byte in range(256))
"""Translates digits and the point to ``0``, and everything else to a space."""
_LONG_NUMBER: Final = b"0" * ((SAFE_DIGITS + 1) // 2)
"""Found in every second translated byte of an amount of more than 15 digits: at least 16 digits and point in a row."""
_decode_floats = msgspec.json.Decoder(list[float]).decode


def has_long_number(text: bytes) -> bool:
    """Whether 16 digits stand together, with at most a point among them. It may find digits of other numbers, too."""
    return _LONG_NUMBER in text[::2].translate(_NUMERIC)


def short_amounts(texts: Iterable[msgspec.Raw | bytes]) -> list[float] | None:
    """The amounts of JSON values, in few calls into C.

    None where that is not exact or not possible: one is zero (a float zero may be all that is left of 1e-999999), has
    more digits than a float keeps, or is no number.
    """
    # One JSON array of all: as each is a JSON value, it stays an element of its own. Between two amounts are two bytes,
    # or every second byte of the array might be all digits.
    joined = b", ".join(texts)
    try:
        amounts = _decode_floats(b"[%b]" % joined)
    except msgspec.MsgspecError:
        return None
    return amounts if all(amounts) and not has_long_number(joined) else None


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
