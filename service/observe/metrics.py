"""The service's Prometheus metrics, in a registry that the caller passes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.core.model import Reason, ResetReason
from service.observe.status import StatusBoard

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
THROTTLED_CLIENTS = ("producer", "consumer", "admin")
THROTTLE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Every metric of the service. A partition's gauges end with its assignment; counters stay."""

    def __init__(  # noqa: PLR0917 - tests and bootstrap name the optional ones
        self,
        registry: CollectorRegistry,
        board: StatusBoard,
        version: str,
        librdkafka: str,
        dropped_lines: Callable[[], int] = lambda: 0,
        detectors: Mapping[str, bool] = MappingProxyType({"threshold": False}),
    ) -> None:
        """Register all metrics; ``dropped_lines`` returns how many log lines could not be written so far.

        ``detectors`` are the names of the configured ones, each with whether it is a shadow detector.
        """
        # A `_created` series would be one more gauge for each counter, and a partition's would never end.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        by_partition = ("topic", "partition")
        self.records = Counter(
            "txwatch_records",
            "Records read, including bad ones and those read again after a rewind",
            by_partition,
            registry=registry,
        )
        self.late = Counter("txwatch_records_late", "Records below the watermark", by_partition, registry=registry)
        self.filtered = Counter(
            "txwatch_records_filtered",
            "Records that the settings of the input leave out",
            by_partition,
            registry=registry,
        )
        self.rejected = Counter("txwatch_records_rejected", "Records dead-lettered", ("reason",), registry=registry)
        for reason in Reason:
            if reason is not Reason.LATE:
                self.rejected.labels(reason.value)
        self.windows_closed = Counter(
            "txwatch_windows_closed", "Windows closed, counted for each key", registry=registry
        )
        self.anomalies = Counter("txwatch_anomalies", "Anomalies committed", ("detector",), registry=registry)
        self.shadow_anomalies = Counter(
            "txwatch_shadow_anomalies", "Anomalies of shadow detectors", ("detector",), registry=registry
        )
        self.add_detectors(detectors)
        self.alert_latency = Histogram(
            "txwatch_alert_latency_seconds",
            "From a window's end to its alerts committed",
            registry=registry,
            buckets=LATENCY_BUCKETS,
        )
        self.commit = Histogram(
            "txwatch_commit_seconds",
            "From taking a checkpoint to its txn committed",
            registry=registry,
            buckets=LATENCY_BUCKETS,
        )
        self.txns = Counter("txwatch_transactions", "Kafka txns", ("outcome",), registry=registry)
        for outcome in ("committed", "aborted"):
            self.txns.labels(outcome)
        self.rebalances = Counter("txwatch_rebalances", "Rebalance callbacks", ("kind",), registry=registry)
        for kind in ("assigned", "revoked", "lost"):
            self.rebalances.labels(kind)
        self.throttle = Histogram(
            "txwatch_throttle_seconds",
            "How long a broker throttles a client that exceeds its quota, one observation for each throttled response",
            ("client",),
            registry=registry,
            buckets=THROTTLE_BUCKETS,
        )
        for client in THROTTLED_CLIENTS:
            self.throttle.labels(client)
        self.skipped = Counter(
            "txwatch_records_skipped",
            "Records that expired unread: from the committed offset to the earliest record",
            by_partition,
            registry=registry,
        )
        self.offset_resets = Counter(
            "txwatch_offset_resets",
            "Partitions that started at their earliest record instead of a committed offset",
            ("reason",),
            registry=registry,
        )
        for reset in ResetReason:
            self.offset_resets.labels(reset.value)
        self.split_ids = Counter(
            "txwatch_ids_in_two_partitions",
            "Watched ids seen in two of this instance's partitions, each counted once",
            registry=registry,
        )
        self.config_reload_failed = Gauge(
            "txwatch_config_reload_failed",
            "1 where the settings could not be taken over when they were last read again",
            registry=registry,
        )
        build = Gauge("txwatch_build_info", "Versions, as labels", ("version", "librdkafka"), registry=registry)
        build.labels(version, librdkafka).set(1)

        registry.register(_Gauges(board))
        registry.register(_LogLines(dropped_lines))

    def add_detectors(self, detectors: Mapping[str, bool]) -> None:
        """Let the counters of these begin with 0; ``detectors`` as in the constructor. Counters of others stay."""
        for name, shadow in detectors.items():
            (self.shadow_anomalies if shadow else self.anomalies).labels(name)


class _Gauges(Collector):
    """The gauges, made from the loop's last snapshot at each scrape, so a revoked partition has none."""

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
            "txwatch_input_blocked_seconds",
            "How long the partition has waited for another producer's open txn",
            labels=names,
        )
        states = GaugeMetricFamily("txwatch_state_keys", "States of keys that detectors keep", labels=names)
        episodes = GaugeMetricFamily("txwatch_open_episodes", "Episodes that are open", labels=("detector",))
        for detector, count in status.open_episodes.items():
            episodes.add_metric((detector,), count)
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
            if partition.state_keys is not None:
                states.add_metric(labels, partition.state_keys)
        yield from (watermark, idle, lag, keys, blocked, states, episodes)
        if self._board.state_restore_s is not None:
            yield GaugeMetricFamily(
                "txwatch_state_restore_seconds",
                "How long it took to read the detectors' states back, when partitions last started",
                value=self._board.state_restore_s,
            )
        if status.watermark is not None:
            yield GaugeMetricFamily(
                "txwatch_watermark_min_timestamp_seconds",
                "The least watermark over partitions that are not idle",
                value=status.watermark / 1000,
            )


class _LogLines(Collector):
    """The counter of dropped log lines, read from standard error at each scrape."""

    def __init__(self, dropped_lines: Callable[[], int]) -> None:
        self._dropped_lines = dropped_lines

    def collect(self) -> Iterator[Metric]:
        help_text = "Log lines that could not be written: standard error has no reader, or is full or closed"
        yield CounterMetricFamily("txwatch_log_lines_dropped", help_text, value=self._dropped_lines())
