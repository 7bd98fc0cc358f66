"""Which partitions stand still although they have records: what a loop that turns well cannot see of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from service.core.model import Offset, Partition, WallTimeMs

ASK_AFTER_MS: Final = 10_000
"""A partition that has not moved for so long is asked about, and again each time so much has passed."""
STUCK_AFTER_MS: Final = 20_000
"""Behind and unmoved for so long after it was first found so, it is stuck."""


@dataclass(slots=True)
class _Seen:
    position: Offset
    asked_ms: WallTimeMs
    behind_since_ms: WallTimeMs | None = None


class ProgressWatch:
    """Compares each partition's position with its true end; silence alone is no fault, and neither is a broker away."""

    def __init__(self, end_of: Callable[[Partition], Offset]) -> None:
        """``end_of`` asks the broker where a partition ends for us; it may raise service.kafka.errors.Retriable."""
        self._end_of = end_of
        self._seen: dict[Partition, _Seen] = {}

    def forget(self) -> None:
        """Begin anew: while Kafka is in trouble nothing can be told."""
        self._seen.clear()

    def look(self, now_ms: WallTimeMs, positions: Mapping[Partition, Offset]) -> str | None:
        """Say which partitions are stuck at these positions, or None.

        Raises:
            Retriable: the broker does not say where a partition ends.
        """
        for gone in self._seen.keys() - positions.keys():
            del self._seen[gone]
        stuck = []
        for partition, position in positions.items():
            seen = self._seen.get(partition)
            if seen is None or seen.position != position or now_ms < seen.asked_ms:
                self._seen[partition] = _Seen(position, now_ms)
                continue
            if now_ms - seen.asked_ms >= ASK_AFTER_MS:
                seen.asked_ms = now_ms
                if self._end_of(partition) <= position:
                    seen.behind_since_ms = None
                elif seen.behind_since_ms is None:
                    seen.behind_since_ms = now_ms
            if seen.behind_since_ms is not None and now_ms - seen.behind_since_ms >= STUCK_AFTER_MS:
                stuck.append(f"partition {partition} stands at offset {position} although it has records")
        return "; ".join(stuck) or None
