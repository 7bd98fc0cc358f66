"""Alerts that one configuration has and the other has not, by id and window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from service.core.memory.alerts import Alert

About = tuple[str, int, int]
"""An id, and begin and end of a window."""
MOST_LISTED: Final = 10_000
"""More differences than this are counted, but not listed."""


class Difference:
    """Compares alerts as they come. What both have is forgotten at once."""

    def __init__(self) -> None:
        """Begin without an alert."""
        self._gained: dict[About, str] = {}
        self._lost: dict[About, str] = {}
        self._both: set[About] = set()
        """What both have, until the next settle(): another detector may find it, too."""

    def new(self, alert: Alert) -> None:
        """Take an alert of the new configuration."""
        self._take(alert, self._gained, self._lost)

    def old(self, alert: Alert) -> None:
        """Take an alert of the other one."""
        self._take(alert, self._lost, self._gained)

    def _take(self, alert: Alert, mine: dict[About, str], others: dict[About, str]) -> None:
        about = alert.transaction_id, alert.facts.start_ms, alert.facts.end_ms
        if about in others:
            del others[about]
            self._both.add(about)
        elif about not in self._both:
            mine.setdefault(about, alert.detector)

    def settle(self) -> None:
        """Note that both have judged the same records."""
        if len(self._both) > MOST_LISTED:
            self._both.clear()

    @property
    def gained(self) -> list[dict[str, Any]]:
        """Those of the new configuration alone, by time."""
        return _listed(self._gained.items())

    @property
    def lost(self) -> list[dict[str, Any]]:
        """Those of the other one alone, by time."""
        return _listed(self._lost.items())


def _listed(found: Iterable[tuple[About, str]]) -> list[dict[str, Any]]:
    ordered = sorted(found, key=lambda one: (one[0][1], one[0][0]))
    return [
        {"transaction_id": key, "window": {"start": start_ms, "end": end_ms}, "detector": detector}
        for (key, start_ms, end_ms), detector in ordered
    ]
