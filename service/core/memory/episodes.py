"""Episodes: many anomalous windows of a key become two alerts, one at the first and one when it is over."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from service.core.detectors import ConfiguredDetector, Direction, Finding
from service.core.memory.alerts import Alert, Facts
from service.core.memory.identity import resolved_id
from service.core.money import number_text


class Episode(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """An open episode of one key and detector."""

    id: str
    """The alert_id of the alert that opened it."""
    windows: int
    """How many windows were anomalous."""
    quiet: int
    """How many windows in a row were not, up to now."""
    peak: str
    """The most extreme value among the anomalous ones, as JSON writes it."""
    score: float | None
    """The score of the peak."""
    last: Facts
    """The last anomalous window."""
    shadow: bool
    """Whether its alerts go to the shadow topic: the last one goes where the first one went, whatever changes."""


def opened(alert: Alert, finding: Finding, value: Decimal | float) -> Episode:
    """The episode that this alert opens; the alert says so from now on."""
    alert.status, alert.episode_id = "open", alert.alert_id
    return Episode(alert.alert_id, 1, 0, number_text(value), finding.score, alert.facts, alert.shadow)


def continued(
    episode: Episode, configured: ConfiguredDetector, facts: Facts, finding: Finding, value: Decimal | float
) -> Episode:
    """The episode after another anomalous window."""
    peak, score = episode.peak, episode.score
    if _is_further(configured.direction, value, finding.score, episode):
        peak, score = number_text(value), finding.score
    return Episode(episode.id, episode.windows + 1, 0, peak, score, facts, episode.shadow)


def _is_further(direction: Direction, value: Decimal | float, score: float | None, episode: Episode) -> bool:
    if direction is Direction.BOTH and score is not None and episode.score is not None:
        return abs(score) > abs(episode.score)
    exact = Decimal(number_text(value))
    return exact < Decimal(episode.peak) if direction is Direction.BELOW else exact > Decimal(episode.peak)


def quieter(episode: Episode) -> Episode:
    """The episode after a window without an anomaly."""
    return msgspec.structs.replace(episode, quiet=episode.quiet + 1)


def resolved(episode: Episode, detector: str, transaction_id: str, facts: Facts | None = None) -> Alert:
    """The alert that ends the episode; ``facts`` are those of the window that ends it; None: no window does."""
    return Alert(
        resolved_id(episode.id),
        detector,
        episode.shadow,
        transaction_id,
        episode.last if facts is None else facts,
        status="resolved",
        episode_id=episode.id,
        windows=episode.windows,
        peak=episode.peak,
    )
