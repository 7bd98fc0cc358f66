"""The order in which rows leave: the file's own, or with a bounded disorder injected. Pure.

A row's *place* is the latest event time up to it in the file, plus its delay if it has one. Places never fall from one
row to the next, so that a schedule can be made of them. In a sorted file without disorder a place is the event time.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final, Protocol

from producer.reading.rows import Row, Rows

HEAP_ROWS_MAX: Final = 65_536
"""Rows that disorder holds back at most; beyond it the first ones go early, which only lessens the disorder."""


class Order(Protocol):
    """Rows in, rows and their places in event time (ms, never falling) out."""

    def add(self, rows: Rows) -> tuple[Rows, Sequence[int]]:
        """Take rows in file order; returns those that may go, and their places."""
        ...

    def end(self) -> tuple[Rows, Sequence[int]]:
        """Return what is left at the end of a pass."""
        ...

    def held(self) -> Sequence[Row]:
        """Return the rows taken and not given back."""
        ...


def is_sorted(times_ms: Sequence[int], reached: Sequence[int]) -> bool:
    """Tell whether no time is earlier than one before it, the last of ``reached`` included; C does the work."""
    if reached and reached[-1] > times_ms[0]:
        return False
    return sorted(times_ms) == (times_ms if isinstance(times_ms, list) else list(times_ms))


class FileOrder:
    """Rows go in the order of the file."""

    def __init__(self, *, places: bool = True) -> None:
        """Give no places where no schedule asks for them: they cost a sixth of the time that reading takes."""
        self._places = places
        self._reached: list[int] = []

    def add(self, rows: Rows) -> tuple[Rows, Sequence[int]]:
        """Give all back at once, each in the place of the latest event time up to it."""
        if not rows or not self._places:
            return rows, ()
        times_ms = rows.timestamps_ms
        places: Sequence[int] = times_ms
        if not is_sorted(times_ms, self._reached):
            places = list(accumulate([*self._reached, *times_ms], max))[len(self._reached) :]
        self._reached = [places[-1]]
        return rows, places

    def end(self) -> tuple[Rows, Sequence[int]]:
        """Forget the pass: the next one starts at its own event times."""
        self._reached = []
        return Rows(), ()

    def held(self) -> Sequence[Row]:
        """Nothing is held back."""
        return ()


class Shuffled:
    """Bounded disorder: each row is delayed by 0 to ``most_ms`` of event time from its place in the file.

    The same seed and file give the same order, whatever the pace.
    """

    def __init__(self, most_ms: int, seed: int) -> None:
        """Delay by ``most_ms`` at most, both ends included."""
        self._random = Random(seed).random  # noqa: S311  disorder has to be repeatable, not secret
        self._choices = most_ms + 1
        self._heap: list[tuple[int, int, Row]] = []
        self._reached: int | None = None
        self._taken = 0

    def add(self, rows: Rows) -> tuple[Rows, Sequence[int]]:
        """Give back the rows whose place can't be preceded any more."""
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
        """Give back the rest in order and forget the pass."""
        rest = sorted(self._heap, key=lambda entry: entry[:2])
        self._heap = []
        self._reached = None
        return Rows.of([row for _, _, row in rest]), [place for place, _, _ in rest]

    def held(self) -> Sequence[Row]:
        """Return the rows that are delayed."""
        return [row for _, _, row in self._heap]
