"""The features of a model: numbers that describe one closed window of one key.

Training and serving call the same `Features.of`, so a model is served what it was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Final

from service.core.detectors import DAY_MS, Of
from service.core.detectors.baseline import Baseline, deviation_of
from service.core.detectors.looked_at import NUMBERS
from service.core.model import Aggregate, TumblingWindow

FEATURES: Final = (
    "sum",
    "count",
    "max",
    "min",
    "mean",
    "late_share",
    "baseline_mean",
    "baseline_deviation",
    "baseline_windows",
    "score",
    "hour",
    "weekday",
)
"""All names. `sum`, `max`, `min` and `mean` are in the unit of the amounts; `late_share` is between 0 and 1."""
MIN_WINDOWS: Final = 30
"""How many earlier windows a default `deviation` needs before it judges."""
GREATEST: Final = 3.4028234663852886e38
"""The greatest float32, which is what a model gets. A greater number would become infinite there."""

_OF_EXTREMES: Final = frozenset({"max", "min"})
_OF_BASELINE: Final = frozenset({"baseline_mean", "baseline_deviation", "baseline_windows", "score"})
_HOUR_MS: Final = 3_600_000
_greatest, _least, _mean = NUMBERS[Of.MAX], NUMBERS[Of.MIN], NUMBERS[Of.MEAN]
sum_of: Final = NUMBERS[Of.SUM]
"""The sum, as features and their baseline use it."""
_THURSDAY: Final = 3
"""The weekday of the epoch, 1970-01-01, where Monday is 0."""


def need_extremes(features: Iterable[str]) -> bool:
    """Whether these features need the greatest and the least amount (``AggregateDetail.extremes``)."""
    return not _OF_EXTREMES.isdisjoint(features)


def need_baseline(features: Iterable[str]) -> bool:
    """Whether these features need a baseline, so that the detector has a state."""
    return not _OF_BASELINE.isdisjoint(features)


def fault_of_features(features: Sequence[str]) -> str | None:
    """Why these names cannot be a model's features, or None."""
    if not features:
        return f"names no feature; there are {', '.join(FEATURES)}"
    for index, name in enumerate(features):
        if name not in FEATURES:
            return f"{name!r} is no feature; there are {', '.join(FEATURES)}"
        if name in features[:index]:
            return f"names {name} twice"
    return None


class Features:
    """Reads the features of windows, in a model's order. Every number is finite and fits a float32."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the names, in the model's order.

        Raises:
            ValueError: a name is unknown or there twice, or there is none.
        """
        if (fault := fault_of_features(names)) is not None:
            raise ValueError(f"features: {fault}")
        self.names: Final = tuple(names)
        self._extremes = need_extremes(names)
        places = [FEATURES.index(name) for name in names]
        self._pick: Callable[[tuple[float, ...]], tuple[float, ...]] = (
            itemgetter(*places) if len(places) > 1 else itemgetter(slice(places[0], places[0] + 1))
        )

    def of(self, aggregate: Aggregate, window: TumblingWindow, baseline: Baseline | None) -> tuple[float, ...]:
        """The features of a window; ``baseline`` is that of the key's sums in its earlier windows.

        - `baseline_mean`, `baseline_deviation` and `baseline_windows` describe the earlier windows, however few. They
          are 0 where there is none, and the deviation is 0 where there is one.
        - `score` is that of a default `deviation` on the sum: (sum - mean) / deviation. It is 0 where that detector
          does not judge: below 30 earlier windows, or where the deviation is 0.
        - `hour` (0 to 23) and `weekday` (Monday 0) are of the window's start, UTC.
        """
        total = sum_of(aggregate)
        mean = deviation = score = 0.0
        windows = 0
        if baseline is not None:
            windows, mean, deviation = baseline.windows, baseline.mean, deviation_of(baseline, 0)
            if windows >= MIN_WINDOWS and deviation:
                score = (total - mean) / deviation
        every = (
            total,
            aggregate.count,
            _greatest(aggregate) if self._extremes else 0.0,
            _least(aggregate) if self._extremes else 0.0,
            _mean(aggregate),
            aggregate.late_count / aggregate.count,
            mean,
            deviation,
            windows,
            score,
            window.start_ms // _HOUR_MS % 24,
            (window.start_ms // DAY_MS + _THURSDAY) % 7,
        )
        values = self._pick(every)
        if min(values) >= -GREATEST and max(values) <= GREATEST:
            return values
        return tuple(map(within_float32, values))


def within_float32(number: float) -> float:
    """The nearest number that fits a float32."""
    return GREATEST if number > GREATEST else max(number, -GREATEST)
