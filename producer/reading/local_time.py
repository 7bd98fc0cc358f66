"""Turns wall-clock times of a zone into epoch milliseconds, and finds times that occur twice or never. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from producer.reading.amounts import MEMO_LIMIT
from producer.reading.errors import BadCellError

YEAR_1_MS: Final = -62_135_596_800_000
YEAR_10000_MS: Final = 253_402_300_800_000

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  local times are compared with it after their offset is known
_MS: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 24 * 60 * 60 * 1000
_HOURS_AND_LAST: Final = [*((hour, 0) for hour in range(24)), (23, 59)]


class AmbiguousTimeError(BadCellError):
    """The local time occurs twice. The row above decides which one it is."""

    def __init__(self, local: datetime, first_ms: int, second_ms: int) -> None:
        super().__init__(f"timestamp {local} occurs twice")
        self.first_ms = first_ms
        self.second_ms = second_ms


def aware_ms(when: datetime) -> int:
    """Return epoch ms of a time with an offset, rounded down; raises BadCellError outside years 1 to 9999 in UTC."""
    ms = (when.replace(tzinfo=None) - _EPOCH - (when.utcoffset() or timedelta())) // _MS
    if not YEAR_1_MS <= ms < YEAR_10000_MS:
        raise BadCellError(f"timestamp {when} is out of range: years 1 to 9999 in UTC")
    return ms


class LocalTime:
    """Turns wall-clock times of one zone into epoch milliseconds.

    A time that occurs twice, because clocks go back, raises `AmbiguousTimeError`. A time that never occurs, because
    they go forward, raises `BadCellError`.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._days: dict[date, int | None] = {}

    def midnight_ms(self, day: date) -> int | None:
        """Return epoch ms of a day's start; None if the offset changes on that day, so that `ms` reads each time."""
        if day not in self._days:
            hours = [datetime(day.year, day.month, day.day, hour, minute) for hour, minute in _HOURS_AND_LAST]  # noqa: DTZ001
            try:
                offsets = {hour.replace(tzinfo=self._zone).utcoffset() for hour in hours}
                known = self._exact_ms(hours[0]) if len(offsets) == 1 else None
            except (BadCellError, OverflowError):
                known = None
            if known is not None and known + _DAY_MS > YEAR_10000_MS:
                known = None  # part of the day is in year 10000
            if len(self._days) >= MEMO_LIMIT:
                self._days.clear()
            self._days[day] = known
        return self._days[day]

    def ms(self, local: datetime) -> int:
        """Return epoch ms of a time without an offset, rounded down; raises BadCellError."""
        midnight = self.midnight_ms(local.date())
        if midnight is None:
            return self._exact_ms(local)
        seconds = (local.hour * 60 + local.minute) * 60 + local.second
        return midnight + seconds * 1000 + local.microsecond // 1000

    def _exact_ms(self, local: datetime) -> int:
        first = local.replace(tzinfo=self._zone, fold=0)
        try:
            there_and_back = first.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None)
        except OverflowError as error:
            raise BadCellError(f"timestamp {local} is out of range: years 1 to 9999 in UTC") from error
        if there_and_back != local:
            raise BadCellError(f"timestamp {local} does not exist in {self._zone}: the clocks went forward")
        first_ms, second_ms = aware_ms(first), aware_ms(first.replace(fold=1))
        if first_ms != second_ms:
            raise AmbiguousTimeError(local, first_ms, second_ms)
        return first_ms
