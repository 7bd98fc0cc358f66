"""What the detectors remember of the assigned partitions. It outlives a rewind, and goes away with the partition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice

from service.core.memory.partition import Memory
from service.core.model import Partition


class Memories:
    """A Memory for each partition that has started."""

    def __init__(self, make: Callable[[Partition], Memory], *, kept_in_topic: bool) -> None:
        """``kept_in_topic``: a detector keeps states, so a partition cannot start before they have been read back."""
        self._make = make
        self._kept_in_topic = kept_in_topic
        self._by_partition: dict[Partition, Memory] = {}
        self._uncertain: frozenset[Partition] = frozenset()
        """The partitions of a commit whose outcome is not known yet."""
        self._turn = 0

    def missing(self, partitions: Collection[Partition]) -> frozenset[Partition]:
        """Those of these partitions whose states have to be read back."""
        return frozenset(partitions) - self._by_partition.keys() if self._kept_in_topic else frozenset()

    def of(self, partition: Partition, restored: Memory | None) -> Memory:
        """The Memory of a partition that starts; ``restored`` is the one that was read back, if one was."""
        if restored is not None:
            self._by_partition[partition] = restored
        elif partition not in self._by_partition:
            assert not self._kept_in_topic, "a partition starts without its states"  # noqa: S101
            self._by_partition[partition] = self._make(partition)
        return self._by_partition[partition]

    def remove(self, partitions: Iterable[Partition]) -> None:
        """Forget these partitions: they were revoked, or the outcome of their last commit is not known."""
        for partition in partitions:
            self._by_partition.pop(partition, None)

    def uncertain(self, partitions: Iterable[Partition]) -> None:
        """Note that a commit of these partitions is attempted."""
        self._uncertain = frozenset(partitions)

    def committed(self, partitions: Iterable[Partition]) -> None:
        """Make what was staged the state of these partitions."""
        self._uncertain = frozenset()
        for partition in partitions:
            self._by_partition[partition].committed()

    def dropped(self) -> None:
        """Forget what was staged: the txn was aborted, and every partition is read again.

        Where the outcome of a commit is not known, forget the states as well: they are read back.
        """
        if self._kept_in_topic:
            self.remove(self._uncertain)
        self._uncertain = frozenset()
        for memory in self._by_partition.values():
            memory.dropped()

    def begin_again(self, *, kept_in_topic: bool) -> None:
        """Forget every partition: other detectors judge from now on. ``kept_in_topic`` as in the constructor."""
        self._kept_in_topic, self._uncertain = kept_in_topic, frozenset()
        self._by_partition.clear()

    def refresh(self) -> None:
        """Look at some deadlines of one partition, of the next one at each call."""
        if self._kept_in_topic and self._by_partition:
            self._turn = (self._turn + 1) % len(self._by_partition)
            next(islice(self._by_partition.values(), self._turn, None)).refresh()

    def outgrown(self, partitions: int | None) -> bool:
        """Whether states were read back when the input had fewer partitions; these are forgotten.

        Keys may belong to other partitions now.
        """
        now = partitions or 0
        old = [one for one, memory in self._by_partition.items() if 0 < (memory.partitions or 0) < now]
        self.remove(old)
        return bool(old)
