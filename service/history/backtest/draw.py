"""Draws a backtest with matplotlib, an optional extra: alerts over time and, with labels, precision over recall."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.core.detectors import DAY_MS
from service.history.backtest.report import Report
from service.history.timeline.draw import BLUE, DARK, GREY
from service.history.timeline.labels import families, label
from service.history.timeline.times import date_axis

HOUR_MS: Final = DAY_MS // 24
MINUTE_MS: Final = HOUR_MS // 60
UNITS: Final = ((7 * DAY_MS, "a week"), (DAY_MS, "a day"), (HOUR_MS, "an hour"), (MINUTE_MS, "a minute"))
MOST_BARS: Final = 400
MOST_POINTS: Final = 2_000
COLORS: Final = (BLUE, "#c05621", "#2f855a", "#6b46c1", "#b7791f", "#2c7a7b")


def draw(report: Report, output: Path) -> None:
    """Draw the report into a file.

    Raises:
        OSError: the file cannot be written.
    """
    mpl.rcParams.update({"svg.hashsalt": "txwatch", "svg.fonttype": "path", "font.size": 9, "font.family": families()})
    labelled = report.side.quality.labelled
    figure = Figure(figsize=(11, 8.2 if labelled else 4.2), layout="constrained")
    axes = figure.subplots(2 if labelled else 1, 1, squeeze=False, height_ratios=[1, 1.5] if labelled else [1])
    _draw_alerts(axes[0][0], report)
    if labelled:
        _draw_precision(axes[1][0], report)
    alerts = report.alerts()
    title = f"{label(report.source)}: {alerts:,} alerts, {report.a_day(alerts):,.2f} a day"
    figure.suptitle(title, fontsize=11, color=DARK, parse_math=False)
    metadata: dict[str, Any] = {"Date": None} if output.suffix == ".svg" else {}
    figure.savefig(output, metadata=metadata, dpi=130)


def _draw_alerts(axes: Axes, report: Report) -> None:
    first_ms, last_ms = report.first_ms or 0, report.last_ms or report.window_ms
    span_ms = max(last_ms - first_ms, report.window_ms)
    wanted_ms = DAY_MS if span_ms >= 3 * DAY_MS else HOUR_MS if span_ms >= 3 * HOUR_MS else MINUTE_MS
    if span_ms / wanted_ms > MOST_BARS:
        wanted_ms = 7 * DAY_MS
    bins = report.side.over_time.at_least(wanted_ms)
    width_ms = report.side.over_time.width_ms
    axes.bar(
        [(begin + width_ms / 2) / DAY_MS for begin, _ in bins],
        [count for _, count in bins],
        width=width_ms / DAY_MS * 0.9,
        color=BLUE,
    )
    unit = next(name for size, name in UNITS if size <= width_ms)
    axes.set_title(f"Alerts {unit}, by the begin of their windows", loc="left")
    axes.set_ylabel(f"alerts {unit}")
    axes.yaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    if unit == "a day" and report.budget is not None:
        axes.axhline(report.budget, color=GREY, linestyle="--", label="budget")
        axes.legend(frameon=False)
    date_axis(axes.xaxis, [first_ms, last_ms], "time")
    axes.set_xlim(first_ms / DAY_MS, max(last_ms, first_ms + width_ms) / DAY_MS)
    axes.grid(axis="y", color=GREY, alpha=0.25)


def _draw_precision(axes: Axes, report: Report) -> None:
    quality = report.side.quality
    for number, one in enumerate(report.side.detectors):
        color = COLORS[number % len(COLORS)]
        points = list(quality.scores[one.name].curve())
        step = len(points) // MOST_POINTS + 1
        points = points[::step] + points[-1:]
        figures = quality.of(one.name)
        average = figures["average_precision"]
        name = one.name if average is None else f"{one.name}: average precision {average:.3f}"
        axes.step([0.0, *(x for x, _ in points)], [1.0, *(y for _, y in points)], where="pre", color=color, label=name)
        precision, recall = figures["precision"], figures["recall"]
        if precision is not None and recall is not None:
            axes.plot([recall], [precision], "o", color=color, markersize=9, markeredgecolor="white")
            text = f"as configured: precision {precision:.2f}, recall {recall:.2f}"
            left = recall > 0.6  # noqa: PLR2004 - there is no room at its right
            axes.annotate(
                text,
                (recall, precision),
                xytext=(-10 if left else 10, 8),
                textcoords="offset points",
                ha="right" if left else "left",
                color=color,
            )
    axes.set_title("Precision over recall, by the limit", loc="left")
    axes.set_xlabel("recall: the share of the bad windows that is found")
    axes.set_ylabel("precision: the share of what is found that is bad")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.05)
    axes.grid(color=GREY, alpha=0.25)
    axes.legend(loc="upper right", frameon=False)
