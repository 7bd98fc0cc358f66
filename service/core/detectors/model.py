"""The model detector: a model, e.g. in a file of ONNX, gives a window's features one number, and its limit judges that.

The model itself is outside the core: it comes as a function, so that tests and training can pass any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from service.core.detectors import Finding, KeyWindow
from service.core.detectors.baseline import Baseline, updated
from service.core.detectors.features import Features, need_baseline, sum_of, within_float32
from service.core.model import TumblingWindow

Score = Callable[[Sequence[Sequence[float]]], Sequence[float]]
"""From the features of many windows, each in the model's order, to one number each: higher is worse."""


class ScoreError(Exception):
    """The model gave no number; the message names the id and the window."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A window that waits for the model."""

    values: tuple[float, ...]
    transaction_id: str
    window: TumblingWindow


class Model:
    """An anomaly is a window whose output is greater than the limit. All windows are judged in one call.

    The state is the baseline of the key's sums, where a feature needs one: that of a default `deviation`, before the
    window. It does not depend on the model, so another file or other features keep it.
    """

    def __init__(self, *, score: Score, features: Sequence[str], limit: float) -> None:
        """``limit`` is in the unit of the model's output.

        Raises:
            ValueError: a feature is unknown or there twice, or there is none.
        """
        self.features: Final = Features(features)
        self.limit: Final = limit
        self._score = score
        self._has_baseline = need_baseline(features)

    @property
    def state_type(self) -> type[Baseline] | None:
        """The baseline's type, or None where no feature needs one."""
        return Baseline if self._has_baseline else None

    @property
    def state_kind(self) -> str:
        """What the state means."""
        return "baseline of sum" if self._has_baseline else ""

    def prepare(self, state: Baseline | None, window: KeyWindow) -> tuple[Baseline | None, Row]:
        """Read the features with the baseline before this window, then add the window to the baseline."""
        row = Row(self.features.of(window.aggregate, window.window, state), window.transaction_id, window.window)
        return updated(state, sum_of(window.aggregate), 0) if self._has_baseline else None, row

    def judge_all(self, rows: Sequence[Row]) -> list[Finding | None]:
        """Ask the model once for all rows. An infinite output is the greatest number, since JSON has no infinity.

        Raises:
            ScoreError: an output is not a number (NaN): it is neither above the limit nor not above it.
        """
        return [self.finding(row, score) for row, score in zip(rows, self.scores(rows), strict=True)]

    def scores(self, rows: Sequence[Row]) -> Sequence[float]:
        """Ask the model once for the outputs of all rows."""
        return self._score([row.values for row in rows]) if rows else []

    def finding(self, row: Row, score: float) -> Finding | None:
        """The finding of a row with this output, or None.

        Raises:
            ScoreError: it is not a number.
        """
        if score > self.limit:
            score = within_float32(score)
            features = dict(zip(self.features.names, row.values, strict=True))
            return Finding(self.limit, score=score, fields={"score": score, "features": features})
        if math.isnan(score):
            raise ScoreError(
                f"the model's output is not a number (NaN) for {row.transaction_id!r} in the window"
                f" [{row.window.start_ms}, {row.window.end_ms})"
            )
        return None
