"""The warning about ids with records in two partitions, which split the ids' sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Partition, WallTimeMs, WindowClosed
from service.core.split_ids import SplitIds
from service.observe.metrics import Metrics

SAY_EVERY_MS: Final = 3_600_000
FORGET_AFTER_MS: Final = 3_600_000
"""If there are more ids than we can watch, we choose others after this time."""
SETTLE_MS: Final = 360_000
"""For this time after partitions were added nothing is watched: producers may learn of them after five minutes
(``metadata.max.age.ms``)."""


class Splits:
    """Counts ids in two of this instance's partitions, and logs it at most once an hour."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        """Begin without ids."""
        self._ids = SplitIds()
        self._metrics = metrics
        self._log = log
        self._partitions: int | None = None
        """The topic's partitions, when we last knew them."""
        self._settled_ms = 0
        self._chosen_ms = 0
        self._said_ms: int | None = None
        self._counted = 0

    def ownership_changed(self) -> None:
        """Begin again, because partitions were assigned or revoked."""
        self._ids.forget()

    def look(
        self,
        closed: Sequence[tuple[Partition, WindowClosed]],
        *,
        owned: int,
        in_topic: int | None,
        now_ms: WallTimeMs,
    ) -> None:
        """Look for split ids in committed windows.

        When partitions are added an id may move, which is no split. So nothing is watched for SETTLE_MS.

        Args:
            closed: the windows and their partitions.
            owned: how many partitions this instance has.
            in_topic: how many partitions the topic has; None where that is not known.
            now_ms: the wall clock.
        """
        if in_topic is not None and in_topic != self._partitions:
            if self._partitions is not None:
                self._settled_ms = now_ms + SETTLE_MS
            self._partitions = in_topic
        if 0 < self._settled_ms - now_ms <= SETTLE_MS:
            self._ids.forget()
            return
        if owned < 2:  # noqa: PLR2004 - there is no other partition
            return
        if not 0 <= now_ms - self._chosen_ms < FORGET_AFTER_MS:
            self._chosen_ms = now_ms
            if self._ids.full(owned):
                self._ids.forget()
        seen = self._ids.look(closed, owned)
        if seen.new:
            self._counted += seen.new
            self._metrics.split_ids.inc(seen.new)
        if seen.example is None or (self._said_ms is not None and 0 <= now_ms - self._said_ms < SAY_EVERY_MS):
            return
        self._said_ms = now_ms
        self._log.warning(
            "ids_in_two_partitions",
            ids=self._counted,
            partition=seen.example.partition,
            offset=seen.example.offset,
            other_partition=seen.example.other_partition,
            other_offset=seen.example.other_offset,
            why="records of one id are in two partitions, so each of its sums is split: set the same partitioner in all"
            " producers (Java's is murmur2, librdkafka's default is CRC32)",
        )
