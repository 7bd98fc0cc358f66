"""Numbers and times of binary formats as JSON, exactly."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
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


def times_json(form: TimestampFormat) -> Callable[[int], int | str | msgspec.Raw]:
    """From milliseconds of a type of its own to a time in the format that the settings name."""
    return _TIMES[form]


def _iso8601(time_ms: int) -> int | str:
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat()
    except OverflowError:
        return time_ms


_TIMES: Final[dict[TimestampFormat, Callable[[int], int | str | msgspec.Raw]]] = {
    TimestampFormat.EPOCH_MS: lambda time_ms: time_ms,
    TimestampFormat.EPOCH_US: lambda time_ms: time_ms * 1_000,
    TimestampFormat.EPOCH_NS: lambda time_ms: msgspec.Raw(str(time_ms * 1_000_000)),
    TimestampFormat.EPOCH_S: lambda time_ms: decimal_json(time_ms, 3),
    TimestampFormat.ISO8601: _iso8601,
}
