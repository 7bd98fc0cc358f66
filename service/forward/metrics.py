"""The metrics of `forward`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ForwardMetrics:
    """Counters, and gauges that the loop sets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them."""
        self.alerts = Counter(
            "txwatch_forward_alerts",
            "alerts settled: delivered, or written to TOPICS_UNDELIVERED as too_old, gave_up or refused",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("delivered", "too_old", "gave_up", "refused"):
            self.alerts.labels(outcome)
        self.requests = Counter(
            "txwatch_forward_requests",
            "requests by answer: 2xx, 3xx, 4xx, 5xx, or none where there was no answer",
            ["answer"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "txwatch_forward_request_seconds", "how long a request took", buckets=REQUEST_BUCKETS, registry=registry
        )
        self.breaker_open = Gauge(
            "txwatch_forward_breaker_open",
            "1 while the target fails and only one request at a time tries it",
            registry=registry,
        )
        self.oldest_seconds = Gauge(
            "txwatch_forward_oldest_seconds",
            "age of the oldest alert that was read and is not settled; 0 where there is none",
            registry=registry,
        )
        self.ready = Gauge(
            "txwatch_forward_ready", "1 while alerts are read and the target takes them", registry=registry
        )
