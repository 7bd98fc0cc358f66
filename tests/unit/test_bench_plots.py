"""The benchmark's plots: a legend covers nothing, and every axis says what it shows."""

from __future__ import annotations

import functools
import re
from itertools import product
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from bench import comparing, draining, plots, timing
from bench.report import Figure, Results

CASES = {
    "drain": sorted({case for cases in plots.CURVES.values() for case in cases.values()}),
    "latency": ["idle", "50 % of what it drains (150,000 records/s)", "80 % of what it drains (240,000 records/s)"],
    "scaling": ["1", "2", "4"],
    "peers": ["bare loop", "txwatch", "Kafka Streams", "Quix Streams"],
    "clocks": ["processing", "ingestion", "event", "processing, aggregates on"],
}
COLUMNS = {
    "drain": draining.AGAINST_FLOOR,
    "latency": timing.LATENCY,
    "scaling": [("rate", "records/s, all together", ",.0f")],
    "peers": comparing.COLUMNS,
    "clocks": draining.AGAINST_FLOOR,
}
LONG = {name: 1_750_000.0 if name == "scaling" else 90.0 for name in CASES}
NAMES = sorted(CASES)


def results() -> Results:
    """Each figure that is drawn; all bars are about as long, so that none leaves room for a legend."""
    found = Results()
    for name, cases in CASES.items():
        figure = Figure(name, name, COLUMNS[name])
        for number, case in enumerate(cases):
            figure.row(case).add(**{column: LONG[name] + number for column, _, _ in COLUMNS[name]})
        found.figures[name] = figure
    return found


@functools.cache
def laid_out(name: str) -> Picture:
    """The picture with everything at its place. The tests only look at it, so one serves all of them."""
    picture = plots.pictures(results())[name]
    FigureCanvasAgg(picture).draw()  # type: ignore[no-untyped-call]
    return picture


def test_every_figure_that_has_a_plot_is_here() -> None:
    assert set(plots.pictures(results())) == {"drain", *plots.BARS} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_legend_covers_no_axes(name: str) -> None:
    picture = laid_out(name)
    legends = [*picture.legends, *(found for axes in picture.axes if (found := axes.get_legend()) is not None)]
    several = sum(len(axes.get_legend_handles_labels()[1]) for axes in picture.axes) > 1
    assert len(legends) == several
    for legend, axes in product(legends, picture.axes):
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())


@pytest.mark.parametrize("name", NAMES)
def test_every_axis_has_a_label_and_one_of_them_the_unit(name: str) -> None:
    picture = laid_out(name)
    first, *others = picture.axes
    labels = [first.get_xlabel(), first.get_ylabel()]
    assert all(labels)
    assert any(re.search(r"\bms\b|seconds|per second", label) for label in labels)
    assert all(axes.get_xlabel() for axes in others)
    assert not any(axes.xaxis.get_offset_text().get_text() for axes in picture.axes)


@pytest.mark.parametrize("name", NAMES)
def test_the_axes_hold_all_that_is_drawn(name: str) -> None:
    for axes in laid_out(name).axes:
        (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        drawn = axes.dataLim
        assert left <= drawn.x0 <= drawn.x1 < right
        assert bottom <= drawn.y0 <= drawn.y1 < top


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_outside_the_picture(name: str) -> None:
    picture = laid_out(name)
    width, height = picture.canvas.get_width_height()
    around = picture.get_tightbbox().transformed(picture.dpi_scale_trans)
    assert around.x0 >= 0
    assert around.y0 >= 0
    assert around.x1 <= width
    assert around.y1 <= height


def test_the_same_numbers_make_the_same_files(tmp_path: Path) -> None:
    drawn = [plots.draw(results(), tmp_path / folder) for folder in "ab"]
    assert [path.name for path in drawn[0]] == [f"bench-{name}.svg" for name in ("drain", *plots.BARS)]
    assert [path.read_bytes() for path in drawn[0]] == [path.read_bytes() for path in drawn[1]]
