"""Ids that are in two partitions, whose sums are in parts: a watch on some ids in closed windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from service.core.model import Offset, Partition, WindowClosed

WATCHED: Final = 4_096
"""Ids in all; each partition chooses an equal share of them."""
LONGEST_ID: Final = 200
"""Characters. Longer ids are not watched, so that the memory is bounded."""
COUNTED: Final = 16_384
"""Ids that are remembered as counted; beyond that none is counted."""
STEPS: Final = 16_384
"""The bound of one look: a step for each id that is looked up. The look ends with the window that reaches it."""
STEPS_PER_WINDOW: Final = 32


@dataclass(frozen=True, slots=True)
class Split:
    """Two records of one id, which is not named: ids may be secret, and these places lead to it."""

    partition: Partition
    offset: Offset
    other_partition: Partition
    other_offset: Offset


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at closed windows found."""

    new: int
    """Ids that were in two partitions for the first time."""
    example: Split | None
    """Of any id that is in two, counted before or not."""


class SplitIds:
    """The first partition of each watched id; a later window of another partition that has the id shows the split.

    A look intersects a window's ids with the watched ones, which costs the smaller of both at the speed of sets. It
    finds a watched id in any partition, whichever one chose it. Where shares are full, forget() makes room for others.
    """

    def __init__(self) -> None:
        """Nothing is watched."""
        self._first: dict[str, tuple[Partition, Offset]] = {}
        self._own: dict[Partition, set[str]] = {}
        """The watched ids by the partition that chose them."""
        self._counted: set[str] = set()
        self._turn = 0
        """At which window the next look begins, so that each has its turn."""

    def forget(self) -> None:
        """Watch other ids from now on; what was counted stays counted."""
        self._first.clear()
        self._own.clear()

    def full(self, partitions: int) -> bool:
        """Whether a share is full, with so many partitions: then there are ids that are not watched."""
        return any(len(own) >= _share(partitions) for own in self._own.values())

    def look(self, closed: Sequence[tuple[Partition, WindowClosed]], partitions: int) -> Seen:
        """Look at closed windows.

        Args:
            closed: the windows and their partitions.
            partitions: how many partitions this instance has.
        """
        share, steps, new, example = _share(partitions), 0, 0, None
        begin = self._turn % len(closed) if closed else 0
        for partition, window in (*closed[begin:], *closed[:begin]):
            steps += STEPS_PER_WINDOW + min(len(window.aggregates), len(self._first))
            self._turn += 1
            own = self._own.setdefault(partition, set())
            known = window.aggregates.keys() & self._first.keys()
            if shared := known - own:
                example = example or self._split(next(iter(shared)), partition, window)
                fresh = list(islice(shared - self._counted, COUNTED - len(self._counted)))
                self._counted.update(fresh)
                new += len(fresh)
            if len(known) < len(window.aggregates) and len(own) < share:
                self._choose(partition, window, own, share)
            if steps >= STEPS:
                break
        return Seen(new, example)

    def _split(self, transaction_id: str, partition: Partition, window: WindowClosed) -> Split:
        return Split(partition, window.aggregates[transaction_id].first_offset, *self._first[transaction_id])

    def _choose(self, partition: Partition, window: WindowClosed, own: set[str], share: int) -> None:
        """Watch this window's ids as well, up to the partition's share."""
        for transaction_id, aggregate in islice(window.aggregates.items(), share):
            if transaction_id not in self._first and len(transaction_id) <= LONGEST_ID:
                self._first[transaction_id] = partition, aggregate.first_offset
                own.add(transaction_id)
                if len(own) >= share:
                    return


def _share(partitions: int) -> int:
    return max(1, WATCHED // max(1, partitions))
