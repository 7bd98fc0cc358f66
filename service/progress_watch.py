"""Which partitions do not move although they have records: they are stuck, or an open txn of the input blocks them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.core.model import Offset, Partition, WallTimeMs
from service.ports import Ends, Question

ASK_AFTER_MS: Final = 10_000
"""A partition that has not moved for so long is asked about, and again each time so much has passed."""
STUCK_AFTER_MS: Final = 20_000
"""Behind and unmoved for so long after it was first found so, it is stuck."""


@dataclass(slots=True)
class _Seen:
    position: Offset
    asked_ms: WallTimeMs
    """When it was last asked about, or began to be watched."""
    behind_since_ms: WallTimeMs | None = None
    suspect_since_ms: WallTimeMs | None = None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of partitions that do not move."""

    stuck: str | None = None
    """Which have records for us and do not move."""
    blocked_ms: Mapping[Partition, int] = field(default_factory=dict)
    """For how long an open txn of another producer has held up a partition, in milliseconds."""


class ProgressWatch:
    """Compares positions with the partitions' true ends. Silence alone is no fault, and neither is a broker away."""

    def __init__(self, ends: Question[Collection[Partition], dict[Partition, Ends]]) -> None:
        """``ends`` asks the leaders where partitions end; one question is for all partitions that are due."""
        self._ends = ends
        self._seen: dict[Partition, _Seen] = {}

    def forget(self) -> None:
        """Watch from the beginning: while Kafka is in trouble nothing can be said."""
        self._seen.clear()

    def look(
        self, now_ms: WallTimeMs, positions: Mapping[Partition, Offset], suspects: Collection[Partition]
    ) -> Verdict:
        """Say which partitions are stuck or blocked at these positions.

        ``suspects`` have been read to what the client calls the end, and are longer: they are asked about each time.

        Raises:
            Retriable: the broker does not say where partitions end.
        """
        for gone in self._seen.keys() - positions.keys():
            del self._seen[gone]
        due = [p for p, position in positions.items() if self._note(now_ms, p, position, p in suspects)]
        if due and not self._ends.pending:
            for partition in due:
                self._seen[partition].asked_ms = now_ms
            self._ends.ask(due)
        for partition, ends in (self._ends.answer() or {}).items():
            if partition in self._seen:
                self._judge(self._seen[partition], ends, now_ms)
        stuck = "; ".join(
            f"partition {partition} stands at offset {seen.position} although it has records"
            for partition, seen in self._seen.items()
            if seen.behind_since_ms is not None and now_ms - seen.behind_since_ms >= STUCK_AFTER_MS
        )
        blocked_ms = {
            partition: now_ms - seen.suspect_since_ms
            for partition, seen in self._seen.items()
            if seen.blocked and seen.suspect_since_ms is not None
        }
        return Verdict(stuck or None, blocked_ms)

    def _note(self, now_ms: WallTimeMs, partition: Partition, position: Offset, suspect: bool) -> bool:  # noqa: FBT001
        """Note where it stands; returns whether it is to be asked about."""
        seen = self._seen.get(partition)
        if seen is None or seen.position != position or now_ms < seen.asked_ms:
            self._seen[partition] = _Seen(position, now_ms)
            return False
        if not suspect:
            seen.suspect_since_ms, seen.blocked = None, False
        elif seen.suspect_since_ms is None:
            seen.suspect_since_ms = now_ms
        return suspect or now_ms - seen.asked_ms >= ASK_AFTER_MS

    @staticmethod
    def _judge(seen: _Seen, ends: Ends, now_ms: WallTimeMs) -> None:
        """An answer may be about an earlier position; then the partition has moved, and the end is beyond it or not."""
        seen.blocked = ends.stable <= seen.position < ends.end
        if ends.stable <= seen.position:
            seen.behind_since_ms = None
        elif seen.behind_since_ms is None:
            seen.behind_since_ms = now_ms
