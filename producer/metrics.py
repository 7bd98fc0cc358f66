"""The replay's own metrics for Prometheus, on their own registry and port. They are read at each scrape."""

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
    """The port cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class ReplayCollector(Collector):
    """Reads the counts of a running replay at each scrape, so metrics cost the loop nothing."""

    tally: Tally
    sink: Sink

    def collect(self) -> Iterator[Metric]:
        """Yield rows by outcome, outstanding rows, the schedule's lag, and the event time reached, if there is one."""
        rows = CounterMetricFamily("txwatch_replay_rows", "Rows of the file, by outcome", labels=["outcome"])
        rows.add_metric(["delivered"], self.sink.delivered)
        rows.add_metric(["failed"], self.sink.failed)
        rows.add_metric(["skipped_empty"], self.tally.skipped_empty)
        rows.add_metric(["rejected"], self.tally.rejected)
        yield rows
        yield GaugeMetricFamily(
            "txwatch_replay_outstanding_rows", "Rows sent whose delivery is not yet known", self.sink.outstanding
        )
        lag_s = self.tally.lag_ns / NS_PER_S
        yield GaugeMetricFamily("txwatch_replay_schedule_lag_seconds", "How late the last row was handed over", lag_s)
        if self.tally.event_time_ms is not None:
            reached_s = self.tally.event_time_ms / 1000
            yield GaugeMetricFamily("txwatch_replay_event_time_seconds", "Event time reached, as sent", reached_s)


def serve(collector: Collector, host: str, port: int) -> int:
    """Serve ``/metrics`` on a daemon thread; returns the port (for port 0, a free one).

    Raises:
        MetricsPortError: the port cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsPortError(f"{host}:{port}: {error.strerror or error}") from error
    return server.server_port
