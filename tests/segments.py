"""What a topic's batches are on the broker's disk: clients do not say how a batch was compressed."""

import struct
from typing import Final, NamedTuple

from brokerkit.broker import Broker

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_HEAD: Final = struct.Struct(">qiibIhiqqqhii")
"""A batch of format 2: base offset, length after it, leader epoch, magic, CRC, attributes, last offset's delta, the
first and the greatest timestamp, producer id, epoch, first sequence number, count."""
_BEFORE_LENGTH: Final = 12


class Batch(NamedTuple):
    """One batch."""

    codec: str
    control: bool
    """Whether it is the marker of a txn."""
    records: int
    size: int
    """Bytes on disk."""


def batches(broker: Broker, topic: str) -> list[Batch]:
    """All batches of a topic, partition by partition, control batches included."""
    found: list[Batch] = []
    for segment in sorted(broker.log_file.parent.glob(f"data/{topic}-[0-9]*/*.log")):
        content, at = segment.read_bytes(), 0
        while at + _HEAD.size <= len(content):
            _, length, _, magic, _, attributes, *_, count = _HEAD.unpack_from(content, at)
            if magic != 2:  # what was allocated beforehand, if anything
                break
            size = _BEFORE_LENGTH + length
            found.append(Batch(CODECS[attributes & 7], bool(attributes & 0x20), count, size))
            at += size
    return found
