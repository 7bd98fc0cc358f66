"""The deviation detector: finds values far from what is usual for the key."""

from __future__ import annotations

from typing import Final

from service.core.detectors import Direction, Finding, KeyWindow, Of
from service.core.detectors.baseline import Baseline, deviation_of, updated
from service.core.detectors.looked_at import NUMBERS, value_of


class Deviation:
    """An anomaly is more than ``sigmas`` deviations from the mean of the key's earlier closed windows.

    A window is judged first and goes into the baseline afterwards, also when it is an anomaly: without that, a change
    of level would stay an anomaly. ``clip_sigmas`` bounds what goes in, so that an attack teaches little.
    """

    state_type: Final = Baseline

    def __init__(
        self,
        *,
        of: Of = Of.SUM,
        sigmas: float = 3.0,
        direction: Direction = Direction.ABOVE,
        min_windows: int = 30,
        half_life: float = 0,
        clip_sigmas: float = 0,
    ) -> None:
        """``half_life`` is in windows. With 0 all windows weigh the same; with ``clip_sigmas`` 0 nothing is bounded.

        A key is judged once its baseline has ``min_windows`` windows (at least 2) and a deviation above 0.
        """
        self._of = of
        self._number_of = NUMBERS[of]
        self._sigmas = sigmas
        self._above = direction is not Direction.BELOW
        self._below = direction is not Direction.ABOVE
        self._min_windows = min_windows
        self._half_life = half_life
        self._clip_sigmas = clip_sigmas
        self.state_kind = f"deviation {of.value} {'weighted' if half_life else 'equal'}"
        """A baseline means the same under other limits and another half-life, but not under another ``of``."""

    def judge(self, state: Baseline | None, window: KeyWindow) -> tuple[Baseline, Finding | None]:
        """Compare with the baseline, then add the window to it."""
        value, half_life = self._number_of(window.aggregate), self._half_life
        if state is None or not (deviation := self._deviation_of(state)):
            return updated(state, value, half_life), None
        mean, margin, finding = state.mean, self._sigmas * deviation, None
        if self._above and value > mean + margin:
            finding = self._finding(state, deviation, window, value, mean + margin)
        elif self._below and value < mean - margin:
            finding = self._finding(state, deviation, window, value, mean - margin)
        if self._clip_sigmas:
            most = self._clip_sigmas * deviation
            if value > mean + most:
                value = mean + most
            elif value < mean - most:
                value = mean - most
        return updated(state, value, half_life), finding

    def _deviation_of(self, state: Baseline) -> float:
        """The deviation of a baseline; 0 where it does not judge yet."""
        return deviation_of(state, self._half_life) if state.windows >= self._min_windows else 0.0

    def score(self, state: Baseline | None, window: KeyWindow) -> float | None:
        """How many deviations a window is above the mean, negative below it; None where judge() does not judge."""
        if state is None or not (deviation := self._deviation_of(state)):
            return None
        return (self._number_of(window.aggregate) - state.mean) / deviation

    def _finding(self, state: Baseline, deviation: float, window: KeyWindow, value: float, limit: float) -> Finding:
        score = (value - state.mean) / deviation
        baseline = {"mean": state.mean, "deviation": deviation, "windows": state.windows}
        exact = None if self._of is Of.SUM else value_of(self._of, window.aggregate)
        return Finding(limit, exact, score, {"baseline": baseline, "score": score})
