"""What is usual for a key: mean and deviation over its earlier closed windows.

All windows weigh the same (Welford's update), or a window weighs half as much as one ``half_life`` windows later (an
exponentially weighted mean and variance). Neither keeps the values, and neither subtracts large sums of squares.
"""

from __future__ import annotations

from math import expm1, log, sqrt
from typing import Final

import msgspec

from service.core.detectors.looked_at import LARGEST, bounded

_LN_2: Final = log(2)


class Baseline(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state of a key. A window without a record of the key is not among its windows."""

    windows: int
    """How many windows went in, at least 1."""
    mean: float
    spread: float
    """The sum of squared deviations from the mean, or with a half-life the weighted variance."""


def deviation_of(baseline: Baseline, half_life: float) -> float:
    """Return the sample standard deviation (n - 1), or with a half-life the root of the weighted variance."""
    if half_life:
        return sqrt(baseline.spread)
    return sqrt(baseline.spread / (baseline.windows - 1)) if baseline.windows > 1 else 0.0


def updated(baseline: Baseline | None, value: float, half_life: float) -> Baseline:
    """Return the baseline with one more window. A value beyond looked_at.LARGEST counts as LARGEST.

    ``half_life`` is in windows; 0: all windows weigh the same. None is the baseline before a key's first window.
    """
    if not -LARGEST <= value <= LARGEST:
        value = bounded(value)
    if baseline is None:
        return Baseline(1, value, 0.0)
    mean, windows = baseline.mean, baseline.windows + 1
    from_mean = value - mean
    if half_life:
        weight = -expm1(-_LN_2 / half_life)  # 1 - 2 ** (-1 / half_life), without the subtraction's loss of digits
        spread = (1.0 - weight) * (baseline.spread + weight * from_mean * from_mean)
        return Baseline(windows, mean + weight * from_mean, spread)
    mean += from_mean / windows
    return Baseline(windows, mean, baseline.spread + from_mean * (value - mean))
