"""What the page shows beside the status: recent alerts, open windows, open episodes. The loop writes, others read.

There is none where HTTP_PAGE is off, and then the loop makes nothing of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_ALERTS: Final = 1_000
"""How many alerts are kept."""
MOST_BYTES: Final = 1 << 20
"""How large they are together; one that is larger is not kept."""


@dataclass(frozen=True, slots=True)
class CommittedAlert:
    """An alert as it is in the topic."""

    alert_id: str
    value: bytes
    """Its JSON, on one line."""


@dataclass(frozen=True, slots=True)
class RecentAlerts:
    """The newest committed alerts, oldest first."""

    total: int = 0
    """How many there have been since the start, those included that are not kept any more."""
    kept: tuple[CommittedAlert, ...] = ()

    def plus(self, newest: Iterable[CommittedAlert], count: int) -> RecentAlerts:
        """The same with ``count`` newer ones, of which these are the ``newest``, within the limits."""
        kept = (*self.kept, *newest)[-MOST_ALERTS:]
        size, first = 0, len(kept)
        while first and (size := size + len(kept[first - 1].value)) <= MOST_BYTES:
            first -= 1
        return RecentAlerts(self.total + count, kept[first:])

    def after(self, seen: int) -> tuple[int, tuple[CommittedAlert, ...]]:
        """What came after the first ``seen`` ones: how many of that are not kept any more, and the rest."""
        first = self.total - len(self.kept)
        return max(0, first - seen), self.kept[max(0, seen - first) :]

    def number_of(self, alert_id: str) -> int:
        """How many there were up to the alert with this id; if it is not kept, as many as came before the oldest."""
        first = self.total - len(self.kept)
        found = (at for at in range(len(self.kept), 0, -1) if self.kept[at - 1].alert_id == alert_id)
        return first + next(found, 0)


@dataclass(frozen=True, slots=True)
class OpenWindowStatus:
    """A window that is open in one partition or more; times in epoch milliseconds."""

    start: int
    end: int
    keys: int
    """Keys in it, added up over the partitions."""
    partitions: int


@dataclass(frozen=True, slots=True)
class OpenEpisodeStatus:
    """An open episode, as committed. Numbers are texts, as JSON writes them; times in epoch milliseconds."""

    episode_id: str
    detector: str
    shadow: bool
    transaction_id: str
    partition: int
    windows: int
    """How many windows were anomalous."""
    quiet: int
    """How many windows in a row were not, up to now."""
    peak: str
    amount: str
    """The sum in its last anomalous window, as the next three."""
    limit: str
    watermark: int | None
    window: tuple[int, int]


class Live:
    """The loop assigns; other threads read. Each attribute is replaced as a whole, so there is no lock."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        """``about`` is what changes only with the detectors."""
        self.about = about
        self.alerts = RecentAlerts()
        self.windows: tuple[OpenWindowStatus, ...] = ()
        self.episodes: tuple[OpenEpisodeStatus, ...] = ()
        self.posted_ms: int | None = None
        """When the loop last posted the status, by the wall clock."""
        self.in_topic: int | None = None
        """How many partitions the topic has; None before that is known."""
        self.committed_ms: int | None = None
        """When a txn was last committed."""

    def committed(self, newest: Iterable[CommittedAlert], count: int, now_ms: int) -> None:
        """Note a txn that was committed at ``now_ms``, with ``count`` alerts, of which these are the ``newest``."""
        self.committed_ms = now_ms
        if count:
            self.alerts = self.alerts.plus(newest, count)
