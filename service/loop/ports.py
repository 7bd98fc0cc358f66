"""What the loop needs of Kafka: the seam at which tests put something simpler."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from service.core.model import Offset, Partition, Progress, ResetReason
from service.loop.events import Event
from service.wire.records import OutRecord


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where a partition starts."""

    partition: Partition
    progress: Progress
    skipped: int
    """Records between the committed offset and the first that still exists: they are gone."""
    committed: Offset | None = None
    """What the group had committed; None where it has no offset."""
    reset: ResetReason | None = None
    """Why it starts at the earliest record; None where that is as it should be, or was reported before."""


About_contra = TypeVar("About_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)


class InputConsumer(Protocol):
    """What the loop needs of the input topic; service.kafka.consumer says what each does. Only poll() waits."""

    @property
    def topic(self) -> str:
        """Its name."""

    @property
    def partition_count(self) -> int | None:
        """How many partitions the topic had when it was last looked up; None where that is not known."""

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

    def restore(self) -> list[StartPoint]:
        """Start the partitions that wait for it and whose committed offsets are known by now."""

    def ask_membership(self) -> None:
        """Ask whether the group knows us; a later call takes the answer."""

    def end_offset(self, partition: Partition) -> Offset | None:
        """Where the partition ended when it was last fetched, whatever txns are open there."""

    def checkpoint(self, progress: Iterable[tuple[Partition, Progress]]) -> tuple[list[Any], Any]:
        """Offsets and group metadata for OutputProducer.commit."""


class Question(Protocol[About_contra, Answer_co]):
    """Something to ask Kafka without waiting for the answer, which a later turn takes."""

    @property
    def pending(self) -> bool:
        """Whether a question was asked whose answer has not been taken."""

    def ask(self, about: About_contra) -> None:
        """Ask, unless an earlier question is pending."""

    def answer(self) -> Answer_co | None:
        """Take the answer; None where there is none yet. Raises what the question raised."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a partition ends: for readers of committed records, and for all."""

    stable: Offset
    """The last stable offset: where the earliest open txn begins, or the end."""
    end: Offset


@dataclass(frozen=True, slots=True)
class Probe:
    """What the loop asks of the cluster besides reading and writing."""

    end_offsets: Question[Collection[Partition], dict[Partition, Offset]]
    """Where partitions end at this moment, records of open txns included; without those whose leaders are away."""
    ends: Question[Collection[Partition], dict[Partition, Ends]]
    """The same with the last stable offsets."""
    reach: Question[None, bool]
    """Whether the broker answers: True, or Retriable."""


class OutputProducer(Protocol):
    """What the loop needs of the transactional producer; service.kafka.producer says what each does."""

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
