"""Tallies in bounded memory, whatever the length of the history. Each is exact up to a bound, and says if it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from math import frexp, inf, ldexp
from typing import Final

from service.history.training.limit import between

MOST_KEYS: Final = 2**18
"""More keys than this are estimated, with an error of about 0.2 % (one in the root of it)."""
_HASHES: Final = 2**64


class Keys:
    """How many different keys there are: a set up to MOST_KEYS, then a sample of their hashes (k minimum values)."""

    def __init__(self, most: int = MOST_KEYS) -> None:
        """Begin without a key."""
        self._most = most
        self._exact: set[str] | None = set()
        self._sample: set[int] = set()
        self._below = _HASHES
        """The sample has every hash below this one."""

    def add(self, keys: Collection[str]) -> None:
        """Add keys, new or not."""
        if self._exact is not None:
            self._exact.update(keys)
            if len(self._exact) <= self._most:
                return
            keys, self._exact = self._exact, None
        below, sample = self._below, self._sample
        for key in keys:
            hashed = hash(key) % _HASHES
            if hashed < below:
                sample.add(hashed)
        if len(sample) > 2 * self._most:
            self._below = sorted(sample)[self._most]
            self._sample = {one for one in sample if one < self._below}

    @property
    def estimated(self) -> bool:
        """Whether the count is an estimate."""
        return self._below < _HASHES

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._sample) * _HASHES // self._below if self._exact is None else len(self._exact)


class TopIds:
    """The ids with most alerts. Where there are many ids, those with few alerts are forgotten now and then."""

    def __init__(self, most: int = 100_000) -> None:
        """Begin without an id; ``most`` ids are kept at least."""
        self._most = most
        self._counts: Counter[str] = Counter()

    def add(self, key: str) -> None:
        """Count an alert of this id."""
        self._counts[key] += 1
        if len(self._counts) > 2 * self._most:
            self._counts = Counter(dict(self._counts.most_common(self._most)))

    def top(self, count: int) -> list[tuple[str, int]]:
        """The ids with most alerts, and how many."""
        return sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))[:count]


MINUTE_MS: Final = 60_000
_WIDER: Final = (MINUTE_MS, 60 * MINUTE_MS, 1_440 * MINUTE_MS, 7 * 1_440 * MINUTE_MS)


class Bins:
    """Alerts over time, in bins of a minute, or an hour, a day, a week where there would be too many."""

    def __init__(self, most: int = 2_000) -> None:
        """Begin without an alert."""
        self._most = most
        self.width_ms = MINUTE_MS
        self._counts: Counter[int] = Counter()

    def add(self, time_ms: int) -> None:
        """Count an alert at this time."""
        self._counts[time_ms // self.width_ms] += 1
        if len(self._counts) > self._most and self.width_ms < _WIDER[-1]:
            self._widen(next(width for width in _WIDER if width > self.width_ms))

    def _widen(self, width_ms: int) -> None:
        wider: Counter[int] = Counter()
        for at, count in self._counts.items():
            wider[at * self.width_ms // width_ms] += count
        self.width_ms, self._counts = width_ms, wider

    def at_least(self, width_ms: int) -> list[tuple[int, int]]:
        """Begin and count of each bin with an alert; a bin is at least so wide."""
        for wider in _WIDER:
            if self.width_ms < wider <= width_ms:
                self._widen(wider)
        return sorted((at * self.width_ms, count) for at, count in self._counts.items())


MOST_SCORES: Final = 2**17
_BITS: Final = (52, 20, 14, 10, 7)
"""How many binary digits of a score are kept, when there are too many different ones: 20 are one in a million."""


class Scores:
    """The scores of windows, higher is worse, and which of the windows are bad: for average precision and budgets."""

    def __init__(self, most: int = MOST_SCORES) -> None:
        """Begin without a window."""
        self._most = most
        self._bits = 0
        """Index into _BITS."""
        self._found: dict[float, list[int]] = {}
        """By score: how many windows, and how many of them are bad."""
        self._without = [0, 0]
        """Windows that the detector does not judge."""

    @property
    def exact(self) -> bool:
        """Whether no score has been rounded."""
        return self._bits == 0

    def add(self, score: float | None, *, bad: bool) -> None:
        """Count a window; None: the detector does not judge it yet."""
        if score is None:
            found = self._without
        else:
            if self._bits:
                score = self._rounded(score)
            found = self._found.setdefault(score, [0, 0])
        found[0] += 1
        found[1] += bad
        if len(self._found) > self._most:
            self._round_all()

    def _rounded(self, score: float) -> float:
        """The score rounded down."""
        fraction, exponent = frexp(score)
        bits = _BITS[self._bits]
        return ldexp(ldexp(fraction, bits) // 1, exponent - bits)

    def _round_all(self) -> None:
        while len(self._found) > self._most and self._bits < len(_BITS) - 1:
            self._bits += 1
            rounded: dict[float, list[int]] = {}
            for score, (windows, bad) in self._found.items():
                into = rounded.setdefault(self._rounded(score), [0, 0])
                into[0] += windows
                into[1] += bad
            self._found = rounded

    def _greatest_of(self, score: float) -> float:
        """The greatest score that was rounded to this one."""
        if self.exact:
            return score
        _, exponent = frexp(score)
        return score + ldexp(1.0, exponent - _BITS[self._bits])

    @property
    def windows(self) -> int:
        """How many windows were judged."""
        return sum(windows for windows, _ in self._found.values())

    def curve(self) -> Iterator[tuple[float, float]]:
        """Recall and precision if all windows from a score on were alerts, for each score, the worst first.

        Windows that are not judged come last. Without a bad window there is no curve.
        """
        wanted = self._without[1] + sum(bad for _, bad in self._found.values())
        if not wanted:
            return
        windows = right = 0
        last = [self._without] if self._without[0] else []
        for count, bad in [*(self._found[score] for score in sorted(self._found, reverse=True)), *last]:
            windows, right = windows + count, right + bad
            yield right / wanted, right / windows

    def average_precision(self) -> float | None:
        """The mean of the precision over recall, as step function; None without a bad window."""
        total, before, found = 0.0, 0.0, False
        for recall, precision in self.curve():
            total, before, found = total + (recall - before) * precision, recall, True
        return total if found else None

    def limit_for(self, most: int) -> tuple[float, int] | None:
        """The least limit that at most so many windows exceed, and how many do; None where even all windows are few."""
        kept, above = inf, 0
        for score in sorted(self._found, reverse=True):
            if above + self._found[score][0] > most:
                greatest = self._greatest_of(score)
                return (between(greatest, kept) if greatest < kept < inf else greatest), above
            above += self._found[score][0]
            kept = score
        return None


def median(values: Iterable[float]) -> float | None:
    """The median; None without a value."""
    ordered = sorted(values)
    if not ordered:
        return None
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
