"""Kafka's default partitioner, to find the keys whose records go to another partition after partitions were added."""

from __future__ import annotations

from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition to which Java's producers, and librdkafka's ``murmur2_random``, send a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """The 32-bit hash MurmurHash2 by Austin Appleby, with the seed of Kafka's producers."""
    length = len(data)
    found = (_SEED ^ length) & _MASK
    whole = length - length % 4
    for begin in range(0, whole, 4):
        block = int.from_bytes(data[begin : begin + 4], "little") * _M & _MASK
        block = (block ^ block >> 24) * _M & _MASK
        found = (found * _M & _MASK) ^ block
    if length > whole:
        found = (found ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    found = (found ^ found >> 13) * _M & _MASK
    return found ^ found >> 15


def has_moved(key: bytes, partition: int, before: int, now: int) -> bool:
    """Whether this key's records went to ``partition`` of ``before`` partitions, and go to another one of ``now``.

    A key that another partitioner had placed there stays.
    """
    return partition_of(key, before) == partition and partition_of(key, now) != partition
