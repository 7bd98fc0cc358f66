"""Chooses the limit of a model's scores, and compares the verdicts of two outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LEAST_GAP: Final = 4e-6
"""Scores that differ by less count as equal: float32 sums of a hundred trees differ by 2e-7 from exact ones."""
_DIGITS: Final = range(1, 18)


def limit_for(scores: Sequence[float], share: float) -> float:
    """A limit that at most this share of the scores exceeds, but at least one may.

    It lies between two scores, so that rounding on either side of it changes no verdict. Equal scores are on one side.
    If the greatest scores are equal and more than the share, none exceeds it. ``scores`` are between 0 and 1.
    """
    ordered = sorted(scores, reverse=True)
    most = max(1, int(len(ordered) * share))
    for at in range(min(most, len(ordered) - 1), 0, -1):
        if ordered[at - 1] - ordered[at] > LEAST_GAP:
            return between(ordered[at], ordered[at - 1])
    return between(ordered[0], ordered[0] + max(abs(ordered[0]), 1.0) / 10)


def between(low: float, high: float) -> float:
    """The shortest decimal number in the middle half between two numbers."""
    middle = low + (high - low) / 2
    for digits in _DIGITS:
        found = round(middle, digits)
        if abs(found - middle) <= (high - low) / 4:
            return found
    return middle


def flipped(ours: Sequence[float], theirs: Sequence[float], limit: float) -> int | None:
    """The index of the first score whose verdict differs between two outputs, or None."""
    pairs = enumerate(zip(ours, theirs, strict=True))
    return next((index for index, (one, other) in pairs if (one > limit) is not (other > limit)), None)
