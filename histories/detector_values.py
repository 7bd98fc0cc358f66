"""What the oracle of the detectors takes and keeps: closed windows, and what is remembered of a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

ANY: Final = object()
"""Equals anything: a checksum, or an id that is a hash."""


@dataclass
class Seen:
    """What a closed window holds of one key; amounts are exact."""

    timestamp: int
    max_timestamp: int
    count: int
    late_count: int
    amount: Fraction
    least: Fraction
    greatest: Fraction
    first: int
    last: int
    latest: int
    """The offset of the first record with the greatest event time."""

    def of(self, of: str) -> Fraction:
        """What a detector looks at."""
        match of:
            case "sum":
                return self.amount
            case "count":
                return Fraction(self.count)
            case "max":
                return self.greatest
            case "min":
                return self.least
        return self.amount / self.count


@dataclass
class Closed:
    """A closed window of one partition."""

    start_ms: int
    end_ms: int
    clock: str
    watermark_ms: int
    keys: dict[str, Seen] = field(default_factory=dict)


@dataclass
class Found:
    """What a value was compared with, where it is an anomaly."""

    limit: Fraction | float
    score: float | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Baseline:
    """The values that went in so far: how many, their sum and their sum of squares; or the weighted form."""

    windows: int = 0
    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: Fraction, half_life: float) -> None:
        """One more window."""
        self.windows += 1
        if not half_life:
            self.total += value
            self.squares += value * value
            self.mean = float(self.total / self.windows)
            self.variance = float(self._spread() / (self.windows - 1)) if self.windows > 1 else 0.0
        elif self.windows == 1:
            self.mean = float(value)
        else:
            alpha = 1 - 2 ** (-1 / half_life)
            from_mean = float(value) - self.mean
            self.mean += alpha * from_mean
            self.variance = (1 - alpha) * (self.variance + alpha * from_mean**2)

    def _spread(self) -> Fraction:
        return self.squares - self.total * self.total / self.windows

    def packed(self, half_life: float) -> list[Any]:
        """As the state topic holds it."""
        return [self.windows, self.mean, self.variance if half_life else float(self._spread())]


@dataclass
class LastEvent:
    """A key's last event."""

    event_ms: int
    offset: int
    reported: bool = False

    def packed(self) -> list[Any]:
        """As the state topic holds it."""
        return [self.event_ms, self.offset, self.event_ms, self.reported, None]


@dataclass
class Episode:
    """An open episode."""

    windows: int
    quiet: int
    peak: Fraction
    score: float | None
    last: dict[str, Any]
    """The alert about the last anomalous window, without what only an episode's alerts say."""
    id: Any = None
    """Readers of the alerts know it."""


@dataclass
class Remembered:
    """What is remembered of a key."""

    seen_ms: int
    state: Baseline | LastEvent | None
    episode: Episode | None
