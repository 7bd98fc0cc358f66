"""Turns a timestamp's text into epoch milliseconds: patterns, ISO 8601, epoch numbers, times of a zone. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from decimal import Context, Decimal
from typing import Final

from producer.reading.amounts import MEMO_LIMIT
from producer.reading.errors import BadCellError, BadFormatError, shown
from producer.reading.local_time import YEAR_1_MS, YEAR_10000_MS, AmbiguousTimeError, LocalTime, aware_ms

DEFAULT_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
REPEATED_AFTER_MS: Final = 30 * 60 * 1000
"""The first of two occurrences may be this long before the row above, because rows may be a little out of order."""

_DAY_CHARS: Final = len("2024-05-11")
_TIME_OF_DAY: Final = re.compile(" ([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")
_EPOCH_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}(?:\.[0-9]{0,19})?(?:[eE][+-]?[0-9]{1,2})?")
_BARE_DIGITS: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?")
_EXACT: Final = Context(prec=200)
_NS_PER_UNIT: Final = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}
_NS_PER_MS: Final = 10**6
_DIRECTIVE: Final = re.compile("%(.)", re.DOTALL)
_ZONE_NAMES: Final = ("UTC", "GMT")
"""The names that ``%Z`` reads. strptime also accepts the machine's own names, and ignores all of them."""


class TimestampParser(dict[str, int]):
    """Maps a timestamp's text to epoch milliseconds. A text that is not in the dict yet is read and added.

    Formats: a strptime pattern, or ``iso8601``, ``epoch_s``, ``epoch_ms``, ``epoch_us``, ``epoch_ns``. Times without an
    offset are of ``zone``. A text that is no time raises `BadCellError`. A time that occurs twice raises
    `AmbiguousTimeError`; `after` chooses one.
    """

    def __init__(self, pattern: str, zone: tzinfo) -> None:
        """Choose the reader for ``pattern``; raises `BadFormatError` if it cannot give a full date."""
        super().__init__()
        self._local = LocalTime(zone)
        self._pattern = pattern
        self._midnights: dict[str, int | None] = {}
        self._times: dict[str, int] = {}
        self._named_patterns = [_with_zone(pattern, name) for name in _ZONE_NAMES] if _has_zone(pattern) else []
        self.order_matters = zone.utcoffset(None) is None and pattern not in _NS_PER_UNIT
        """Whether a time may occur twice, so that the row above must be known."""
        readers: dict[str, Callable[[str], int]] = {"iso8601": self._iso8601, DEFAULT_FORMAT: self._default}
        self._read = self._epoch if pattern in _NS_PER_UNIT else readers.get(pattern, self._strptime)
        if pattern not in readers and pattern not in _NS_PER_UNIT:
            _check_pattern(pattern)

    def after(self, text: str, above_ms: int | None) -> int:
        """Read the time of a row. ``above_ms`` is the time of the row above, None for the first row.

        A time that occurs twice is the second one if the first would be more than `REPEATED_AFTER_MS` before the row
        above. Raises BadCellError.
        """
        try:
            return self[text]
        except AmbiguousTimeError as twice:
            is_second = above_ms is not None and twice.first_ms < above_ms - REPEATED_AFTER_MS
            return twice.second_ms if is_second else twice.first_ms

    def __missing__(self, text: str) -> int:
        ms = self._read(text.strip(" \t"))
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[text] = ms
        return ms

    def _default(self, text: str) -> int:
        """Read the default format, with the same result as strptime. An unusual text or day is left to strptime."""
        time_ms = self._times.get(text[_DAY_CHARS:])
        if time_ms is None:
            found = _TIME_OF_DAY.fullmatch(text[_DAY_CHARS:])
            if found is None:
                return self._strptime(text)
            hours, minutes, seconds = map(int, found.groups())
            time_ms = self._times[text[_DAY_CHARS:]] = ((hours * 60 + minutes) * 60 + seconds) * 1000
        day = text[:_DAY_CHARS]
        if day not in self._midnights:
            try:
                midnight = self._local.midnight_ms(datetime.strptime(day, "%Y-%m-%d").date())  # noqa: DTZ007
            except ValueError:
                midnight = None
            if len(self._midnights) >= MEMO_LIMIT:
                self._midnights.clear()
            self._midnights[day] = midnight
        midnight = self._midnights[day]
        return self._strptime(text) if midnight is None else midnight + time_ms

    def _strptime(self, text: str) -> int:
        try:
            when = self._named(text) if self._named_patterns else datetime.strptime(text, self._pattern)  # noqa: DTZ007
        except (ValueError, OverflowError) as error:
            names = f"; of zone names only {' and '.join(_ZONE_NAMES)} are read" if self._named_patterns else ""
            raise BadCellError(f"timestamp {shown(text)} does not match {self._pattern}{names}") from error
        return self._local.ms(when) if when.tzinfo is None else aware_ms(when)

    def _named(self, text: str) -> datetime:
        """Read a pattern with ``%Z``, which may be UTC or GMT; raises ValueError."""
        for pattern in self._named_patterns:
            with suppress(ValueError):
                when = datetime.strptime(text, pattern)  # noqa: DTZ007
                return when.replace(tzinfo=UTC) if when.tzinfo is None else when
        raise ValueError(text)

    def _iso8601(self, text: str) -> int:
        if _BARE_DIGITS.fullmatch(text):
            # fromisoformat reads 20240511, so it would read many epoch numbers as dates of long ago.
            raise BadCellError(
                f"timestamp {shown(text)} is bare digits; epoch_s, epoch_ms, epoch_us or epoch_ns read them"
            )
        try:
            when = datetime.fromisoformat(text)
        except (ValueError, OverflowError) as error:
            raise BadCellError(f"timestamp {shown(text)} is not ISO 8601") from error
        return self._local.ms(when) if when.tzinfo is None else aware_ms(when)

    def _epoch(self, text: str) -> int:
        if _EPOCH_NUMBER.fullmatch(text) is None:
            raise BadCellError(f"timestamp {shown(text)} is not an epoch number")
        ns = _EXACT.multiply(Decimal(text), Decimal(_NS_PER_UNIT[self._pattern]))
        ms = int(_EXACT.divide(ns, Decimal(_NS_PER_MS)).to_integral_value("ROUND_FLOOR", _EXACT))
        if not YEAR_1_MS <= ms < YEAR_10000_MS:
            raise BadCellError(f"timestamp {shown(text)} is out of range")
        return ms


def _has_zone(pattern: str) -> bool:
    return "Z" in _DIRECTIVE.findall(pattern)


def _with_zone(pattern: str, name: str) -> str:
    return _DIRECTIVE.sub(lambda found: name if found[1] == "Z" else found[0], pattern)


def _check_pattern(pattern: str) -> None:
    """Refuse a pattern that strptime does not know, or that loses the date. It is tried on a known time."""
    known = datetime(2024, 5, 11, 10, 20, 30, tzinfo=UTC)
    try:
        again = datetime.strptime(known.strftime(pattern), pattern)  # noqa: DTZ007
    except (ValueError, re.error) as error:
        raise BadFormatError(str(error).replace("\n", " ")) from error
    if again.date() != known.date():
        raise BadFormatError(f"{pattern!r} gives no full date")
