"""What an alert says, before it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import msgspec

from service.core.detectors import NOTHING, ConfiguredDetector, Finding, KeyWindow, Of, Silence
from service.core.detectors.looked_at import value_of
from service.core.memory.identity import alert_id
from service.core.model import EventTimeMs, Offset, Partition
from service.core.money import number_text


class Facts(msgspec.Struct, array_like=True, gc=False):
    """The window of an alert, and the finding. Numbers are texts as JSON writes them; times are epoch milliseconds.

    An open episode keeps those of its last anomaly, so this is part of what the state topic holds.
    """

    timestamp: EventTimeMs | None
    amount: str
    watermark: EventTimeMs | None
    count: int
    late_count: int
    max_timestamp: EventTimeMs | None
    start_ms: int
    end_ms: int
    clock: str
    first_offset: Offset | None
    last_offset: Offset | None
    limit: str
    of: Of
    value: str | None
    """What the detector looked at; None stands for the sum."""
    fields: dict[str, Any]


FIELDS: Final = frozenset({
    "alert_id", "detector", "transaction_id", "timestamp", "amount", "watermark", "count", "late_count",
    "max_timestamp", "window", "source", "limit", "detected_at", "of", "value", "rules", "status", "episode_id",
    "windows", "peak",
})  # fmt: skip
"""The fields of every alert; a detector adds others."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


def facts_of(window: KeyWindow, clock: str, of: Of, finding: Finding) -> Facts:
    """The facts of an anomaly in a window; ``clock`` is the name of the windows' clock."""
    limit, value = finding.limit, finding.value
    shown = None if of is Of.SUM else number_text(value_of(of, window.aggregate) if value is None else value)
    return _facts(window, clock, number_text(limit), of, shown, finding.fields)


def check_finding(finding: Finding) -> None:
    """Refuse what an alert cannot say. The detector may be somebody's own code, and readers get what it returns.

    Raises:
        ValueError: the finding has a number that is not finite, or a field that every alert has.
        TypeError: it has a value that JSON cannot hold.
    """
    for number in (finding.limit, finding.value, finding.score):
        if number is not None and not (number.is_finite() if isinstance(number, Decimal) else isfinite(number)):
            raise ValueError(f"the finding has a number that is not finite: {number}")
    if finding.fields:
        if taken := FIELDS.intersection(finding.fields):
            raise ValueError(f"every alert has the field {min(taken)} already")
        _encode(finding.fields)


def facts_without_finding(window: KeyWindow, clock: str, of: Of, value: Decimal | float, limit: str) -> Facts:
    """The facts of a window in which an episode ends; ``limit`` is that of the episode's last anomaly."""
    return _facts(window, clock, limit, of, None if of is Of.SUM else number_text(value), NOTHING)


def _facts(  # noqa: PLR0917 - the fields in their order
    window: KeyWindow, clock: str, limit: str, of: Of, value: str | None, fields: Mapping[str, Any]
) -> Facts:
    aggregate, span = window.aggregate, window.window
    return Facts(
        aggregate.timestamp,
        aggregate.text() or number_text(aggregate.value()),
        window.watermark_ms,
        aggregate.count,
        aggregate.late_count,
        aggregate.max_timestamp,
        span.start_ms,
        span.end_ms,
        clock,
        aggregate.first_offset,
        aggregate.last_offset,
        limit,
        of,
        value,
        dict(fields),
    )


def facts_of_silence(silence: Silence, watermark_ms: EventTimeMs | None) -> Facts:
    """The facts of a silence; its window begins with the last event and is ``after_ms`` long."""
    return Facts(
        silence.event_ms,
        "0.0",
        watermark_ms,
        0,
        0,
        silence.event_ms,
        silence.start_ms,
        silence.start_ms + silence.after_ms,
        silence.clock,
        silence.offset,
        silence.offset,
        str(silence.after_ms),
        Of.SUM,
        None,
        {},
    )


class Alert(msgspec.Struct, gc=False):
    """An alert: what is written to the topic of alerts, or of shadow alerts."""

    alert_id: str
    detector: str
    shadow: bool
    transaction_id: str
    facts: Facts
    status: str | None = None
    """``open`` or ``resolved`` where the detector reports episodes."""
    episode_id: str | None = None
    windows: int | None = None
    """How many windows of a resolved episode were anomalous."""
    peak: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The input partition whose keys these are."""

    topic: str
    partition: Partition


def alert_of(configured: ConfiguredDetector, place: Place, key: str, facts: Facts) -> Alert:
    """The alert of a detector about a key."""
    name = configured.name
    identity = alert_id(place.topic, place.partition, key, facts.start_ms, facts.end_ms, name, facts.first_offset)
    return Alert(identity, name, configured.shadow, key, facts)


@dataclass(slots=True)
class Judgement:
    """What the detectors found in the windows of one partition that one txn commits."""

    alerts: list[Alert] = field(default_factory=list)
    anomalies: Counter[str] = field(default_factory=Counter)
    """How many anomalies each active detector found, those of open episodes included."""
    shadow_anomalies: Counter[str] = field(default_factory=Counter)
    """The same for shadow detectors."""

    def take_alerts(self) -> list[Alert]:
        """Return the alerts that were found since the last call."""
        alerts, self.alerts = self.alerts, []
        return alerts

    def count(self, configured: ConfiguredDetector) -> None:
        """Count an anomaly that this detector has found."""
        (self.shadow_anomalies if configured.shadow else self.anomalies)[configured.name] += 1
