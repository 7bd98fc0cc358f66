"""What a poll of the input topic may bring, one kind an event."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Message

from service.core.model import Offset, Partition


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive records of one partition, oldest first; never empty."""

    partition: Partition
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class End:
    """Everything below ``offset`` has been handed out, and there is no more at the moment."""

    partition: Partition
    offset: Offset


@dataclass(frozen=True, slots=True)
class Given:
    """The group handed over partitions. They start after restore()."""

    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """Partitions are no longer ours: handed back (``lost`` false), or somebody else's already."""

    partitions: tuple[Partition, ...]
    lost: bool


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The offset to read next does not exist any more; restore() finds where to go on."""

    partition: Partition
    why: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that the client will try again by itself."""

    why: str


@dataclass(frozen=True, slots=True)
class DeadOwnersFenced:
    """Instances that are gone had left txns open; these have been ended."""

    instances: tuple[str, ...]


Event = Run | End | Given | Taken | OutOfRange | Trouble | DeadOwnersFenced
