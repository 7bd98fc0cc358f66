"""Plots as SVG: how a figure's cost goes with partitions, keys and sizes, and bars for what has few cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.figure import Figure as Picture

from bench.report import Figure, Results

STYLE: Final[dict[Any, Any]] = {"svg.hashsalt": "txwatch", "svg.fonttype": "none", "font.size": 9}
"""The same numbers give the same file."""
COST: Final = "CPU-seconds per million records"
USUAL: Final = "4 partitions, 1,000 keys, 90 B, lz4"
CURVES: Final = {
    "partitions": {"1": "1 partition", "4": USUAL, "16": "16 partitions", "64": "64 partitions"},
    "keys": {"10": "10 keys", "1,000": USUAL, "100,000": "100,000 keys", "1,000,000": "1,000,000 keys"},
    "record size, bytes": {"72": "72 B", "90": USUAL, "300": "300 B", "1,024": "1 KB"},
}
"""Axis → the text of each tick → the figure's case."""


@dataclass(frozen=True)
class Bars:
    """How a figure is drawn as bars: a group for each case, a bar for each column."""

    columns: tuple[str, ...]
    cases: str
    """What the cases are."""
    values: str
    """What a bar's length is, with its unit."""


BARS: Final = {
    "latency": Bars(("p50", "p99", "floor_p99"), "load", "from the window's end to its alert, ms"),
    "scaling": Bars(("rate",), "instances", "records per second"),
    "peers": Bars(("cpu",), "program", f"{COST}, start included"),
    "clocks": Bars(("floor_cpu", "service_cpu"), "clock of the windows", COST),
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there is; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, picture in pictures(results).items():
        path = folder / f"bench-{name}.svg"
        with rc_context(STYLE):
            picture.savefig(path, metadata={"Date": None})
        drawn.append(path)
    return drawn


def draw_bars(figure: Figure, bars: Bars, path: Path) -> None:
    """Draw one figure as bars."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(STYLE):
        _bars(figure, bars).savefig(path, metadata={"Date": None})


def pictures(results: Results) -> dict[str, Picture]:
    """The picture of each figure that has one."""
    figures = results.figures
    with rc_context(STYLE):
        found = {"drain": _curves(figures["drain"])} if "drain" in figures else {}
        return found | {name: _bars(figures[name], bars) for name, bars in BARS.items() if name in figures}


def _curves(figure: Figure) -> Picture:
    picture = Picture(figsize=(9, 3.4), layout="constrained")
    axes = picture.subplots(1, len(CURVES), sharey=True)
    for axis, (name, cases) in zip(axes, CURVES.items(), strict=True):
        for column, label in (("floor_cpu", "floor"), ("service_cpu", "service")):
            rows = [figure.row(case).samples.get(column, [float("nan")]) for case in cases.values()]
            middle = [sorted(row)[len(row) // 2] for row in rows]
            axis.plot(range(len(cases)), middle, marker="o", label=label if axis is axes[0] else None)
            axis.fill_between(range(len(cases)), [min(row) for row in rows], [max(row) for row in rows], alpha=0.2)
        axis.set_xticks(range(len(cases)), list(cases))
        axis.set_xlabel(name)
        axis.grid(alpha=0.3)
    axes[0].set_ylim(0, max(axis.dataLim.y1 for axis in axes) * 1.05)  # shared by all
    axes[0].set_ylabel(COST)
    _legend(picture)
    return picture


def _bars(figure: Figure, bars: Bars) -> Picture:
    height_in = max(3.4, 0.55 * len(figure.rows))  # bars of many cases stay apart
    picture = Picture(figsize=(6.4, height_in), layout="constrained")
    axis = picture.subplots()
    headings = {column: heading.partition(",")[0] for column, heading, _ in figure.columns}
    height = 0.8 / len(bars.columns)
    for place, column in enumerate(bars.columns):
        values = [row.median(column) or 0.0 for row in figure.rows]
        axis.barh([index + place * height for index in range(len(values))], values, height, label=headings[column])
    middle = (len(bars.columns) - 1) * height / 2
    axis.set_yticks(
        [index + middle for index in range(len(figure.rows))], [row.case.partition(" (")[0] for row in figure.rows]
    )
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter("{x:,.10g}")  # no power of ten beside the axis
    axis.set_xlabel(bars.values)
    axis.set_ylabel(bars.cases)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    if len(bars.columns) > 1:
        _legend(picture)
    return picture


def _legend(picture: Picture) -> None:
    """Above the axes: inside them it would cover bars."""
    picture.legend(loc="outside upper center", ncols=3, frameon=False)
