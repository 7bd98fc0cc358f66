"""The order in which rows are sent: the file's order, or one with a bounded disorder. Pure.

A row's *place* is the greatest event time up to this row in the file, plus the row's delay, if any. Places never
decrease, so a schedule can use them. In a sorted file without disorder, a row's place is its event time.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final, Protocol

from producer.reading.rows import Row, Rows

HEAP_ROWS_MAX: Final = 65_536
"""The most rows that disorder holds back. Beyond that, the first rows are sent early, so the disorder is smaller."""


class Order(Protocol):
    """Takes rows, and returns rows with their places in event time (ms, never decreasing)."""

    def add(self, rows: Rows) -> tuple[Rows, Sequence[int]]:
        """Take rows in file order; returns the rows that may be sent now, and their places."""
        ...

    def end(self) -> tuple[Rows, Sequence[int]]:
        """Return the remaining rows at the end of a pass, and their places."""
        ...

    def held(self) -> Sequence[Row]:
        """Return the rows that were taken and not yet returned."""
        ...


def is_sorted(times_ms: Sequence[int], reached: Sequence[int]) -> bool:
    """Whether no time is earlier than one before it, or than the last of ``reached``. It runs in C."""
    if reached and reached[-1] > times_ms[0]:
        return False
    return sorted(times_ms) == (times_ms if isinstance(times_ms, list) else list(times_ms))


class FileOrder:
    """Rows are sent in the order of the file."""

    def __init__(self, *, places: bool = True) -> None:
        """Without ``places``, return none: they cost a sixth of the reading time, and only a schedule needs them."""
        self._places = places
        self._reached: list[int] = []

    def add(self, rows: Rows) -> tuple[Rows, Sequence[int]]:
        """Return all rows at once. A row's place is the greatest event time up to this row."""
        if not rows or not self._places:
            return rows, ()
        times_ms = rows.timestamps_ms
        places: Sequence[int] = times_ms
        if not is_sorted(times_ms, self._reached):
            places = list(accumulate([*self._reached, *times_ms], max))[len(self._reached) :]
        self._reached = [places[-1]]
        return rows, places

    def end(self) -> tuple[Rows, Sequence[int]]:
        """Reset: the next pass starts at its own event times."""
        self._reached = []
        return Rows(), ()

    def held(self) -> Sequence[Row]:
        """Return nothing: no row is held back."""
        return ()


class Shuffled:
    """Bounded disorder: each row is delayed by 0 to ``most_ms`` of event time.

    The same seed and file give the same order, whatever the pace.
    """

    def __init__(self, most_ms: int, seed: int) -> None:
        """Delay by 0 to ``most_ms``, inclusive."""
        self._random = Random(seed).random  # noqa: S311  disorder must be repeatable, not secret
        self._choices = most_ms + 1
        self._heap: list[tuple[int, int, Row]] = []
        self._reached: int | None = None
        self._taken = 0

    def add(self, rows: Rows) -> tuple[Rows, Sequence[int]]:
        """Return the rows that no later row can precede."""
        out: list[Row] = []
        places: list[int] = []
        for row in rows:
            reached = row.timestamp_ms if self._reached is None else max(self._reached, row.timestamp_ms)
            self._reached = reached
            self._taken += 1
            heapq.heappush(self._heap, (reached + int(self._random() * self._choices), self._taken, row))
            while self._heap and (self._heap[0][0] <= reached or len(self._heap) > HEAP_ROWS_MAX):
                place, _, first = heapq.heappop(self._heap)
                out.append(first)
                places.append(min(place, reached))
        return Rows.of(out), places

    def end(self) -> tuple[Rows, Sequence[int]]:
        """Return the rest in order, and reset for the next pass."""
        rest = sorted(self._heap, key=lambda entry: entry[:2])
        self._heap = []
        self._reached = None
        return Rows.of([row for _, _, row in rest]), [place for place, _, _ in rest]

    def held(self) -> Sequence[Row]:
        """Return the rows that are delayed."""
        return [row for _, _, row in self._heap]
