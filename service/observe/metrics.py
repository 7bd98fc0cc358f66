"""What the loop reports, as Prometheus metrics. The registry is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.core.model import Reason, ResetReason
from service.observe.status import StatusBoard

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
THROTTLED_CLIENTS = ("producer", "consumer", "admin")
THROTTLE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Every metric of the service. Gauges of a partition live as long as its assignment, counters for ever."""

    def __init__(
        self,
        registry: CollectorRegistry,
        board: StatusBoard,
        version: str,
        librdkafka: str,
        dropped_lines: Callable[[], int] = lambda: 0,
    ) -> None:
        """Register them all; ``dropped_lines`` says how many lines of the log could not be written so far."""
        # In Prometheus' text they would be gauges that nobody knows, and those of a partition would stay for ever.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        by_partition = ("topic", "partition")
        self.records = Counter(
            "txwatch_records",
            "Records read, bad ones and repeats after a rewind included",
            by_partition,
            registry=registry,
        )
        self.late = Counter("txwatch_records_late", "Records below the watermark", by_partition, registry=registry)
        self.rejected = Counter("txwatch_records_rejected", "Records dead-lettered", ("reason",), registry=registry)
        for reason in Reason:
            if reason is not Reason.LATE:
                self.rejected.labels(reason.value)
        self.windows_closed = Counter("txwatch_windows_closed", "Windows closed, one a key", registry=registry)
        self.anomalies = Counter("txwatch_anomalies", "Alerts committed", ("detector",), registry=registry)
        self.anomalies.labels("threshold")
        self.alert_latency = Histogram(
            "txwatch_alert_latency_seconds",
            "From a window's end to its alerts committed",
            registry=registry,
            buckets=LATENCY_BUCKETS,
        )
        self.commit = Histogram(
            "txwatch_commit_seconds", "One Kafka txn, begin to commit", registry=registry, buckets=LATENCY_BUCKETS
        )
        self.txns = Counter("txwatch_transactions", "Kafka txns", ("outcome",), registry=registry)
        for outcome in ("committed", "aborted"):
            self.txns.labels(outcome)
        self.rebalances = Counter("txwatch_rebalances", "Rebalance callbacks", ("kind",), registry=registry)
        for kind in ("assigned", "revoked", "lost"):
            self.rebalances.labels(kind)
        self.throttle = Histogram(
            "txwatch_throttle_seconds",
            "For how long a broker throttles a client whose quota is exceeded, one observation each time it says so",
            ("client",),
            registry=registry,
            buckets=THROTTLE_BUCKETS,
        )
        for client in THROTTLED_CLIENTS:
            self.throttle.labels(client)
        self.skipped = Counter(
            "txwatch_records_skipped",
            "Committed position to earliest existing record: expired unread",
            by_partition,
            registry=registry,
        )
        self.offset_resets = Counter(
            "txwatch_offset_resets",
            "Partitions that started at their earliest record, not at a committed offset",
            ("reason",),
            registry=registry,
        )
        for reset in ResetReason:
            self.offset_resets.labels(reset.value)
        self.split_ids = Counter(
            "txwatch_ids_in_two_partitions",
            "Ids seen in two of this instance's partitions, of those that are watched, each counted once",
            registry=registry,
        )
        build = Gauge("txwatch_build_info", "Versions, as labels", ("version", "librdkafka"), registry=registry)
        build.labels(version, librdkafka).set(1)

        registry.register(_Gauges(board))
        registry.register(_LogLines(dropped_lines))


class _Gauges(Collector):
    """The gauges, made from the loop's last snapshot at each scrape: what is not assigned any more is not there."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = self._board.status
        ready = float(status.not_ready is None)
        yield GaugeMetricFamily("txwatch_ready", "1 where records are read and could be committed", value=ready)
        names = ("topic", "partition")
        watermark = GaugeMetricFamily("txwatch_watermark_timestamp_seconds", "Event time reached", labels=names)
        idle = GaugeMetricFamily("txwatch_partition_idle", "1 where caught up and silent", labels=names)
        lag = GaugeMetricFamily("txwatch_consumer_lag_records", "Records still to be read", labels=names)
        keys = GaugeMetricFamily("txwatch_open_windows", "Keys in open windows", labels=names)
        blocked = GaugeMetricFamily(
            "txwatch_input_blocked_seconds", "How long an open txn of the input's own has held it up", labels=names
        )
        for partition in status.partitions:
            labels = (partition.topic, str(partition.partition))
            idle.add_metric(labels, partition.idle)
            keys.add_metric(labels, partition.open_keys)
            if partition.watermark is not None:
                watermark.add_metric(labels, partition.watermark / 1000)
            if partition.lag is not None:
                lag.add_metric(labels, partition.lag)
            if partition.blocked_ms is not None:
                blocked.add_metric(labels, partition.blocked_ms / 1000)
        yield from (watermark, idle, lag, keys, blocked)
        if status.watermark is not None:
            yield GaugeMetricFamily(
                "txwatch_watermark_min_timestamp_seconds",
                "The least watermark over partitions that are not idle",
                value=status.watermark / 1000,
            )


class _LogLines(Collector):
    """A counter that standard error keeps itself, asked at each scrape."""

    def __init__(self, dropped_lines: Callable[[], int]) -> None:
        self._dropped_lines = dropped_lines

    def collect(self) -> Iterator[Metric]:
        help_text = "Lines of the log that could not be written: nobody reads standard error, or it is full or closed"
        yield CounterMetricFamily("txwatch_log_lines_dropped", help_text, value=self._dropped_lines())
