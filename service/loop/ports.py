"""The ports: what the loop needs of Kafka. `service.kafka` implements them; tests pass fakes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from service.core.memory.partition import Memory
from service.core.model import Offset, Partition, Progress, ResetReason
from service.loop.events import Event
from service.wire.records import OutRecord


@dataclass(frozen=True, slots=True)
class RestoredMemory:
    """What was read back from the state topic for one partition."""

    memory: Memory
    records: int
    seconds: float
    """How long it took, for all partitions that were read back together."""
    not_kept: Mapping[tuple[str, str], int]
    """How many states will be removed from the topic, by detector and reason."""


@dataclass(slots=True)
class RestoreProgress:
    """How far the states are read back. The thread that reads them writes this; other threads read it."""

    read: int = 0
    of: int = 0
    """How many records there are to read; 0 where nothing is read back."""

    def __str__(self) -> str:
        """As the service's status shows it; empty where nothing is read back."""
        return f"reading the detectors' states back: {self.read:,} of {self.of:,} records" if self.of else ""


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where a partition starts."""

    partition: Partition
    progress: Progress
    skipped: int
    """How many records from the committed offset on do not exist any more."""
    committed: Offset | None = None
    """The group's committed offset; None where it has none."""
    reset: ResetReason | None = None
    """Why reading starts at the earliest record; None where that is expected, or was reported before."""
    restored: RestoredMemory | None = None
    """What the detectors remember of it; None where restore() was not asked for that."""


About_contra = TypeVar("About_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)


class InputConsumer(Protocol):
    """The input topic; service.kafka.consumer implements it. Only poll() waits for Kafka."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def restoring(self) -> frozenset[Partition]:
        """Assigned partitions that wait for restore()."""

    def poll(self, max_records: int, timeout_s: float) -> list[Event]:
        """Wait for records; returns what happened."""

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Let restore() start these again."""

    def restore(self, without_memory: Collection[Partition]) -> list[StartPoint]:
        """Start the waiting partitions whose committed offsets are known by now.

        For those in ``without_memory`` read back first what the detectors remember.
        """

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of these until resume() or restore()."""

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Return records of these again, from where poll() stopped."""

    def checkpoint(self, progress: Iterable[tuple[Partition, Progress]]) -> tuple[list[Any], Any]:
        """Offsets and group metadata for OutputProducer.commit()."""


class InputStatus(Protocol):
    """What is known of the input's consumer, for health and for the warning about split ids. No method waits."""

    @property
    def joined(self) -> bool:
        """Whether the group has answered."""

    @property
    def throttled(self) -> bool:
        """Whether a broker's quota may delay the consumer's requests."""

    @property
    def partition_count(self) -> int | None:
        """How many partitions the topic had when it was last looked up; None before that."""

    def ask_membership(self) -> None:
        """Ask whether the group knows this member; a later call takes the answer."""

    def end_offset(self, partition: Partition) -> Offset | None:
        """Where the partition ended when it was last fetched, open txns included."""


class Question(Protocol[About_contra, Answer_co]):
    """A question to Kafka for which the loop does not wait: a later turn takes the answer."""

    @property
    def pending(self) -> bool:
        """Whether there is a question whose answer has not been taken."""

    def ask(self, about: About_contra) -> None:
        """Ask, unless an earlier question is pending."""

    def answer(self) -> Answer_co | None:
        """Take the answer; None where there is none yet.

        Raises:
            KafkaProblem: what the question raised.
        """


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a partition ends, for readers of committed records and for all readers."""

    stable: Offset
    """The last stable offset: where the earliest open txn begins, or the end."""
    end: Offset


@dataclass(frozen=True, slots=True)
class Probe:
    """What the loop asks Kafka beside reading and writing: the consumer's status, and questions to the cluster."""

    status: InputStatus
    end_offsets: Question[Collection[Partition], dict[Partition, Offset]]
    """Where partitions end now, open txns included. A partition whose leader does not answer is missing."""
    ends: Question[Collection[Partition], dict[Partition, Ends]]
    """The same with the last stable offsets."""
    topic_ends: Question[Collection[Partition], dict[Partition, Offset]]
    """The same as ``end_offsets``, asked for the whole topic."""
    reach: Question[None, bool]
    """Whether the broker answers: True, or it raises Retriable."""
    restore: RestoreProgress = field(default_factory=RestoreProgress)
    """How far the states are read back that partitions wait for."""


class OutputProducer(Protocol):
    """The transactional producer; service.kafka.producer implements it, and says what each method raises."""

    @property
    def ready(self) -> bool:
        """Whether txns can begin; if not, initialise() must come first."""

    @property
    def open(self) -> bool:
        """Whether a txn is open."""

    def initialise(self) -> None:
        """Fence older producers of this name and abort their open txns."""

    def send(self, records: Iterable[OutRecord]) -> None:
        """Produce in the txn."""

    def commit(self, offsets: list[Any], group_metadata: Any) -> None:  # noqa: ANN401 - opaque in the client
        """Commit the txn with these offsets."""

    def abort(self) -> None:
        """Abort the open txn, if any."""

    def poll(self) -> None:
        """Serve callbacks."""
