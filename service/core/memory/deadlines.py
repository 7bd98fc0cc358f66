"""Deadlines of keys, in a heap: one entry a key, which may be earlier than the key's true deadline.

An event of a key only moves its deadline away, so nothing is done then. An entry that comes up is compared with the
key's state, and goes back with the true deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace


class Deadlines:
    """The heap, and what the present txn does with it."""

    __slots__ = ("_heap", "_new", "_taken", "_true")

    def __init__(self) -> None:
        """Start without a deadline."""
        self._heap: list[tuple[int, str]] = []
        self._true: list[tuple[int, str]] = []
        """Entries that refresh() has found to be true: it need not look at them again."""
        self._new: list[tuple[int, str]] = []
        """Those that are added once the txn has committed; they can come up before."""
        self._taken: list[tuple[int, str]] = []
        """Those that have come up, and come back if the txn is aborted."""

    def restore(self, deadlines: list[tuple[int, str]]) -> None:
        """Replace all deadlines with those of a restored state."""
        heapify(deadlines)
        self._heap, self._true = deadlines, []

    def add(self, deadline_ms: int, transaction_id: str) -> None:
        """Add a deadline, which is staged."""
        heappush(self._new, (deadline_ms, transaction_id))

    def is_due(self, to_ms: int, budget: int, deadline_of: Callable[[str], int | None]) -> bool:
        """Whether a key's true deadline is not later than ``to_ms``; at most ``budget`` entries are looked at.

        Entries that came too early go back with their true deadline, and those without one are removed. Nothing may
        be staged.
        """
        heap = self._heap
        for _ in range(budget):
            if not heap or heap[0][0] > to_ms:
                return False
            entry_ms, key = heap[0]
            deadline_ms = deadline_of(key)
            if deadline_ms is None:
                heappop(heap)
            elif deadline_ms > entry_ms:
                heapreplace(heap, (deadline_ms, key))
            else:
                return True
        return False

    def refresh(self, to_ms: int, budget: int, deadline_of: Callable[[str], int | None]) -> None:
        """Put entries up to ``to_ms`` back with their true deadline, ``budget`` of them at most.

        So a million keys that were first seen in one window do not come up together later. Nothing may be staged.
        """
        heap = self._heap
        while heap and heap[0][0] <= to_ms and budget:
            budget -= 1
            entry_ms, key = heap[0]
            deadline_ms = deadline_of(key)
            if deadline_ms is not None and deadline_ms > entry_ms:
                heapreplace(heap, (deadline_ms, key))
                continue
            heappop(heap)
            if deadline_ms is not None:
                heappush(self._true, (entry_ms, key))

    def take(self, to_ms: int) -> list[str]:
        """Take the keys whose entry is not later than ``to_ms``, each once, in a fixed order."""
        found = []
        for heap in (self._heap, self._true):
            while heap and heap[0][0] <= to_ms:
                found.append(heappop(heap))
        self._taken += found
        while self._new and self._new[0][0] <= to_ms:
            found.append(heappop(self._new))
        return list(dict.fromkeys(key for _, key in sorted(found))) if found else []

    def committed(self) -> None:
        """Keep what was staged."""
        for one in self._new:
            heappush(self._heap, one)
        self._new, self._taken = [], []

    def dropped(self) -> None:
        """Undo what was staged."""
        for one in self._taken:
            heappush(self._heap, one)
        self._new, self._taken = [], []
