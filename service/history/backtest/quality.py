"""How well the detectors find windows that are known to be bad."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from service.core.detectors import ConfiguredDetector, KeyWindow
from service.core.model import WindowClosed
from service.history.backtest.tallies import Scores, median

WindowKey = tuple[str, int]
"""An id and the start of a window."""


class Quality:
    """Windows by score, by detector; with labels, which are bad, which were found, and how soon."""

    def __init__(self, detectors: Iterable[ConfiguredDetector], *, labelled: bool) -> None:
        """Begin without a window."""
        self.labelled: Final = labelled
        self.detectors: Final = {one.name: one for one in detectors}
        self.scores: Final = {name: Scores() for name in self.detectors}
        self._flagged: dict[str, list[int]] = {name: [0, 0] for name in self.detectors}
        """How many windows were anomalies, and how many of them are bad."""
        self._any = [0, 0]
        """The same for windows that any active detector found."""
        self._found: set[WindowKey] = set()
        """Those of the windows that are being judged."""
        self.bad_windows = 0
        self._bad: set[WindowKey] = set()
        """The bad ones of the windows that are open, or being judged."""
        self._first_bad: dict[str, int] = {}
        """Event time of the first bad record, by id."""
        self._detected: dict[str, dict[str, int]] = defaultdict(dict)
        """By detector and id: how long after its first bad record the first alert about a bad window came."""

    def bad_record(self, key: str, window_start_ms: int, event_ms: int) -> None:
        """Note a bad record in a window."""
        self._bad.add((key, window_start_ms))
        self._first_bad[key] = min(event_ms, self._first_bad.get(key, event_ms))

    def note(self, configured: ConfiguredDetector, window: KeyWindow, score: float | None, anomalous: bool) -> None:  # noqa: FBT001 - see Note
        """Take a judged window."""
        where = window.transaction_id, window.window.start_ms
        bad = where in self._bad
        self.scores[configured.name].add(score, bad=bad)
        if anomalous and self.labelled:
            flagged = self._flagged[configured.name]
            flagged[0] += 1
            flagged[1] += bad
            if not configured.shadow:
                self._found.add(where)
            if bad and where[0] not in self._detected[configured.name]:
                self._detected[configured.name][where[0]] = window.window.end_ms - self._first_bad[where[0]]

    def judged(self, closed: Iterable[WindowClosed]) -> None:
        """Note that all detectors have judged these windows."""
        self._any[0] += len(self._found)
        self._any[1] += len(self._found & self._bad)
        self._found.clear()
        if not self._bad:
            return
        over = {one.window.start_ms for one in closed}
        for where in [where for where in self._bad if where[1] in over]:
            self._bad.discard(where)
            self.bad_windows += 1

    def of(self, name: str) -> dict[str, float | None]:
        """Precision, recall, average precision and time to detection of a detector."""
        if not self.labelled:
            return {}
        return self._figures(self._flagged[name], self.scores[name].average_precision(), self._detected[name])

    def of_all(self) -> dict[str, float | None]:
        """The same of all active detectors together. Scores of two detectors cannot be compared."""
        if not self.labelled:
            return {}
        active = [name for name, one in self.detectors.items() if not one.shadow]
        average = self.scores[active[0]].average_precision() if len(active) == 1 else None
        soonest: dict[str, int] = {}
        for name in active:
            for key, took_ms in self._detected[name].items():
                soonest[key] = min(took_ms, soonest.get(key, took_ms))
        return self._figures(self._any, average, soonest)

    @property
    def bad_ids(self) -> int:
        """How many ids have a bad record."""
        return len(self._first_bad)

    def _figures(
        self, flagged: list[int], average: float | None, detected: Mapping[str, int]
    ) -> dict[str, float | None]:
        found, right = flagged
        took_ms = median(detected.values())
        return {
            "precision": right / found if found else None,
            "recall": right / self.bad_windows if self.bad_windows else None,
            "average_precision": average,
            "seconds_to_detection": None if took_ms is None else took_ms / 1000,
            "ids_detected": len(detected),
        }
