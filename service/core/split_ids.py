"""Finds ids that are in two partitions, whose sums are therefore split. It watches some ids in closed windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from service.core.model import Offset, Partition, WindowClosed

MAX_WATCHED: Final = 4_096
"""The most watched ids; each partition chooses an equal share."""
MAX_WATCHED_CHARS: Final = 200
"""Longer ids are not watched, so that the memory is bounded."""
MAX_COUNTED: Final = 16_384
"""The most ids that are counted. Each counted id is remembered, so this bounds the memory."""
MAX_STEPS: Final = 16_384
"""The bound of one look, with a step for each id that is looked up. The look ends after the window that reaches it."""
STEPS_PER_WINDOW: Final = 32


@dataclass(frozen=True, slots=True)
class Split:
    """Where two records of one id are. The id is left out of logs because ids may be secret."""

    partition: Partition
    offset: Offset
    other_partition: Partition
    other_offset: Offset


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at closed windows found."""

    new: int
    """How many ids were found in two partitions for the first time."""
    example: Split | None
    """Two records of an id that is in two partitions, whether new or counted before."""


class SplitIds:
    """Remembers the partition of each watched id, and finds the id in windows of other partitions.

    A look intersects a window's ids with the watched ids; the cost is that of the smaller set. When shares are full,
    forget() makes room for other ids.
    """

    def __init__(self) -> None:
        """Start without watched ids."""
        self._first: dict[str, tuple[Partition, Offset]] = {}
        self._chosen: dict[Partition, set[str]] = {}
        """The watched ids, by the partition that chose them."""
        self._counted: set[str] = set()
        self._begin_at = 0
        """Where the next look begins, so that every window gets its turn."""

    def forget(self) -> None:
        """Drop the watched ids, so that others can be chosen. Counted ids stay counted."""
        self._first.clear()
        self._chosen.clear()

    def full(self, partitions: int) -> bool:
        """Whether a partition's share is full, so that it may have ids that are not watched."""
        return any(len(chosen) >= _share(partitions) for chosen in self._chosen.values())

    def look(self, closed: Sequence[tuple[Partition, WindowClosed]], partitions: int) -> Seen:
        """Look at closed windows.

        Args:
            closed: the windows and their partitions.
            partitions: how many partitions this instance has.
        """
        share, steps, new, example = _share(partitions), 0, 0, None
        begin = self._begin_at % len(closed) if closed else 0
        for partition, window in (*closed[begin:], *closed[:begin]):
            steps += STEPS_PER_WINDOW + min(len(window.aggregates), len(self._first))
            self._begin_at += 1
            chosen = self._chosen.setdefault(partition, set())
            known = window.aggregates.keys() & self._first.keys()
            if shared := known - chosen:
                example = example or self._split(next(iter(shared)), partition, window)
                fresh = list(islice(shared - self._counted, MAX_COUNTED - len(self._counted)))
                self._counted.update(fresh)
                new += len(fresh)
            if len(known) < len(window.aggregates) and len(chosen) < share:
                self._choose(partition, window, chosen, share)
            if steps >= MAX_STEPS:
                break
        return Seen(new, example)

    def _split(self, transaction_id: str, partition: Partition, window: WindowClosed) -> Split:
        return Split(partition, window.aggregates[transaction_id].first_offset, *self._first[transaction_id])

    def _choose(self, partition: Partition, window: WindowClosed, chosen: set[str], share: int) -> None:
        """Add ids of this window to the watched ones, up to the partition's share."""
        for transaction_id, aggregate in islice(window.aggregates.items(), share):
            if transaction_id not in self._first and len(transaction_id) <= MAX_WATCHED_CHARS:
                self._first[transaction_id] = partition, aggregate.first_offset
                chosen.add(transaction_id)
                if len(chosen) >= share:
                    return


def _share(partitions: int) -> int:
    return max(1, MAX_WATCHED // max(1, partitions))
