"""A cell's text to its value: a timestamp to epoch milliseconds, an amount to the text of a JSON number. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

DEFAULT_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
MEMO_LIMIT: Final = 100_000
"""Entries after which a memo starts anew: a file's length must not show in memory."""
AMOUNT_CHARS_MAX: Final = 64
EXPONENT_MAX: Final = 308
"""Greatest decimal exponent of an amount, up and down: beyond it a double has no value for it."""

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  local times are compared with it after their offset is known
_MS: Final = timedelta(milliseconds=1)
_YEAR_1_MS: Final = -62_135_596_800_000
_YEAR_10000_MS: Final = 253_402_300_800_000
_HOURS_AND_LAST: Final = [*((hour, 0) for hour in range(24)), (23, 59)]
_DAY_CHARS: Final = len("2024-05-11")
_TIME_OF_DAY: Final = re.compile(" ([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")

_PLAIN_AMOUNT: Final = r"-?(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,30})?"
_PLAIN_AMOUNTS: Final = re.compile(rf"(?:{_PLAIN_AMOUNT}\n)*+")
_AMOUNT: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]+))?"
)
_EPOCH_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}(?:\.[0-9]{1,9})?")
_NOT_FINITE: Final = frozenset({"nan", "inf", "infinity"})


class BadCellError(ValueError):
    """The cell has no value of its kind; the message says why and shows the text."""


class BadFormatError(ValueError):
    """The timestamp format can't be used; the message says why."""


def shown(text: str, limit: int = 40) -> str:
    """Quote a cell's text for a message: one line, cut after ``limit`` characters."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}..."


def are_plain(amounts: Sequence[str]) -> bool:
    """Tell whether every text already is a JSON number without an exponent: one match for many rows, not one each."""
    joined = "\n".join(amounts) + "\n"
    # A quoted cell may hold a line break; without the count, "1\n2" would pass as two amounts.
    return joined.count("\n") == len(amounts) and _PLAIN_AMOUNTS.fullmatch(joined) is not None


def json_number(text: str) -> str:
    """Write an amount as a JSON number, digit for digit: no float in between.

    Surrounding blanks, a plus sign, leading zeros and a bare point go: ``+05.`` is ``5``, ``.5`` is ``0.5``.

    Raises:
        BadCellError: not a number, not finite, over-long, or with an exponent beyond `EXPONENT_MAX`.
    """
    text = text.strip(" \t")
    if len(text) > AMOUNT_CHARS_MAX:
        raise BadCellError(f"amount {shown(text)} has more than {AMOUNT_CHARS_MAX} characters")
    found = _AMOUNT.fullmatch(text)
    if found is None or not (found["whole"] or found["part"]):
        kind = "not finite" if text.lstrip("+-").lower() in _NOT_FINITE else "not a number"
        raise BadCellError(f"amount {shown(text)} is {kind}")
    exponent = found["exponent"]
    if exponent is not None and (len(exponent) > len("+308") or abs(Decimal(text).adjusted()) > EXPONENT_MAX):
        raise BadCellError(f"amount {shown(text)} is out of range")
    sign = "-" if found["sign"] == "-" else ""
    part = f".{found['part']}" if found["part"] else ""
    return f"{sign}{found['whole'].lstrip('0') or '0'}{part}{f'e{exponent}' if exponent is not None else ''}"


class LocalTime:
    """Wall-clock times of one zone to epoch milliseconds.

    Of a time that happens twice (clocks go back) it is the first; one that never happens (they go forward) is refused.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._days: dict[date, int | None] = {}

    def midnight_ms(self, day: date) -> int | None:
        """Epoch ms of a day's start, or None where the day has a change of offset and each time needs its own look."""
        if day not in self._days:
            hours = [datetime(day.year, day.month, day.day, hour, minute) for hour, minute in _HOURS_AND_LAST]  # noqa: DTZ001
            try:
                offsets = {hour.replace(tzinfo=self._zone).utcoffset() for hour in hours}
                known = self._exact_ms(hours[0]) if len(offsets) == 1 else None
            except (BadCellError, OverflowError):
                known = None
            if len(self._days) >= MEMO_LIMIT:
                self._days.clear()
            self._days[day] = known
        return self._days[day]

    def ms(self, local: datetime) -> int:
        """Epoch ms of a time without an offset, fractions of a millisecond cut off; raises BadCellError."""
        midnight = self.midnight_ms(local.date())
        if midnight is None:
            return self._exact_ms(local)
        seconds = (local.hour * 60 + local.minute) * 60 + local.second
        return midnight + seconds * 1000 + local.microsecond // 1000

    def _exact_ms(self, local: datetime) -> int:
        aware = local.replace(tzinfo=self._zone)
        try:
            there_and_back = aware.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None)
            if there_and_back != local:
                raise BadCellError(f"timestamp {local} does not exist in {self._zone}: the clocks went forward")
            return _aware_ms(aware)
        except OverflowError as error:
            raise BadCellError(f"timestamp {local} is out of range") from error


