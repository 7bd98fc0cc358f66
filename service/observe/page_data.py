"""What a page is sent: once at its begin, and then every second. Made on the streams' thread, from snapshots."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import msgspec
from prometheus_client import Counter

from service.observe.live import Live
from service.observe.metrics import Metrics
from service.observe.status import Status, StatusBoard

HISTORY: Final = 180
"""How many samples are kept, of about a second each."""
SAMPLE_MS: Final = 900
"""They are at least so far apart: a rate over less time would jump."""

_encode = msgspec.json.Encoder().encode


class PageData:
    """The page's data, with a short history, so that a new page does not begin empty."""

    def __init__(self, live: Live, board: StatusBoard, metrics: Metrics, now_ms: Callable[[], int]) -> None:
        """``now_ms`` is the wall clock."""
        self._live = live
        self._board = board
        self._metrics = metrics
        self._now_ms = now_ms
        self._started_ms: Final = now_ms()
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=HISTORY)
        """The time, and how many records and late records there were by then."""
        self._records: dict[int, int] = {}
        self._late: dict[int, int] = {}

    @property
    def posted(self) -> Status:
        """What the loop posted last: another object after each post."""
        return self._board.status

    def sample(self) -> None:
        """Look at the counters. To be called about every second."""
        self._records, self._late = _by_partition(self._metrics.records), _by_partition(self._metrics.late)
        now_ms = self._now_ms()
        if not self._samples or not 0 <= now_ms - self._samples[-1][0] < SAMPLE_MS:
            self._samples.append((now_ms, sum(self._records.values()), sum(self._late.values())))

    def hello(self) -> bytes:
        """What changes only with the detectors, and the samples so far."""
        return _encode({**self._live.about, "started": self._started_ms, "samples": list(self._samples)})

    def about(self) -> bytes:
        """What has changed with the detectors."""
        return _encode(self._live.about)

    def status(self) -> bytes:
        """How things are now."""
        status, live = self._board.status, self._live
        return _encode(
            {
                "now": self._now_ms(),
                "posted": live.posted_ms,
                "ready": status.not_ready is None,
                "reason": status.not_ready,
                "stuck": status.stuck,
                "silent_s": None if self._board.alive else round(self._board.silent_s()),
                "throttled": self._board.throttled(),
                "watermark": status.watermark,
                "in_topic": live.in_topic,
                "committed": live.committed_ms,
                "sample": self._samples[-1] if self._samples else None,
                "rejected": _total(self._metrics.rejected),
                "alerts": live.alerts.total,
                "found": _by_detector(self._metrics.anomalies) | _by_detector(self._metrics.shadow_anomalies),
                "windows": [asdict(one) for one in live.windows],
                "episodes": [asdict(one) for one in live.episodes],
                "open_episodes": sum(status.open_episodes.values()),
                "partitions": [
                    {
                        "partition": one.partition,
                        "watermark": one.watermark,
                        "lag": one.lag,
                        "idle": one.idle,
                        "keys": one.open_keys,
                        "blocked_ms": one.blocked_ms,
                        "waits_for": one.waits_for,
                        "late": self._late.get(one.partition, 0),
                    }
                    for one in status.partitions
                ],
            }
        )


def _samples_of(counter: Counter) -> list[tuple[dict[str, str], float]]:
    return [(one.labels, one.value) for family in counter.collect() for one in family.samples]


def _by_partition(counter: Counter) -> dict[int, int]:
    return {int(labels["partition"]): int(value) for labels, value in _samples_of(counter)}


def _by_detector(counter: Counter) -> dict[str, Any]:
    return {labels["detector"]: int(value) for labels, value in _samples_of(counter)}


def _total(counter: Counter) -> int:
    return int(sum(value for _, value in _samples_of(counter)))
