"""What the loop needs of Kafka: the seam at which tests put something simpler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from service.core.model import Offset, Partition, Progress
from service.kafka.events import Event
from service.kafka.starting import Start
from service.wire.records import OutRecord


class Input(Protocol):
    """What the loop needs of the input topic; service.kafka.source says what each does."""

    @property
    def topic(self) -> str:
        """Its name."""

    @property
    def joined(self) -> bool:
        """Whether the group has answered."""

    @property
    def restoring(self) -> frozenset[Partition]:
        """Partitions that wait for restore()."""

    @property
    def throttled(self) -> bool:
        """Whether a broker's quota may hold up what the consumer asks."""

    def poll(self, max_records: int, timeout_s: float) -> list[Event]:
        """Wait for records and tell what happened."""

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Have restore() start these again."""

    def end_txns_of_dead_owners(self, partitions: Iterable[Partition]) -> list[str]:
        """End what dead owners of these partitions left open; returns their names."""

    def restore(self) -> list[Start]:
        """Start the partitions that wait for it."""

    def look_whether_joined(self) -> None:
        """Ask, where nobody told."""

    def check(self) -> None:
        """Ask the broker anything."""

    def end_offset(self, partition: Partition) -> Offset | None:
        """Where the partition ended lately."""

    def ask_end_offset(self, partition: Partition) -> Offset:
        """Where the partition ends for readers of committed records, as the broker says now."""

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, Offset]:
        """Ask where partitions end at this moment."""

    def checkpoint(self, progress: Iterable[tuple[Partition, Progress]]) -> tuple[list[Any], Any]:
        """Offsets and group metadata for Output.commit."""


class Output(Protocol):
    """What the loop needs of the transactional producer; service.kafka.sink says what each does."""

    @property
    def ready(self) -> bool:
        """Whether txns can begin; initialise() is due otherwise."""

    @property
    def open(self) -> bool:
        """Whether a txn is open."""

    def initialise(self) -> None:
        """Fence older producers of this name and abort what they left open."""

    def send(self, records: Iterable[OutRecord]) -> None:
        """Produce in the txn."""

    def commit(self, offsets: list[Any], group_metadata: Any) -> None:  # noqa: ANN401 - opaque in the client
        """Commit the txn with these offsets."""

    def abort(self) -> None:
        """Abort the open txn, if there is one."""

    def poll(self) -> None:
        """Serve callbacks."""
