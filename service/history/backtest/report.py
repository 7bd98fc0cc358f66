"""The report of a backtest: its figures, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from service.core.detectors import DAY_MS, ConfiguredDetector
from service.core.detectors.deviation import Deviation
from service.core.detectors.inactivity import Inactivity
from service.history.backtest.difference import Difference
from service.history.backtest.scoring import as_limit
from service.history.backtest.side import Side

MOST_IDS: Final = 10


@dataclass(slots=True)
class Report:
    """What a backtest has found so far."""

    source: str
    """The file, or the topic."""
    side: Side
    window_ms: int
    against: Side | None = None
    difference: Difference | None = None
    budget: float | None = None
    """Alerts a day that are wanted."""
    records: int = 0
    unusable: dict[str, int] = field(default_factory=dict)
    """Rows of a CSV that are no record, by what is wrong with them."""
    first_ms: int | None = None
    """The begin of the span: the first record's time, or the one that was asked for."""
    last_ms: int | None = None
    """Its end, in the same way."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know to read the figures."""

    def saw(self, first_ms: int, last_ms: int) -> None:
        """Note the times of records."""
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)

    @property
    def days(self) -> float:
        """The length of the span, at least one window."""
        if self.first_ms is None or self.last_ms is None:
            return self.window_ms / DAY_MS
        return max(self.last_ms - self.first_ms, self.window_ms) / DAY_MS

    def alerts(self, side: Side | None = None) -> int:
        """The alerts in all. Those of shadow detectors do not count."""
        side = side or self.side
        return sum(side.alerts[one.name] for one in side.detectors if not one.shadow)

    def a_day(self, alerts: float) -> float:
        """So many, a day on average over the span."""
        return alerts / self.days


@dataclass(frozen=True, slots=True)
class Fit:
    """What a detector needs to keep to the budget."""

    setting: str
    """``limit`` or ``sigmas``."""
    value: float | None
    """None: even if every window were an anomaly, there would not be too many."""
    anomalies: int
    """How many windows it finds then."""


def fit_of(report: Report, one: ConfiguredDetector) -> Fit | None:
    """The limit that keeps to the budget; None where the detector has none."""
    if report.budget is None or isinstance(one.detector, Inactivity):
        return None
    scores = report.side.quality.scores[one.name]
    found = scores.limit_for(int(report.budget * report.days))
    setting = "sigmas" if isinstance(one.detector, Deviation) else "limit"
    if found is None:
        return Fit(setting, None, scores.windows)
    return Fit(setting, as_limit(one, found[0]), found[1])


def as_json(report: Report) -> dict[str, Any]:
    """The report as one object. Times are epoch milliseconds."""
    side, difference = report.side, report.difference
    alerts = report.alerts()
    quality = side.quality.of_all()
    found: dict[str, Any] = {
        "records": report.records,
        "windows": side.windows,
        "keys": side.keys.count,
        "alerts": alerts,
        "alerts_a_day": report.a_day(alerts),
        "by_detector": dict(side.alerts),
        "gained": None if difference is None else difference.gained,
        "lost": None if difference is None else difference.lost,
        **{name: quality.get(name) for name in ("precision", "recall", "average_precision", "seconds_to_detection")},
        "span": {"from": report.first_ms, "to": report.last_ms, "days": report.days},
        "keys_estimated": side.keys.estimated,
        "late": side.late,
        "filtered": side.filtered,
        "rejected": {reason.value: count for reason, count in sorted(side.rejected.items())},
        "unusable_rows": report.unusable,
        "top_ids": [{"transaction_id": key, "alerts": count} for key, count in side.top.top(MOST_IDS)],
        "detectors": {one.name: _detector(report, one) for one in side.detectors},
        "notes": report.notes,
    }
    if report.against is not None:
        before = report.alerts(report.against)
        found["against"] = {
            "alerts": before,
            "alerts_a_day": report.a_day(before),
            "by_detector": dict(report.against.alerts),
            **report.against.quality.of_all(),
        }
    return found


def _detector(report: Report, one: ConfiguredDetector) -> dict[str, Any]:
    side = report.side
    found: dict[str, Any] = {
        "alerts": side.alerts[one.name],
        "alerts_a_day": report.a_day(side.alerts[one.name]),
        "mode": "shadow" if one.shadow else "active",
        **side.quality.of(one.name),
    }
    if (fit := fit_of(report, one)) is not None:
        found["budget"] = {fit.setting: fit.value, "anomalies": fit.anomalies, "a_day": report.a_day(fit.anomalies)}
    return found
