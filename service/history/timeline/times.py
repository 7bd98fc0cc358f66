"""Axes of time. The text of a tick depends on the span of the data and on the distance of the ticks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from matplotlib import dates
from matplotlib.ticker import Formatter

MS_PER_DAY: Final = 86_400_000
SECOND: Final = 1 / 86_400
"""In days, which is matplotlib's unit."""
NEARLY: Final = 0.999
"""A float of days is not exact to the millisecond."""


def days(times_ms: Sequence[int]) -> list[float]:
    """Days since the epoch, which is matplotlib's unit."""
    return [ms / MS_PER_DAY for ms in times_ms]


def padded(left_ms: int, right_ms: int) -> tuple[float, float]:
    """The limits of an axis from left to right, with a margin."""
    margin = max(1, right_ms - left_ms) * 0.03
    return (left_ms - margin) / MS_PER_DAY, (right_ms + margin) / MS_PER_DAY


class _Ticks(Formatter):
    """Date, time or both: what distinguishes the ticks, and what the axis' label does not say."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self.one_day = first.date() == last.date()
        self.one_year = first.year == last.year

    def __call__(self, value: float, _place: int | None = None) -> str:
        return self.format_ticks([value])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The texts of all ticks; ``values`` are days since the epoch."""
        gap = min((after - before for before, after in pairwise(values)), default=SECOND)
        day = "%m-%d" if self.one_year else "%Y-%m-%d"
        if gap >= NEARLY and not self.one_day:
            form = day
        elif not self.one_day:
            form = f"{day} %H:%M"
        else:
            form = "%H:%M:%S"
        moments = [datetime.fromtimestamp(round(value * MS_PER_DAY) / 1000, UTC) for value in values]
        below_a_second = self.one_day and gap < SECOND * NEARLY
        return [
            f"{moment:{form}}" + (f".{moment.microsecond // 1000:03d}" if below_a_second else "") for moment in moments
        ]


def date_axis(axis: Any, times_ms: Sequence[int], label: str) -> None:  # noqa: ANN401 - XAxis or YAxis
    """Make an axis one of time, in UTC. Its label has the date or year that all ticks share."""
    first, last = (datetime.fromtimestamp(pick(times_ms) / 1000, UTC) for pick in (min, max))
    ticks = _Ticks(first, last)
    axis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=7))  # type: ignore[no-untyped-call]
    axis.set_major_formatter(ticks)
    common = f"{first:%Y-%m-%d} UTC" if ticks.one_day else f"{first:%Y} UTC" if ticks.one_year else "UTC"
    axis.set_label_text(f"{label} ({common})")
