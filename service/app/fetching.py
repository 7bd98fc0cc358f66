"""How much one fetch may bring.

librdkafka bounds what waits in its queue, but looks at that bound only before a fetch, and decompresses all that a
fetch has brought at once. So the bound on memory is a bound on the compressed bytes of a fetch.
"""

from __future__ import annotations

from typing import Final

FETCH_BYTES: Final = 128 * 1024
"""Of the fetches of all brokers together, as the records are stored: at 1,000:1, 128 MiB after decompression.

A batch that is larger comes all the same, alone, so a topic of large batches is read no more slowly.
"""
PARTITION_BYTES: Final = 64 * 1024
"""Of one partition, so that a fetch serves several. What is cut off is sent in vain: a smaller limit costs rate."""
LEAST_BYTES: Final = 1_000
"""The client takes no smaller value."""


def fetch_sizes(brokers: int) -> dict[str, int]:
    """The consumer's properties for a cluster of so many brokers, each of which has one fetch under way.

    The number of partitions does not matter, so the bound holds for partitions that are added later, too.
    """
    return {
        "fetch.max.bytes": max(LEAST_BYTES, FETCH_BYTES // max(1, brokers)),
        "fetch.message.max.bytes": PARTITION_BYTES,
    }
