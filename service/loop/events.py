"""What a poll of the input topic may bring, one kind an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.core.model import Offset, Partition


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records of one partition, oldest first; never empty."""

    partition: Partition
    messages: list[Any]


@dataclass(frozen=True, slots=True)
class PartitionEnd:
    """Everything below ``offset`` has been handed out, and there is no more at the moment."""

    partition: Partition
    offset: Offset


@dataclass(frozen=True, slots=True)
class Assigned:
    """The group handed over partitions. They start after restore()."""

    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
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


Event = Records | PartitionEnd | Assigned | Revoked | OutOfRange | Trouble | DeadOwnersFenced
