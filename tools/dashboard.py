"""Writes Grafana's dashboard, config/grafana/dashboards/txwatch.json, with Grafana's own typed builders.

    .venv/bin/python -m tools.dashboard

Each panel is one line of PANELS; a test evaluates every expression against a real Prometheus.
"""

import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)

OUTPUT: Final = Path(__file__).parents[1] / "config/grafana/dashboards/txwatch.json"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH: Final = 12
HEIGHT: Final = 8
CHOSEN: Final = 'instance=~"$instance"'
BY_PARTITION: Final = 'instance=~"$instance",topic=~"$topic"'


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


RATE: Final = "$__rate_interval"


def _quantiles(histogram: str, *quantiles: float) -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le) (rate({histogram}_bucket{{{CHOSEN}}}[{RATE}]))"
    return tuple((f"histogram_quantile({q}, {buckets})", f"p{q * 100:.0f}") for q in quantiles)


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
            "short",
            ((f"sum by (topic) (txwatch_partition_idle{{{BY_PARTITION}}})", "{{topic}}"),),
        ),
    ),
    "Records": (
        Panel(
            "Records read",
            "Bad ones and repeats after a rewind included.",
            "reqps",
            ((f"sum by (topic, partition) (rate(txwatch_records_total{{{BY_PARTITION}}}[{RATE}]))",
              "{{topic}}/{{partition}}"),),
        ),
        Panel(
            "Lag",
            "Records still to be read.",
            "short",
            ((f"max by (topic, partition) (txwatch_consumer_lag_records{{{BY_PARTITION}}})",
              "{{topic}}/{{partition}}"),),
        ),
        Panel(
            "Late",
            "The share of records below the watermark.",
            "percentunit",
            ((f"{LATE} / {READ}", "{{topic}}"),),
            limit=0.05,
        ),
        Panel(
            "Rejected",
            "Records that went to the dead-letter topic, by reason.",
            "reqps",
            ((f"sum by (reason) (rate(txwatch_records_rejected_total{{{CHOSEN}}}[{RATE}]))", "{{reason}}"),),
        ),
        Panel(
            "Starts at the earliest record",
            "Partitions that did not start at a committed offset. Where they had been read, alerts come again.",
            "short",
            ((f"sum by (reason) (txwatch_offset_resets_total{{{CHOSEN}}})", "{{reason}}"),),
        ),
        Panel(
            "Ids in two partitions",
            "Each counted once. Their sums are in parts: producers use different partitioners.",
            "short",
            ((f"sum by (instance) (txwatch_ids_in_two_partitions_total{{{CHOSEN}}})", "{{instance}}"),),
            limit=1,
        ),
    ),
    "Windows and anomalies": (
        Panel(
            "Open windows",
            "Keys in windows that are open: about 360 bytes of memory each.",
            "short",
            ((f"sum by (topic, partition) (txwatch_open_windows{{{BY_PARTITION}}})", "{{topic}}/{{partition}}"),),
        ),
        Panel(
            "Windows closed",
            "One a key, as they are committed.",
            "reqps",
            ((f"sum(rate(txwatch_windows_closed_total{{{CHOSEN}}}[{RATE}]))", "closed"),),
        ),
        Panel(
            "Anomalies",
            "Alerts committed, by detector.",
            "short",
            ((f"sum by (detector) (increase(txwatch_anomalies_total{{{CHOSEN}}}[{RATE}]))", "{{detector}}"),),
        ),
        Panel(
            "Alert latency",
            "From a window's end until its alerts can be read.",
            "s",
            _quantiles("txwatch_alert_latency_seconds", 0.5, 0.9, 0.99),
            limit=0.25,
        ),
    ),
    "Transactions and instances": (
        Panel(
            "Commits and aborts",
            "Kafka's txns. An abort costs time, never a record.",
            "ops",
            ((f"sum by (outcome) (rate(txwatch_transactions_total{{{CHOSEN}}}[{RATE}]))", "{{outcome}}"),),
        ),
        Panel(
            "Commit time",
            "One txn, from its begin to its commit.",
            "s",
            _quantiles("txwatch_commit_seconds", 0.5, 0.99),
        ),
        Panel(
            "Throttled",
            "The share of time for which a broker's quota holds up a client.",
            "percentunit",
            ((f"max by (client) (rate(txwatch_throttle_seconds_sum{{{CHOSEN}}}[{RATE}]))", "{{client}}"),),
            limit=0.1,
        ),
        Panel(
            "Rebalances",
            "Partitions that came and went.",
            "short",
            ((f"sum by (kind) (increase(txwatch_rebalances_total{{{CHOSEN}}}[{RATE}]))", "{{kind}}"),),
        ),
        Panel(
            "Log lines dropped",
            "Lines that could not be written to standard error: it is not read, or is full or closed.",
            "short",
            ((f"sum by (instance) (increase(txwatch_log_lines_dropped_total{{{CHOSEN}}}[{RATE}]))", "{{instance}}"),),
        ),
        Panel(
            "Instances",
            "How many answer, and how many of them are ready.",
            "short",
            (
                ('sum(up{job="txwatch"})', "up"),
                (f"sum(txwatch_ready{{{CHOSEN}}})", "ready"),
            ),
        ),
    ),
}  # fmt: skip


def build() -> str:
    """The dashboard as JSON."""
    board = (
        dashboard.Dashboard("txwatch")
        .uid("txwatch")
        .description("Anomalous transactions in a stream: time, records, windows, and Kafka's txns.")
        .tags(["txwatch", "kafka"])
        .timezone("browser")
        .refresh("10s")
        .time("now-15m", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("instance", 'label_values(up{job="txwatch"}, instance)'))
        .with_variable(_variable("topic", "label_values(txwatch_records_total, topic)"))
    )
    numbers = count(1)
    for row, panels in ROWS.items():
        board = board.with_row(dashboard.Row(row).id(next(numbers)))
        for panel in panels:
            board = board.with_panel(_panel(panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    everything = VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything)
    )


def _panel(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    drawn = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(WIDTH)
        .height(HEIGHT)
        .fill_opacity(8)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if panel.limit is not None:
        steps = [Threshold(value=None, color="green"), Threshold(value=panel.limit, color="red")]
        drawn = drawn.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    for letter, (expression, legend_format) in zip("ABC", panel.queries, strict=False):
        query = prometheus.Dataquery().expr(expression).legend_format(legend_format).ref_id(letter)
        drawn = drawn.with_target(query.datasource(SOURCE).range())
    return drawn


def main() -> int:
    """Write it."""
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(build())
    print(OUTPUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
