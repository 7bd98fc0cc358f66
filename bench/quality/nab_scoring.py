"""The scoring of the Numenta Anomaly Benchmark, after its published description (Lavin and Ahmad, 2015).

A detection in a labelled window is worth more the earlier it is, and only the best one of a window counts. A detection
outside costs more the farther it is behind the last window. A window without a detection costs its weight. One
threshold for all series is chosen so that the sum is greatest. 0 is a detector that finds nothing, 100 a perfect one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.quality.judging import Bools, Floats


@dataclass(frozen=True)
class Profile:
    """What is worth how much. A hit at the begin of a window is worth 1."""

    false_positive: float
    false_negative: float


PROFILES: Final[Mapping[str, Profile]] = {
    "standard": Profile(0.11, 1.0),
    "reward_low_FP_rate": Profile(0.22, 1.0),
    "reward_low_FN_rate": Profile(0.11, 2.0),
}
PROBATION: Final = 0.15
"""So much of the begin of a series is not scored: a detector learns there."""
LONGEST: Final = 5_000
"""Of a longer series no more is left out than of one with so many rows."""
FAR: Final = 3.0
"""Farther behind a window than so many of its lengths, a detection costs the whole weight."""


@dataclass(frozen=True)
class Labelled:
    """A series with a detector's scores."""

    scores: Floats
    """One for each row; higher is worse, minus infinity is never a detection."""
    windows: Sequence[tuple[int, int]]
    """The first and the last row of each labelled window, in their order."""


def worth(position: float) -> float:
    """A detection's worth by its place: -1 is a window's begin, 0 its end; behind it, in lengths of the window."""
    return -1.0 if position >= FAR else float(-np.tanh(2.5 * position))


WHOLE: Final = worth(-1.0)


def not_scored(rows: int) -> int:
    """How many rows at the begin of a series are not scored."""
    return int(PROBATION * min(rows, LONGEST))


def _row_by_row(one: Labelled) -> tuple[Floats, list[int]]:
    """Each row's worth, and the number of its window, or -1."""
    worths, of = [], []
    ahead = list(enumerate(one.windows))
    behind: tuple[int, int] | None = None
    for row in range(len(one.scores)):
        if ahead and row > ahead[0][1][1]:
            behind = ahead.pop(0)[1]
        if ahead and row >= ahead[0][1][0]:
            number, (first, last) = ahead[0]
            worths.append(worth((row - last - 1) / (last - first + 1)) / WHOLE)
            of.append(number)
        else:
            length = 0 if behind is None else behind[1] - behind[0]
            worths.append(worth((row - behind[1]) / length) if behind and length else -1.0)
            of.append(-1)
    return np.array(worths), of


@dataclass(frozen=True)
class Score:
    """The best that a threshold reaches."""

    score: float
    """0: as good as finding nothing; 100: perfect."""
    threshold: float
    """A row is a detection if its score is at least this."""


def score(series: Sequence[Labelled], profile: Profile) -> Score:
    """Choose the threshold for all series together, and normalise.

    Raises:
        ValueError: no row of a labelled window is scored.
    """
    points: list[tuple[float, float, tuple[int, int] | None]] = []
    for number, one in enumerate(series):
        worths, of = _row_by_row(one)
        for row in range(not_scored(len(of)), len(of)):
            window = None if of[row] < 0 else (number, of[row])
            points.append((float(one.scores[row]), float(worths[row]), window))
    windows = {window for _, _, window in points if window is not None}
    if not windows:
        raise ValueError("no row of a labelled window is scored")
    points.sort(key=lambda point: -point[0])
    nothing = total = best = -profile.false_negative * len(windows)
    threshold = np.inf
    reached: dict[tuple[int, int], float] = {}
    for at, (found, its_worth, window) in enumerate(points):
        if found == -np.inf:
            break
        if window is None:
            total += its_worth * profile.false_positive
        else:
            before = reached.get(window, -profile.false_negative)
            reached[window] = max(before, its_worth)
            total += reached[window] - before
        if (at + 1 == len(points) or points[at + 1][0] < found) and total > best:
            best, threshold = total, found
    return Score(100 * (best - nothing) / (len(windows) - nothing), float(threshold))


def only_where(scores: Floats, written: Bools) -> Floats:
    """The scores of rows that wrote an alert; the others are no detections."""
    return np.where(written, scores, -np.inf)
