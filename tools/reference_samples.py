"""One of each thing that docs/reference.md shows, made by the code that makes the real ones."""

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry

from producer.metrics import ReplayCollector
from producer.ports import Sink
from producer.report import Tally, summary_json
from service.core.detectors import ConfiguredDetector
from service.core.detectors.threshold import Threshold
from service.core.memory.alerts import Place
from service.core.memory.partition import Memory
from service.core.model import (
    Aggregate,
    ClockName,
    EventTimeMs,
    LatePolicy,
    Offset,
    Partition,
    Progress,
    ReadAhead,
    Reason,
    TumblingWindow,
    WallTimeMs,
    WindowClosed,
)
from service.forward.metrics import ForwardMetrics
from service.observe.http import Pages
from service.observe.metrics import Metrics
from service.observe.status import PartitionStatus, Status, StatusBoard
from service.wire.alerts import alert_record
from service.wire.progress import encode_progress
from service.wire.records import Headers, Original, OutRecord, Source, rekeyed_record, set_aside_record

TIME: Final = EventTimeMs(1_715_392_800_000)
SOURCE: Final = Source("transactions", Partition(0))


def alert() -> OutRecord:
    """The first alert of the example."""
    aggregate = Aggregate(TIME, Offset(0), TIME, Offset(0))
    for amount in (3200.0, 6000.0, 2500.0):
        aggregate.add(amount)
    aggregate.count, aggregate.last_offset, aggregate.max_timestamp = 3, Offset(2), EventTimeMs(TIME + 9_000)
    window = TumblingWindow(1_785_000_000_000, 1_785_000_010_000)
    closed = WindowClosed(ClockName.PROCESSING, window, EventTimeMs(TIME + 8_000), {"tx1": aggregate})
    memory = Memory((ConfiguredDetector("threshold", Threshold(Decimal(8000))),), Place(SOURCE.topic, SOURCE.partition))
    (found,) = memory.judge([closed], closed.watermark_ms, lambda _: None).alerts
    return alert_record("alerts", SOURCE, found, WallTimeMs(window.end_ms + 3))


def set_aside_headers() -> list[tuple[str, str]]:
    """Every header that a set-aside record can get, with an example."""
    plain = Original(SOURCE, 41, b"tx1", b"12,50", None, TIME)
    large = Original(SOURCE, 42, b"k" * 2_000, b"v" * 2_000, [("own", b"h" * 2_000)], TIME)
    headers: Headers = []
    for original, most in ((plain, 2**20), (large, 1_000)):
        headers += set_aside_record("dead", original, Reason.NOT_JSON, "malformed", most).headers or []
    return sorted({name: text(value) for name, value in reversed(headers)}.items(), key=lambda one: one[0])


def rekeyed() -> OutRecord:
    """A record as `rekey` writes it."""
    return rekeyed_record("transactions.by-id", "tx1", Original(SOURCE, 41, b"shop7", b"{}", None, TIME))


def text(value: str | bytes | None) -> str:
    """A header's value."""
    return value.decode() if isinstance(value, bytes) else str(value)


def log_line() -> dict[str, Any]:
    """The log's line of the example's first checkpoint."""
    return {
        "window_end": 1_785_000_010_000,
        "windows": 1,
        "anomalies": 1,
        "commit_ms": 21,
        "partitions": 1,
        "set_aside": 0,
        "states": 0,
        "event": "checkpoint",
        "level": "info",
        "timestamp": "2026-07-25T17:20:10.024518Z",
    }


def registry() -> CollectorRegistry:
    """The service's metrics, with a partition in them."""
    board, found = _board(), CollectorRegistry()
    _label(Metrics(found, board, "0.1.0", "2.16.0"))
    return found


def forward_registry() -> CollectorRegistry:
    """The metrics of `forward`."""
    found = CollectorRegistry()
    _label(ForwardMetrics(found))
    return found


def _label(metrics: object) -> None:
    """Give each metric with labels a sample, which shows them."""
    for metric in vars(metrics).values():
        names = getattr(metric, "_labelnames", ())
        if names and not getattr(metric, "_metrics", None):
            metric.labels(*names)


def replay_registry() -> CollectorRegistry:
    """The replay's metrics."""
    found = CollectorRegistry()
    found.register(ReplayCollector(Tally(event_time_ms=TIME), _sink()))
    return found


def status() -> dict[str, Any]:
    """What /status answers."""
    body: dict[str, Any] = json.loads(Pages(CollectorRegistry(), _board()).status("").body)
    return body


def summary() -> dict[str, Any]:
    """The replay's last line."""
    body: dict[str, Any] = json.loads(summary_json(Tally(), _sink(), 0, 1))
    return body


def committed() -> tuple[str, str]:
    """What a committed offset's metadata holds: without and with something read ahead."""
    ahead = ReadAhead(Offset(7), TIME, TIME, ClockName.EVENT, 10_000, 1_000, 300_000, LatePolicy.DIVERT)
    instance = "txwatch-0"
    return encode_progress(Progress(Offset(4), TIME), instance), encode_progress(
        Progress(Offset(4), TIME, ahead), instance
    )


def _board() -> StatusBoard:
    board = StatusBoard(lambda: 0.0)
    partition = PartitionStatus(
        "transactions", 0, 7, 0, TIME, idle=False, open_keys=1, blocked_ms=1, waits_for="…", state_keys=1
    )
    board.status = Status(None, (partition,), open_episodes={"threshold": 1})
    board.state_restore_s = 0.1
    return board


def _sink() -> Sink:
    return cast("Sink", SimpleNamespace(sent=0, delivered=0, failed=0, outstanding=0))
