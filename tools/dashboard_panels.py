"""What Grafana's dashboard shows: its numbers, its panels and its annotations.

A unit `count:records` is Grafana's own way to show any count: "12.3 K records".
"""

from dataclasses import dataclass
from typing import Final

CHOSEN: Final = 'instance=~"$instance"'
BY_PARTITION: Final = 'instance=~"$instance",topic=~"$topic"'


RATE: Final = "$__rate_interval"


@dataclass(frozen=True)
class Number:
    """One number of the first row."""

    title: str
    description: str
    unit: str
    expression: str
    width: int
    """Of the 24 columns."""
    colours: tuple[tuple[float | None, str], ...] = ((None, "text"),)
    """From which value on it has which colour; the first value is None."""
    decimals: int | None = None
    alert: str | None = None
    """The alert whose runbook the panel links to."""


@dataclass(frozen=True)
class Mark:
    """An annotation: a mark on every time series while the expression is above 0, which Grafana looks at itself."""

    name: str
    colour: str
    expression: str
    title: str
    text: str


@dataclass(frozen=True)
class Panel:
    """A time series."""

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    """Expression and legend."""
    limit: float | None = None
    """From here on it is red."""
    alert: str | None = None
    """The alert whose runbook the panel links to."""


def _quantiles(histogram: str, *quantiles: float, chosen: str = CHOSEN) -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le) (rate({histogram}_bucket{{{chosen}}}[{RATE}]))"
    return tuple((f"histogram_quantile({q}, {buckets})", f"p{q * 100:.0f}") for q in quantiles)


