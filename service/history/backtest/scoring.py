"""Notes the score of each window that a detector judges. The detector itself judges, and its states are its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from service.core.detectors import ConfiguredDetector, Direction, Finding, KeyWindow
from service.core.detectors.deviation import Deviation
from service.core.detectors.inactivity import Inactivity
from service.core.detectors.model import Model
from service.core.detectors.threshold import Threshold

Note = Callable[[ConfiguredDetector, KeyWindow, float | None, bool], None]
"""Gets a judged window: its score (higher is worse; None: not judged yet), and whether it is an anomaly."""


def noted(configured: ConfiguredDetector, note: Note) -> ConfiguredDetector:
    """The same detector, which notes each window. A silence has no window, so `inactivity` notes nothing."""
    detector = configured.detector
    if isinstance(detector, Inactivity):
        return configured
    made = _Many if hasattr(detector, "judge_all") else _One
    return replace(configured, detector=made(configured, note))


def as_limit(configured: ConfiguredDetector, score: float) -> float:
    """The limit of a detector, or its sigmas, that a window with this score is just not beyond."""
    below = configured.direction is Direction.BELOW and isinstance(configured.detector, Threshold)
    return -score if below else score


def _worse(configured: ConfiguredDetector, score: float | None) -> float | None:
    """The score so that higher is worse."""
    if score is None or configured.direction is Direction.ABOVE:
        return score
    return -score if configured.direction is Direction.BELOW else abs(score)


def _of_finding(finding: Finding | None) -> float | None:
    """The score of another package's detector: that of its finding, or else the value that it looked at."""
    if finding is None:
        return None
    number = finding.value if finding.score is None else finding.score
    return None if number is None else float(number)


class _Noted:
    """What both kinds have in common."""

    def __init__(self, configured: ConfiguredDetector, note: Note) -> None:
        self._configured: Final = configured
        self._detector: Final = configured.detector
        self._note = note
        self.state_type: Final = self._detector.state_type
        self.state_kind: Final = self._detector.state_kind


class _One(_Noted):
    """A detector that judges one window at a time."""

    def judge(self, state: Any, window: KeyWindow) -> tuple[Any, Finding | None]:  # noqa: ANN401 - the detector's own
        """Judge, and note."""
        result: tuple[Any, Finding | None] = self._detector.judge(state, window)
        if isinstance(self._detector, Threshold | Deviation):
            score = _worse(self._configured, self._detector.score(state, window))
        else:
            score = _of_finding(result[1])
        self._note(self._configured, window, score, result[1] is not None)
        return result


class _Many(_Noted):
    """A detector that judges many windows in one call."""

    def prepare(self, state: Any, window: KeyWindow) -> tuple[Any, Any]:  # noqa: ANN401 - the detector's own
        """Prepare, and keep the window."""
        after, row = self._detector.prepare(state, window)
        return after, (row, window)

    def judge_all(self, rows: Sequence[tuple[Any, KeyWindow]]) -> Sequence[Finding | None]:
        """Judge, and note."""
        inner = [row for row, _ in rows]
        findings: Sequence[Finding | None]
        scores: list[float | None]
        if isinstance(self._detector, Model):
            outputs = self._detector.scores(inner)
            findings = [self._detector.finding(row, output) for row, output in zip(inner, outputs, strict=True)]
            scores = list(outputs)
        else:
            findings = self._detector.judge_all(inner)
            scores = list(map(_of_finding, findings))
        for (_, window), score, finding in zip(rows, scores, findings, strict=True):
            self._note(self._configured, window, score, finding is not None)
        return findings
