"""Columns of ids, times and amounts: from the values of a batch to what transactions hold.

Each function takes a column of at least one value. A bad value makes it raise a Rejection, whose text does not name the
field, or a ValueError. The decoder then looks for the record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from service.core.model import MAX_ID_CHARS, OLDEST_TIMESTAMP_MS, EventTimeMs, Reason
from service.core.money import EXACT
from service.wire.amounts import MAX_EXPONENT_CHARS, SAFE_DIGITS, exact_amount, short_amounts
from service.wire.decoder import Rejection
from service.wire.input.paths import MappingError

Amounts = list[float] | list[float | Decimal]
ID: Final = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
MAPPED_ID: Final = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)] | int
MAX_BITS: Final = 2_657
"""The most of a whole number with 2 * MAX_DIGITS digits."""
MAX_PLACES: Final = 30
"""The most places of ``minor:N``."""
_LATEST_MS: Final = 2**63 - 1
_SAFE: Final = 10**SAFE_DIGITS


# ---- ids ----------------------------------------------------------------------------------------------------


def join_ids(parts: Sequence[Sequence[str]]) -> list[str]:
    r"""Join the parts of composite ids by ``|``. A ``|`` or ``\`` in a part is escaped by ``\``."""
    ids = list(map("|".join, zip(*map(_escaped, parts), strict=True)))
    if max(map(len, ids)) > MAX_ID_CHARS:
        raise Rejection(Reason.SCHEMA, f"more than {MAX_ID_CHARS} characters")
    return ids


def _escaped(part: Sequence[str]) -> Sequence[str]:
    everything = "".join(part)
    if "|" not in everything and "\\" not in everything:
        return part
    return [one.replace("\\", "\\\\").replace("|", "\\|") for one in part]


def ids_of_keys(keys: Sequence[bytes | None]) -> list[str]:
    """The ids that records' keys are."""
    if not all(keys):
        raise Rejection(Reason.SCHEMA, "the record has no key")
    try:
        ids = [key.decode() for key in keys]  # type: ignore[union-attr]
    except UnicodeDecodeError as error:
        raise Rejection(Reason.NOT_UTF8, f"byte {error.start}: {error.reason}") from None
    if max(map(len, ids)) > MAX_ID_CHARS:
        raise Rejection(Reason.SCHEMA, f"more than {MAX_ID_CHARS} characters")
    return ids


# ---- times --------------------------------------------------------------------------------------------------


class TimestampFormat(StrEnum):
    """How a record writes its event time."""

    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"
    EPOCH_US = "epoch_us"
    EPOCH_NS = "epoch_ns"
    ISO8601 = "iso8601"


_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MS: Final = timedelta(milliseconds=1)
_LONGEST_S: Final = 400
"""Characters of a number of seconds."""


def checked_times(times_ms: list[int]) -> list[EventTimeMs]:
    """The times, if each is one that an event may have."""
    if min(times_ms) < OLDEST_TIMESTAMP_MS:
        raise Rejection(Reason.TIMESTAMP_TOO_SMALL, "too small for its format, or before 1973-03-03")
    if max(times_ms) > _LATEST_MS:
        raise Rejection(Reason.SCHEMA, "too great for milliseconds in 64 bits")
    return times_ms  # type: ignore[return-value]


def _from_seconds(column: Sequence[msgspec.Raw]) -> list[int]:
    try:
        return [seconds * 1_000 for seconds in map(int, column)]
    except ValueError:
        return list(map(_ms_of_seconds, column))


def _ms_of_seconds(raw: msgspec.Raw) -> int:
    """Cut off what is finer than a millisecond."""
    if (kind := _kind(raw)) is not None:
        raise Rejection(Reason.SCHEMA, f"expected a number, got {kind}")
    text = bytes(raw).decode("ascii")
    exponent = text.lower().partition("e")[2]
    if len(text) <= _LONGEST_S and len(exponent) <= MAX_EXPONENT_CHARS:
        seconds = Decimal(text)
        if abs(seconds.adjusted()) <= SAFE_DIGITS:
            return int(seconds.scaleb(3, EXACT))
        if not seconds or seconds.adjusted() < 0:
            return 0
    raise Rejection(Reason.SCHEMA, "too great or too long for seconds")


