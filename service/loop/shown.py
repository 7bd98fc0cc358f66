"""What the page shows of the tasks: open windows and open episodes. Bounded, and made once a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.core.model import Partition
from service.core.task import PartitionTask
from service.observe.live import OpenEpisodeStatus, OpenWindowStatus

MOST_WINDOWS: Final = 48
MOST_EPISODES: Final = 100


def open_windows(tasks: Mapping[Partition, PartitionTask]) -> tuple[OpenWindowStatus, ...]:
    """The open windows, earliest first: a window that is open in several partitions is one."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for task in tasks.values():
        for one in task.open_windows(MOST_WINDOWS):
            span = one.window.start_ms, one.window.end_ms
            keys, partitions = found.get(span, (0, 0))
            found[span] = keys + len(one.aggregates), partitions + 1
    return tuple(OpenWindowStatus(*span, *count) for span, count in sorted(found.items())[:MOST_WINDOWS])


def open_episodes(tasks: Mapping[Partition, PartitionTask]) -> tuple[OpenEpisodeStatus, ...]:
    """Open episodes, those of the latest windows first."""
    found: list[OpenEpisodeStatus] = []
    for partition, task in tasks.items():
        for detector, key, one in task.memory.episodes(MOST_EPISODES - len(found)):
            last = one.last
            found.append(
                OpenEpisodeStatus(
                    one.id,
                    detector,
                    one.shadow,
                    key,
                    partition,
                    one.windows,
                    one.quiet,
                    one.peak,
                    last.amount,
                    last.limit,
                    last.watermark,
                    (last.start_ms, last.end_ms),
                )
            )
    return tuple(sorted(found, key=lambda one: one.window, reverse=True))
