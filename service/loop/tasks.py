"""The tasks of the started partitions, and how far each is committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from service.core.model import Offset, Partition
from service.core.task import PartitionTask


class Tasks:
    """A task for each partition that has started and has not been revoked."""

    def __init__(self) -> None:
        """Begin without tasks."""
        self.by_partition: dict[Partition, PartitionTask] = {}
        self._committed: dict[Partition, Offset] = {}

    def add(self, started: Mapping[Partition, PartitionTask]) -> None:
        """Add tasks that begin at their committed positions."""
        self.by_partition.update(started)
        self._committed.update({partition: task.position for partition, task in started.items()})

    def remove(self, partitions: Iterable[Partition]) -> None:
        """Drop these tasks with their open windows; partitions without a task are ignored."""
        for partition in partitions:
            self.by_partition.pop(partition, None)
            self._committed.pop(partition, None)

    def clear(self) -> None:
        """Drop every task."""
        self.by_partition.clear()
        self._committed.clear()

    def committed(self, positions: Mapping[Partition, Offset]) -> None:
        """Note that these positions are committed."""
        self._committed.update(positions)

    def has_news(self, partition: Partition) -> bool:
        """Whether the partition's task has something to write, or has read past its committed position."""
        task = self.by_partition[partition]
        return task.has_output or task.position != self._committed[partition]

    def with_news(self) -> dict[Partition, PartitionTask]:
        """The tasks that a checkpoint has to commit."""
        return {partition: task for partition, task in self.by_partition.items() if self.has_news(partition)}