def _from_iso8601(column: Sequence[str]) -> list[int]:
    try:
        return [(moment - _EPOCH) // _MS for moment in map(datetime.fromisoformat, column)]
    except TypeError:  # a time without an offset cannot be subtracted from one that has one
        raise Rejection(Reason.SCHEMA, "a time without an offset") from None
    except (ValueError, OverflowError):
        raise Rejection(Reason.SCHEMA, "not a time in ISO 8601") from None


TIMES: Final[dict[TimestampFormat, tuple[Any, Callable[[Any], list[int]]]]] = {
    TimestampFormat.EPOCH_S: (msgspec.Raw, _from_seconds),
    TimestampFormat.EPOCH_MS: (int, list),
    TimestampFormat.EPOCH_US: (int, lambda column: [one // 1_000 for one in column]),
    TimestampFormat.EPOCH_NS: (int, lambda column: [one // 1_000_000 for one in column]),
    TimestampFormat.ISO8601: (str, _from_iso8601),
}
"""For each format, the type that is read from JSON, and the function to milliseconds."""


# ---- amounts ------------------------------------------------------------------------------------------------

_OTHER_CHARS: Final = re.compile(r"[^0-9.,eE+-]")
_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_KINDS: Final = {b'"': "text", b"t": "true", b"f": "false", b"n": "null", b"{": "an object", b"[": "an array"}


def amounts(form: str) -> tuple[Any, Callable[[Any], Amounts]]:
    """The type that is read from JSON, and the function to amounts, of ``number``, ``text`` or ``minor:N``.

    Raises:
        MappingError: there is no such format.
    """
    if form == "number":
        return msgspec.Raw, _from_numbers
    if form == "text":
        return str, _from_texts
    found = re.fullmatch("minor:([0-9]{1,2})", form)
    if found and (places := int(found[1])) <= MAX_PLACES:
        return int, lambda column: _from_minor(column, places)
    raise MappingError(f"is no format: number, text, or minor:N with N from 0 to {MAX_PLACES}")


def _from_numbers(column: Sequence[msgspec.Raw]) -> Amounts:
    if (found := short_amounts(column)) is not None:
        return found
    kinds = [kind for raw in column if (kind := _kind(raw)) is not None]
    if kinds:
        raise Rejection(Reason.SCHEMA, f"expected a number, got {kinds[0]}")
    return [exact_amount(bytes(raw).decode("ascii")) for raw in column]


def _from_texts(column: Sequence[str]) -> Amounts:
    joined = ", ".join(column)
    found = None if _OTHER_CHARS.search("".join(column)) else short_amounts([joined.encode()])
    if found is not None and len(found) == len(column):  # otherwise a text has a comma
        return found
    if not all(map(_JSON_NUMBER.fullmatch, column)):
        raise Rejection(Reason.SCHEMA, "a text that is no JSON number")
    return list(map(exact_amount, column))


def _from_minor(column: Sequence[int], places: int) -> Amounts:
    if max(column) < _SAFE and min(column) > -_SAFE:
        scale = 10**places
        return [one / scale for one in column]
    return [_exact_minor(one, places) for one in column]


def _exact_minor(units: int, places: int) -> float | Decimal:
    if -_SAFE < units < _SAFE:
        amount: float = units / 10**places
        return amount
    if units.bit_length() > MAX_BITS:  # a longer text would take long to make
        raise Rejection(Reason.AMOUNT_NOT_FINITE, "number out of range")
    text = str(units)
    exact = Decimal(f"{text}E-{places}")
    if math.isinf(float(exact)):
        raise Rejection(Reason.AMOUNT_NOT_FINITE, "number out of range")
    return exact


def _kind(raw: msgspec.Raw) -> str | None:
    """What a JSON value is that is no number; None for a number."""
    return _KINDS.get(bytes(raw)[:1])
