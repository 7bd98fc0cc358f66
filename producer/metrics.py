"""The replay's own numbers for Prometheus, on a registry and a port of their own, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from producer.ports import Sink
from producer.replay import NS_PER_S
from producer.report import Tally


class MetricsPortError(Exception):
    """The port can't be had; the message says why."""


@dataclass(frozen=True, eq=False)
class ReplayCollector(Collector):
    """Reads the accounts of a running replay; the loop itself never touches a metric."""

    tally: Tally
    sink: Sink

    def collect(self) -> Iterator[Metric]:
        """Yield rows by outcome, those without one yet, the schedule's lag, and the event time reached, if any."""
        rows = CounterMetricFamily("txwatch_replay_rows", "Rows of the file by what became of them", labels=["outcome"])
        rows.add_metric(["delivered"], self.sink.delivered)
        rows.add_metric(["failed"], self.sink.failed)
        rows.add_metric(["skipped_empty"], self.tally.skipped_empty)
        rows.add_metric(["rejected"], self.tally.rejected)
        yield rows
        yield GaugeMetricFamily(
            "txwatch_replay_outstanding_rows", "Rows sent and not yet answered", self.sink.outstanding
        )
        lag_s = self.tally.lag_ns / NS_PER_S
        yield GaugeMetricFamily("txwatch_replay_schedule_lag_seconds", "How late the last row was handed over", lag_s)
        if self.tally.event_time_ms is not None:
            reached_s = self.tally.event_time_ms / 1000
            yield GaugeMetricFamily("txwatch_replay_event_time_seconds", "Event time reached, as sent", reached_s)


def serve(collector: Collector, host: str, port: int) -> int:
    """Serve ``/metrics`` from a daemon thread; returns the port, a free one for 0; raises MetricsPortError."""
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsPortError(f"{host}:{port}: {error.strerror or error}") from error
    return server.server_port
