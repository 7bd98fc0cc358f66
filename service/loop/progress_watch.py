"""Finds partitions that have records and do not advance."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.core.model import Offset, Partition, WallTimeMs
from service.loop.ports import Ends, Question

ASK_AFTER_MS: Final = 10_000
"""We ask for the end of a partition that has not advanced for this time, and again each time it passes."""
STUCK_AFTER_MS: Final = 20_000
"""A partition that is behind its end, and does not advance for this time afterwards, is stuck."""


@dataclass(slots=True)
class _Seen:
    position: Offset
    asked_ms: WallTimeMs
    """When we last asked for its end, or began to watch it."""
    behind_since_ms: WallTimeMs | None = None
    suspect_since_ms: WallTimeMs | None = None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of partitions that do not advance."""

    stuck: str | None = None
    """Which partitions have records and do not advance, in one line; None where there are none."""
    blocked_ms: Mapping[Partition, int] = field(default_factory=dict)
    """For how long another producer's open txn has blocked each partition, in milliseconds."""


class ProgressWatch:
    """Compares positions with the partitions' true ends. Neither silence nor an absent broker counts as a fault."""

    def __init__(self, ends: Question[Collection[Partition], dict[Partition, Ends]]) -> None:
        """``ends`` asks the leaders where partitions end, all in one question."""
        self._ends = ends
        self._seen: dict[Partition, _Seen] = {}

    def forget(self) -> None:
        """Begin again: while Kafka does not answer, nothing is known."""
        self._seen.clear()

    def look(
        self, now_ms: WallTimeMs, positions: Mapping[Partition, Offset], suspects: Collection[Partition]
    ) -> Verdict:
        """Find the partitions that are stuck or blocked at these positions.

        ``suspects`` look fully read to the client, and yet they are longer. For them we ask at each look.

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
                self._compare(self._seen[partition], ends, now_ms)
        stuck = "; ".join(
            f"partition {partition} is stuck at offset {seen.position} although it has records"
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
        """Note the position; returns whether to ask for the partition's end."""
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
    def _compare(seen: _Seen, ends: Ends, now_ms: WallTimeMs) -> None:
        """Compare with the present position: the partition may have advanced since the question."""
        seen.blocked = ends.stable <= seen.position < ends.end
        if ends.stable <= seen.position:
            seen.behind_since_ms = None
        elif seen.behind_since_ms is None:
            seen.behind_since_ms = now_ms
