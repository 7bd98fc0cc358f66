"""Draws a picture into a file with matplotlib, an optional extra: pip install 'txwatch[timeline]'."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from service.core.model import ClockName
from service.history.timeline.labels import families, label
from service.history.timeline.model import Bar, Picture, Point
from service.history.timeline.times import MS_PER_DAY, date_axis, days, padded

FORMATS: Final = (".svg", ".png", ".pdf")
MOST_KEYS: Final = 25
"""The most rows of windows. The keys with the greatest sums are shown."""
MANY_POINTS: Final = 2_000
"""More points than this become one image in the file."""
TITLE_CHARS: Final = 110
"""A longer title has several lines."""
LABELLED: Final = 1_000
"""With more bars than this, none shows its sum: none would have the room."""
INSIDE: Final = 0.94
"""How much of its bar's width a sum may take."""
GREY, BLUE, RED, GREEN, DARK = "#9aa5b1", "#2b6cb0", "#c53030", "#2f855a", "#1a202c"
TIME_OF: Final = {
    ClockName.PROCESSING: "processing time: the wall clock when a record was read",
    ClockName.INGESTION: "ingestion time: when the broker appended a record",
    ClockName.EVENT: "event time: the record's own timestamp",
}


def draw(picture: Picture, output: Path) -> None:
    """Draw a picture with at least one point; the file's suffix is one of FORMATS.

    Raises:
        OSError: the file cannot be written.
    """
    mpl.rcParams.update({"svg.hashsalt": "txwatch", "svg.fonttype": "path", "font.size": 9, "font.family": families()})
    keys = _keys_shown(picture.bars)
    figure = Figure(figsize=(11, 4.6 + 0.8 + 0.28 * max(3, len(keys))), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[4.6, 0.8 + 0.28 * max(3, len(keys))])
    _draw_records(upper, picture)
    sums = _draw_windows(lower, picture.bars, keys)
    if picture.bars and all(bar.clock is not ClockName.EVENT for bar in picture.bars):  # one wall clock for both
        left = min(*(point.stored_ms for point in picture.points), *(bar.start_ms for bar in picture.bars))
        right = max(*(point.stored_ms for point in picture.points), *(bar.end_ms for bar in picture.bars))
        for axes in (upper, lower):
            axes.set_xlim(*padded(left, right))
    figure.suptitle(textwrap.fill(_title(picture), TITLE_CHARS), fontsize=11, color=DARK)
    _leave_out_what_does_not_fit(figure, sums)
    metadata: dict[str, Any] = {"Date": None} if output.suffix == ".svg" else {}
    figure.savefig(output, metadata=metadata, dpi=130)


def _title(picture: Picture) -> str:
    late = sum(point.late for point in picture.points)
    alerts = sum(bar.anomalous for bar in picture.bars)
    parts = [
        f"{picture.topic}: {len(picture.points):,} transactions, {late:,} late",
        f"{len(picture.bars):,} sums in windows that are over, {alerts:,} of them anomalous",
    ]
    if picture.rejected:
        parts.append(f"{picture.rejected:,} records rejected")
    if picture.filtered:
        parts.append(f"{picture.filtered:,} records left out")
    if picture.truncated:
        parts.append("there are more: --max-records")
    return "; ".join(parts)


