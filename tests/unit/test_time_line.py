"""The demo's time line, as text."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.time_line import EVENT_AT, NAMES, TimeLine

LINE = TimeLine(
    watermark_ms=9_000.0,
    now_ms=14_000.0,
    closes_ms=20_000.0,
    window_ms=10_000,
    lateness_ms=1_000,
    is_open=True,
    local_time=lambda ms: f"<{ms:.0f}>",
)
WIDE = 86


def lines(line: TimeLine, columns: int = WIDE) -> list[str]:
    """What is drawn."""
    return line.drawn(columns).plain.split("\n")[1:]


def test_the_watermark_trails_event_time_by_the_lateness_and_what_is_behind_it_is_late() -> None:
    event, legend, *_ = lines(LINE)
    width = len(event) - NAMES
    watermark_at, event_at = event.index("◆") - NAMES, event.index("●") - NAMES
    assert (int(width * EVENT_AT), round(width / 20)) == (event_at, event_at - watermark_at)
    assert "░" * watermark_at == event[NAMES : NAMES + watermark_at]
    assert ("<9000>" in legend, "<10000>" in legend) == (True, True)


def test_the_window_fills_with_the_wall_clock() -> None:
    wall, what = lines(LINE)[2:]
    width = len(wall) - NAMES
    assert round(width * 0.4) == wall.count("█")
    assert "this window closes in 6 s" in what
    assert "the next window opens in 6 s" in lines(replace(LINE, is_open=False))[3]


def test_without_a_record_there_is_no_mark() -> None:
    event, legend, *_ = lines(replace(LINE, watermark_ms=None))
    assert (False, False, True) == ("◆" in event, "●" in event, "no record yet" in legend)


@pytest.mark.parametrize("columns", [10, 40, 80, 300])
@pytest.mark.parametrize("lateness_ms", [0, 1_000, 10**9])
def test_it_has_four_lines_of_marks_that_fit_whatever_the_terminal(columns: int, lateness_ms: int) -> None:
    drawn = lines(replace(LINE, lateness_ms=lateness_ms), columns)
    assert 4 == len(drawn)
    assert len(drawn[0]) == len(drawn[2]) <= max(columns, NAMES + 10)
    assert (1, 1) == (drawn[0].count("◆"), drawn[0].count("●"))