NUMBERS: Final = (
    Number(
        "Ready",
        "The share of instances that read records and could commit them.",
        "percentunit",
        f'(sum(txwatch_ready{{{CHOSEN}}}) / count(up{{job="txwatch",{CHOSEN}}})) or vector(0)',
        5,
        colours=((None, "red"), (0.001, "orange"), (1, "green")),
        decimals=0,
        alert="TxwatchNotReady",
    ),
    Number(
        "Watermark delay",
        "The wall clock minus the least watermark. With live data it is near the lateness.",
        "s",
        f"max(time() - txwatch_watermark_min_timestamp_seconds{{{CHOSEN}}})",
        5,
        alert="TxwatchWatermarkStalled",
    ),
    Number(
        "Lag",
        "Records still to be read, in all partitions.",
        "count:records",
        f"sum(txwatch_consumer_lag_records{{{BY_PARTITION}}})",
        5,
        colours=((None, "green"), (10_000, "orange")),
        alert="TxwatchLagGrowing",
    ),
    Number(
        "Anomalies",
        "Alerts committed in the time range of the dashboard.",
        "count:anomalies",
        f"round(sum(increase(txwatch_anomalies_total{{{CHOSEN}}}[$__range])))",
        5,
    ),
    Number(
        "Firing alerts",
        "Alert rules of txwatch that fire now. Prometheus names them under Alerts, each with its runbook.",
        "count:firing",
        'count(ALERTS{alertname=~"Txwatch.+",alertstate="firing"}) or vector(0)',
        4,
        colours=((None, "green"), (1, "red")),
    ),
)
MARKS: Final = (
    Mark(
        "Anomalies",
        "red",
        f"sum by (detector) (increase(txwatch_anomalies_total{{{CHOSEN}}}[{RATE}]))",
        "Anomalies",
        "detector {{detector}}",
    ),
    Mark(
        "Rebalances",
        "blue",
        f"sum by (kind) (increase(txwatch_rebalances_total{{{CHOSEN}}}[{RATE}]))",
        "Rebalance",
        "partitions {{kind}}",
    ),
)
READ: Final = f"sum by (topic) (rate(txwatch_records_total{{{BY_PARTITION}}}[{RATE}]))"
LATE: Final = f"sum by (topic) (rate(txwatch_records_late_total{{{BY_PARTITION}}}[{RATE}]))"
ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Time": (
        Panel(
            "Watermark",
            "How far event time has come in each partition: the greatest event time seen minus the allowed lateness.",
            "dateTimeAsIso",
            (
                (
                    f"max by (topic, partition) (txwatch_watermark_timestamp_seconds{{{BY_PARTITION}}}) * 1000",
                    "{{topic}}/{{partition}}",
                ),
            ),
            alert="TxwatchWatermarkStalled",
        ),
        Panel(
            "Watermark delay",
            "The wall clock minus the watermark. With live data it is near the lateness; in a replay it is their age.",
            "s",
            (
                (
                    f"time() - max by (topic, partition) (txwatch_watermark_timestamp_seconds{{{BY_PARTITION}}})",
                    "{{topic}}/{{partition}}",
                ),
            ),
        ),
        Panel(
            "Event time against the wall clock",
            "The least watermark of the partitions that are not idle, and the wall clock. Parallel lines: it keeps up.",
            "dateTimeAsIso",
            (
                (f"min(txwatch_watermark_min_timestamp_seconds{{{CHOSEN}}}) * 1000", "event time"),
                (f"max(timestamp(txwatch_build_info{{{CHOSEN}}})) * 1000", "wall clock"),
            ),
        ),
        Panel(
            "Idle partitions",
            "Read to their end and silent: they have no say in the service's watermark.",
            "count:partitions",
            ((f"sum by (topic) (txwatch_partition_idle{{{BY_PARTITION}}})", "{{topic}}"),),
        ),
    ),
    "Records": (
        Panel(
            "Records read",
            "Bad ones and repeats after a rewind included.",
            "count:records/s",
            ((f"sum by (topic, partition) (rate(txwatch_records_total{{{BY_PARTITION}}}[{RATE}]))",
              "{{topic}}/{{partition}}"),),
        ),
        Panel(
            "Lag",
            "Records still to be read.",
            "count:records",
            ((f"max by (topic, partition) (txwatch_consumer_lag_records{{{BY_PARTITION}}})",
              "{{topic}}/{{partition}}"),),
            alert="TxwatchLagGrowing",
        ),
        Panel(
            "Late",
            "The share of records below the watermark.",
            "percentunit",
            ((f"{LATE} / {READ}", "{{topic}}"),),
            limit=0.05,
            alert="TxwatchLateShareHigh",
        ),
        Panel(
            "Rejected",
            "Records that went to the dead-letter topic, by reason.",
            "count:records/s",
            ((f"sum by (reason) (rate(txwatch_records_rejected_total{{{CHOSEN}}}[{RATE}]))", "{{reason}}"),),
            alert="TxwatchDeadLetters",
        ),
        Panel(
            "Starts at the earliest record",
            "Partitions that did not start at a committed offset. Where they had been read, alerts come again.",
            "count:partitions",
            ((f"sum by (reason) (txwatch_offset_resets_total{{{CHOSEN}}})", "{{reason}}"),),
            alert="TxwatchOffsetReset",
        ),
        Panel(
            "Ids in two partitions",
            "Each counted once. Their sums are in parts: producers use different partitioners.",
            "count:ids",
            ((f"sum by (instance) (txwatch_ids_in_two_partitions_total{{{CHOSEN}}})", "{{instance}}"),),
            limit=1,
            alert="TxwatchIdsInTwoPartitions",
        ),
    ),
    "Windows and anomalies": (
        Panel(
            "Open windows",
            "Keys in windows that are open: about 360 bytes of memory each.",
            "count:keys",
            ((f"sum by (topic, partition) (txwatch_open_windows{{{BY_PARTITION}}})", "{{topic}}/{{partition}}"),),
        ),
        Panel(
            "Windows closed",
            "One a key, as they are committed.",
            "count:windows/s",
            ((f"sum(rate(txwatch_windows_closed_total{{{CHOSEN}}}[{RATE}]))", "closed"),),
        ),
        Panel(
            "Anomalies",
            "Alerts committed, by detector.",
            "count:anomalies",
            ((f"sum by (detector) (increase(txwatch_anomalies_total{{{CHOSEN}}}[{RATE}]))", "{{detector}}"),),
        ),
        Panel(
            "Alert latency",
            "From a window's end until its alerts can be read.",
            "s",
            _quantiles("txwatch_alert_latency_seconds", 0.5, 0.9, 0.99),
            limit=0.25,
            alert="TxwatchAlertLatencyHigh",
        ),
    ),
    "Detectors that remember": (
        Panel(
            "Open episodes",
            "Episodes that have begun and are not resolved, by detector.",
            "count:episodes",
            ((f"sum by (detector) (txwatch_open_episodes{{{CHOSEN}}})", "{{detector}}"),),
        ),
        Panel(
            "Shadow anomalies",
            "What shadow detectors find. They write to a topic of their own.",
            "count:anomalies",
            ((f"sum by (detector) (increase(txwatch_shadow_anomalies_total{{{CHOSEN}}}[{RATE}]))", "{{detector}}"),),
        ),
        Panel(
            "States",
            "States of ids that detectors keep, by instance.",
            "count:states",
            ((f"sum by (instance) (txwatch_state_keys{{{CHOSEN}}})", "{{instance}}"),),
        ),
        Panel(
            "Restore time",
            "How long it took to read the states back, when partitions last started.",
            "s",
            ((f"max by (instance) (txwatch_state_restore_seconds{{{CHOSEN}}})", "{{instance}}"),),
        ),
    ),
    "Forwarding": (
        Panel(
            "Alerts forwarded",
            "Alerts that targets have taken, and those that went to TOPICS_UNDELIVERED, by outcome.",
            "count:alerts",
            ((f"sum by (outcome) (increase(txwatch_forward_alerts_total[{RATE}]))", "{{outcome}}"),),
            alert="TxwatchForwardUndelivered",
        ),
        Panel(
            "Oldest alert that waits",
            "The age of the oldest alert that forward has read, and that is neither delivered nor undelivered.",
            "s",
            (("max by (instance) (txwatch_forward_oldest_seconds)", "{{instance}}"),),
            limit=300,
            alert="TxwatchForwardBehind",
        ),
        Panel(
            "Requests to targets",
            "By answer; none: the target did not answer in time, or there was no connection.",
            "count:requests/s",
            ((f"sum by (answer) (rate(txwatch_forward_requests_total[{RATE}]))", "{{answer}}"),),
        ),
        Panel(
            "Request time",
            "From the look-up of the target's name to its answer.",
            "s",
            _quantiles("txwatch_forward_request_seconds", 0.5, 0.99, chosen=""),
        ),
        Panel(
            "Targets that fail",
            "Processes of forward whose target does not take alerts, and those that read none.",
            "count:processes",
            (
                ("sum(txwatch_forward_breaker_open)", "target fails"),
                ("count(txwatch_forward_ready) - sum(txwatch_forward_ready)", "not ready"),
            ),
            limit=1,
            alert="TxwatchForwardTargetFails",
        ),
    ),
    "Transactions and instances": (
        Panel(
            "Commits and aborts",
            "Kafka's txns. An abort costs time, never a record.",
            "count:txns/s",
            ((f"sum by (outcome) (rate(txwatch_transactions_total{{{CHOSEN}}}[{RATE}]))", "{{outcome}}"),),
            alert="TxwatchTransactionsAborting",
        ),
        Panel(
            "Commit time",
            "From taking a checkpoint to its txn committed.",
            "s",
            _quantiles("txwatch_commit_seconds", 0.5, 0.99),
        ),
        Panel(
            "Throttled",
            "The share of time for which a broker's quota holds up a client.",
            "percentunit",
            ((f"max by (client) (rate(txwatch_throttle_seconds_sum{{{CHOSEN}}}[{RATE}]))", "{{client}}"),),
            limit=0.1,
            alert="TxwatchThrottled",
        ),
        Panel(
            "Rebalances",
            "Partitions that came and went.",
            "count:rebalances",
            ((f"sum by (kind) (increase(txwatch_rebalances_total{{{CHOSEN}}}[{RATE}]))", "{{kind}}"),),
            alert="TxwatchRebalanceStorm",
        ),
        Panel(
            "Log lines dropped",
            "Lines that could not be written to standard error: it has no reader, or is full or closed.",
            "count:lines",
            ((f"sum by (instance) (increase(txwatch_log_lines_dropped_total{{{CHOSEN}}}[{RATE}]))", "{{instance}}"),),
            alert="TxwatchLogLinesDropped",
        ),
        Panel(
            "Instances",
            "How many answer, and how many of them are ready.",
            "count:instances",
            (
                ('sum(up{job="txwatch"})', "up"),
                (f"sum(txwatch_ready{{{CHOSEN}}})", "ready"),
            ),
            alert="TxwatchDown",
        ),
    ),
}  # fmt: skip
