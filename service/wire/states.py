"""Records of the state topic: what detectors remember of a key, one record for each change, the last one counts."""

from __future__ import annotations

from service.core.model import Partition
from service.wire.records import OutRecord

_SEPARATOR = "\0"


def state_record(topic: str, partition: Partition, detector: str, key: str, packed: bytes | None) -> OutRecord:
    """Make the record of one state, in the partition that its input has; None: the state is forgotten."""
    return OutRecord(topic, f"{detector}{_SEPARATOR}{key}".encode(), packed, None, partition)


def owner_of(record_key: bytes) -> tuple[str, str]:
    """The detector and the key of a record.

    Raises:
        ValueError: another program has written the record.
    """
    detector, separator, key = record_key.decode().partition(_SEPARATOR)
    if not separator:
        raise ValueError("its key is not a detector, NUL and an id")
    return detector, key
