"""The events that a poll of the input topic may return: one class for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.core.model import Offset, Partition
from service.wire.records import InRecord


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records of one partition, oldest first; never empty."""

    partition: Partition
    messages: Sequence[InRecord]


@dataclass(frozen=True, slots=True)
class PartitionEnd:
    """The poll has returned everything below ``offset``, and there is no more at the moment."""

    partition: Partition
    offset: Offset


@dataclass(frozen=True, slots=True)
class Assigned:
    """The group assigned partitions. restore() starts them."""

    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    """The group revoked partitions. ``lost``: another instance may own them already."""

    partitions: tuple[Partition, ...]
    lost: bool


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The next offset to read does not exist any more. restore() finds where reading goes on."""

    partition: Partition
    why: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error after which the client tries again by itself."""

    why: str


@dataclass(frozen=True, slots=True)
class DeadOwnersFenced:
    """Dead instances had left txns open, and these have been ended."""

    instances: tuple[str, ...]


Event = Records | PartitionEnd | Assigned | Revoked | OutOfRange | Trouble | DeadOwnersFenced