def _draw_records(axes: Axes, picture: Picture) -> None:
    crowded = len(picture.points) > MANY_POINTS
    size = 6 if crowded else 22
    on_time = [point for point in picture.points if not point.late]
    late = [point for point in picture.points if point.late]
    _scatter(axes, on_time, color=BLUE, marker="o", s=size, label="on time", rasterized=crowded, alpha=0.8)
    _scatter(axes, late, color=RED, marker="x", s=size * 1.6, label="late", rasterized=crowded, linewidths=1.3)
    end = max(point.stored_ms for point in picture.points)
    for number, (_, line) in enumerate(sorted(picture.lines.items())):
        axes.step(
            days([*line.stored_ms, end]),
            days([*line.watermark_ms, line.watermark_ms[-1]]),
            where="post",
            color=GREEN,
            linewidth=1.4,
            alpha=1.0 if len(picture.lines) == 1 else 0.6,
            label="watermark" + (" of each partition" if len(picture.lines) > 1 else "") if number == 0 else None,
        )
    axes.set_title(f"Records: below the watermark is late ({picture.lateness_ms:,} ms of lateness allowed)", loc="left")
    date_axis(axes.xaxis, [point.stored_ms for point in picture.points], "when the record was stored in Kafka")
    date_axis(axes.yaxis, [point.event_ms for point in picture.points], "event time")
    axes.grid(color=GREY, alpha=0.25)
    axes.legend(loc="upper left", frameon=False, ncols=3)


def _scatter(axes: Axes, points: Sequence[Point], **style: Any) -> None:  # noqa: ANN401
    if points:
        axes.scatter(days([p.stored_ms for p in points]), days([p.event_ms for p in points]), **style)


def _keys_shown(bars: Sequence[Bar]) -> list[str]:
    greatest: dict[str, Any] = {}
    for bar in bars:
        greatest[bar.transaction_id] = max(greatest.get(bar.transaction_id, bar.amount), bar.amount)
    return sorted(greatest, key=lambda key: (-greatest[key], key))[:MOST_KEYS]


def _draw_windows(axes: Axes, bars: Sequence[Bar], keys: Sequence[str]) -> list[tuple[Rectangle, Text]]:
    """Draw the bars of these keys; returns each with its sum."""
    sums = []
    row = {key: number for number, key in enumerate(keys)}
    shown = [bar for bar in bars if bar.transaction_id in row]
    for bar in shown:
        color = RED if bar.anomalous else BLUE
        left, width = bar.start_ms / MS_PER_DAY, (bar.end_ms - bar.start_ms) / MS_PER_DAY
        corner = (left, row[bar.transaction_id] - 0.38)
        drawn = Rectangle(corner, width, 0.76, facecolor=color, edgecolor="white", alpha=0.85, linewidth=0.8)
        axes.add_patch(drawn)
        if len(shown) <= LABELLED:
            place = left + width / 2, row[bar.transaction_id]
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "color": "white", "clip_on": True}
            sums.append((drawn, axes.text(*place, f"{bar.amount:,f}", **style)))
    hidden = len({bar.transaction_id for bar in bars}) - len(keys)
    more = f"; {hidden:,} more keys with smaller sums are not shown" if hidden else ""
    axes.set_title(f"Windows: sums by key, anomalies in red{more}", loc="left")
    axes.set_yticks(range(len(keys)), [label(key) for key in keys], parse_math=False)
    axes.set_ylim(max(len(keys), 1) - 0.4, -0.6)
    if bars:
        axes.set_xlim(*padded(min(bar.start_ms for bar in bars), max(bar.end_ms for bar in bars)))
        names = " / ".join(TIME_OF[clock] for clock in sorted({bar.clock for bar in bars}))
        date_axis(axes.xaxis, [time_ms for bar in bars for time_ms in (bar.start_ms, bar.end_ms)], names)
    else:
        axes.set_xticks([])
        axes.set_xlabel("no window of these records is over")
    axes.grid(axis="x", color=GREY, alpha=0.25)
    return sums


def _leave_out_what_does_not_fit(figure: Figure, sums: Sequence[tuple[Rectangle, Text]]) -> None:
    """Remove each sum that is wider than its bar; only the layout of the whole figure decides how wide that is."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    layout = figure.get_layout_engine()
    assert layout is not None  # noqa: S101
    layout.execute(figure)
    for bar, text in sums:
        if text.get_window_extent(renderer).width > bar.get_window_extent(renderer).width * INSIDE:
            text.remove()
