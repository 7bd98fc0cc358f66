"""The parts of a timeline's picture: points, lines and bars."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from service.core.model import ClockName


@dataclass(frozen=True, slots=True)
class Point:
    """One transaction; times in epoch milliseconds."""

    stored_ms: int
    """The record's Kafka timestamp: of its creation or append, as the topic is configured."""
    event_ms: int
    late: bool


@dataclass(slots=True)
class Line:
    """One partition's watermark: at ``stored_ms[i]`` it rose to ``watermark_ms[i]``."""

    stored_ms: list[int] = field(default_factory=list)
    watermark_ms: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bar:
    """One key's sum in one closed window."""

    start_ms: int
    end_ms: int
    clock: ClockName
    transaction_id: str
    amount: Decimal
    count: int
    anomalous: bool


@dataclass(slots=True)
class Picture:
    """Everything that the timeline draws."""

    topic: str
    lateness_ms: int
    points: list[Point] = field(default_factory=list)
    lines: dict[int, Line] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    rejected: int = 0
    """Records that are no transactions; they are not drawn."""
    filtered: int = 0
    """Records that the settings leave out. They only move the watermark."""
    truncated: bool = False
    """Whether there were more records than the maximum."""
