"""Writes Grafana's dashboard, config/grafana/dashboards/txwatch.json, with Grafana's own typed builders.

    .venv/bin/python -m tools.dashboard

What it shows is in tools/dashboard_panels.py; a test evaluates every expression against a real Prometheus.
"""

import sys
import tomllib
from itertools import count
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLink,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)

from tools.dashboard_panels import MARKS, NUMBERS, ROWS, Mark, Number, Panel

ROOT: Final = Path(__file__).resolve().parents[1]
OUTPUT: Final = ROOT / "config/grafana/dashboards/txwatch.json"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH: Final = 12
HEIGHT: Final = 8
NUMBER_HEIGHT: Final = 4


def runbook() -> str:
    """Where the runbook is, unless a text box of the dashboard says something else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['urls']['Repository']}/blob/main/docs/operations.md"


class _Annotation(Builder[AnnotationQuery]):
    """One of Prometheus': the library's type lacks the fields that the data source adds."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark

    def build(self) -> AnnotationQuery:
        """The query, with title and text."""
        mark = self._mark

        class Query(AnnotationQuery):
            def to_json(self) -> dict[str, object]:
                return {**super().to_json(), "titleFormat": mark.title, "textFormat": mark.text}

        return Query(name=mark.name, datasource=SOURCE, icon_color=mark.colour, expr=mark.expression)


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
        .with_variable(_text("runbook", runbook()))
        .link(_link("Runbook", "${runbook:raw}"))
        .annotations([_Annotation(mark) for mark in MARKS])
    )
    numbers = count(1)
    for number in NUMBERS:
        board = board.with_panel(_number(number).id(next(numbers)))
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


def _text(name: str, value: str) -> dashboard.TextBoxVariable:
    option = VariableOption(selected=True, text=value, value=value)
    return dashboard.TextBoxVariable(name).label(name.capitalize()).default_value(value).current(option)


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(target_blank=True)


def _links(alert: str | None) -> list[Builder[DashboardLink]]:
    """To the alert's paragraph in the runbook."""
    return [_link(f"What to do: {alert}", f"${{runbook:raw}}#{alert.lower()}")] if alert else []


def _number(number: Number) -> stat.Panel:
    steps = [Threshold(value=value, color=colour) for value, colour in number.colours]
    drawn = (
        stat.Panel()
        .title(number.title)
        .description(number.description)
        .datasource(SOURCE)
        .unit(number.unit)
        .span(number.width)
        .height(NUMBER_HEIGHT)
        .no_value("none")
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .links(_links(number.alert))
    )
    if number.decimals is not None:
        drawn = drawn.decimals(number.decimals)
    query = prometheus.Dataquery().expr(number.expression).ref_id("A").datasource(SOURCE).instant()
    return drawn.with_target(query)


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
        .links(_links(panel.alert))
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
