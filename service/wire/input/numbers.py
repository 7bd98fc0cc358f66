"""Numbers and times of binary formats as JSON, exactly."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from service.wire.input.columns import TimestampFormat

MAX_SCALE: Final = 10_000
"""The most places of a decimal."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_FLOAT_DIGITS: Final = range(6, 10)
"""A 32-bit float is the only one near a text of 6 digits; 9 always suffice to tell it from its neighbours."""


def decimal_json(units: int, scale: int) -> msgspec.Raw:
    """``units`` times 10 to the power of minus ``scale``, written out: 1250 and 2 are 12.50.

    Raises:
        ValueError: it has more digits than Python converts.
    """
    digits = str(abs(units))
    if scale:
        digits = digits.rjust(scale + 1, "0")
        digits = f"{digits[:-scale]}.{digits[-scale:]}"
    return msgspec.Raw(f"-{digits}" if units < 0 else digits)


def double_json(number: float) -> float | msgspec.Raw:
    """The shortest text that gives the same number; NaN and infinity stay what no JSON number may be."""
    return number if math.isfinite(number) else msgspec.Raw("NaN")


def float_json(number: float) -> float | msgspec.Raw:
    """The shortest text that gives the same 32-bit float: 12.1, not 12.100000381469727."""
    if not math.isfinite(number):
        return msgspec.Raw("NaN")
    for digits in _FLOAT_DIGITS:
        text = f"{number:.{digits}g}"
        try:
            if struct.unpack("f", struct.pack("f", float(text)))[0] == number:
                return float(text)
        except OverflowError:  # rounded up beyond the greatest one
            continue
    return number


def time_json(time_ms: int, form: TimestampFormat) -> int | str | msgspec.Raw:
    """A time of a type of its own, in the format that the settings name."""
    match form:
        case TimestampFormat.EPOCH_MS:
            return time_ms
        case TimestampFormat.EPOCH_US:
            return time_ms * 1_000
        case TimestampFormat.EPOCH_NS:
            return msgspec.Raw(str(time_ms * 1_000_000))
        case TimestampFormat.EPOCH_S:
            return decimal_json(time_ms, 3)
        case TimestampFormat.ISO8601:
            try:
                return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat()
            except OverflowError:
                return time_ms
