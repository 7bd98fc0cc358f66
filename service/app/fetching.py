"""The sizes of a fetch: how many bytes the broker may return at once.

librdkafka checks the bound of its queue only before a fetch, and decompresses the whole fetch at once. So we bound
memory by the compressed bytes of a fetch. docs/decisions/consumer.md, "A fetch brings 128 KiB, as stored".
"""

from __future__ import annotations

from typing import Final

FETCH_BYTES: Final = 128 * 1024
"""The bound of one fetch from each broker, added up, as stored: with compression of 1,000:1 that is 128 MiB in memory.

A larger batch comes whole and alone, so topics with large batches are as fast as before.
"""
PARTITION_BYTES: Final = 64 * 1024
"""The bound of one partition, so that a fetch serves several. The broker cuts the last batch: less costs throughput."""
LEAST_BYTES: Final = 1_000
"""The client takes no smaller value."""


def fetch_sizes(brokers: int) -> dict[str, int]:
    """The consumer's properties for a cluster of ``brokers`` brokers: each has one fetch in progress.

    They do not depend on the number of partitions, so they hold after partitions are added.
    """
    return {
        "fetch.max.bytes": max(LEAST_BYTES, FETCH_BYTES // max(1, brokers)),
        "fetch.message.max.bytes": PARTITION_BYTES,
    }