class TimestampParser(dict[str, int]):
    """Text to epoch milliseconds, as a dict that works out what it doesn't know: a known text costs one C look-up.

    Formats: a strptime pattern, or ``iso8601``, ``epoch_ms``, ``epoch_s``. Times without an offset are of ``zone``.
    Looking up a text that has no value raises `BadCellError`.
    """

    def __init__(self, pattern: str, zone: tzinfo) -> None:
        """Choose the reader for ``pattern``; raises `BadFormatError` where no full date could come of it."""
        super().__init__()
        self._local = LocalTime(zone)
        self._pattern = pattern
        self._midnights: dict[str, int | None] = {}
        self._times: dict[str, int] = {}
        readers: dict[str, Callable[[str], int]] = {
            "iso8601": self._iso8601,
            "epoch_ms": lambda text: _epoch_ms(text, 1),
            "epoch_s": lambda text: _epoch_ms(text, 1000),
            DEFAULT_FORMAT: self._default,
        }
        self._read = readers.get(pattern, self._strptime)
        if pattern not in readers:
            _check_pattern(pattern)

    def __missing__(self, text: str) -> int:
        ms = self._read(text.strip(" \t"))
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[text] = ms
        return ms

    def _default(self, text: str) -> int:
        """Read the default format: agrees with strptime on every text, which it asks where text or day is unusual."""
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
            when = datetime.strptime(text, self._pattern)  # noqa: DTZ007  the zone is applied below
        except ValueError as error:
            raise BadCellError(f"timestamp {shown(text)} does not match {self._pattern}") from error
        return self._local.ms(when) if when.tzinfo is None else _aware_ms(when)

    def _iso8601(self, text: str) -> int:
        try:
            when = datetime.fromisoformat(text)
        except ValueError as error:
            raise BadCellError(f"timestamp {shown(text)} is not ISO 8601") from error
        return self._local.ms(when) if when.tzinfo is None else _aware_ms(when)


def _aware_ms(when: datetime) -> int:
    offset = when.utcoffset() or timedelta()
    return (when.replace(tzinfo=None) - offset - _EPOCH) // _MS


def _epoch_ms(text: str, unit_ms: int) -> int:
    if _EPOCH_NUMBER.fullmatch(text) is None:
        raise BadCellError(f"timestamp {shown(text)} is not an epoch number")
    ms = int((Decimal(text) * unit_ms).to_integral_value("ROUND_FLOOR"))
    if not _YEAR_1_MS <= ms < _YEAR_10000_MS:
        raise BadCellError(f"timestamp {shown(text)} is out of range")
    return ms


def _check_pattern(pattern: str) -> None:
    """Refuse a pattern that strptime doesn't know, or that loses the date: it is tried on a known time."""
    known = datetime(2024, 5, 11, 10, 20, 30, tzinfo=UTC)
    try:
        again = datetime.strptime(known.strftime(pattern), pattern)  # noqa: DTZ007
    except (ValueError, re.error) as error:
        raise BadFormatError(str(error).replace("\n", " ")) from error
    if again.date() != known.date():
        raise BadFormatError(f"{pattern!r} gives no full date")
