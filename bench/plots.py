"""Curves as SVG: how a figure's ratio or rate goes with partitions, keys and sizes."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Picture

from bench.report import Figure, Results

SMALL = (6.4, 3.2)
CURVES = {
    "partitions": ["1 partition", "4 partitions, 1,000 keys, 90 B, lz4", "16 partitions", "64 partitions"],
    "keys": ["10 keys", "4 partitions, 1,000 keys, 90 B, lz4", "100,000 keys", "1,000,000 keys"],
    "record size": ["72 B", "4 partitions, 1,000 keys, 90 B, lz4", "300 B", "1 KB"],
}
TICKS = {
    "partitions": ["1", "4", "16", "64"],
    "keys": ["10", "1,000", "100,000", "1,000,000"],
    "record size": ["72 B", "90 B", "300 B", "1 KB"],
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there is; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    # The same numbers give the same file.
    mpl.rcParams.update({"svg.hashsalt": "txwatch", "svg.fonttype": "none", "font.size": 9})
    drawn = []
    figures = results.figures
    if "drain" in figures:
        drawn.append(_save(_curves(figures["drain"]), folder / "bench-drain.svg"))
    for name, columns, label in (
        ("latency", ("p50", "p99", "floor_p99"), "ms"),
        ("scaling", ("rate",), "records/s"),
        ("peers", ("cpu",), "CPU-s a million"),
        ("clocks", ("floor_cpu", "service_cpu"), "CPU-s a million"),
    ):
        if name in figures:
            drawn.append(_save(_bars(figures[name], columns, label), folder / f"bench-{name}.svg"))
    return drawn


def _curves(figure: Figure) -> Picture:
    picture, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True, layout="constrained")
    for axis, (name, cases) in zip(axes, CURVES.items(), strict=True):
        for column, label in (("floor_cpu", "floor"), ("service_cpu", "service")):
            rows = [figure.row(case).samples.get(column, [float("nan")]) for case in cases]
            middle = [sorted(row)[len(row) // 2] for row in rows]
            axis.plot(range(len(cases)), middle, marker="o", label=label)
            axis.fill_between(range(len(cases)), [min(row) for row in rows], [max(row) for row in rows], alpha=0.2)
        axis.set_xticks(range(len(cases)), TICKS[name])
        axis.set_xlabel(name)
        axis.grid(alpha=0.3)
    axes[0].set_ylim(bottom=0)  # when all is drawn: it ends the scaling
    axes[0].set_ylabel("CPU-seconds a million")
    axes[0].legend()
    return picture


def _bars(figure: Figure, columns: tuple[str, ...], label: str) -> Picture:
    picture, axis = plt.subplots(figsize=SMALL, layout="constrained")
    headings = {column: heading for column, heading, _ in figure.columns}
    height = 0.8 / len(columns)
    for place, column in enumerate(columns):
        values = [row.median(column) or 0.0 for row in figure.rows]
        axis.barh([index + place * height for index in range(len(values))], values, height, label=headings[column])
    axis.set_yticks(range(len(figure.rows)), [row.case.partition(" (")[0] for row in figure.rows])
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.grid(axis="x", alpha=0.3)
    if len(columns) > 1:
        axis.legend()
    return picture


def _save(picture: Picture, path: Path) -> Path:
    picture.savefig(path, metadata={"Date": None})
    plt.close(picture)
    return path
