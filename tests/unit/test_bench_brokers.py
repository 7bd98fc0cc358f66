"""The table of brokers, and the page that it is written into."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.brokers import HEADINGS, Row, load, table
from bench.page import fill_marks
from brokerkit.jars import ROOT, locked_versions

ROW = Row("4.2.1", "consumer", "2026-11-26", 3, 6.0, 5, [], 123_456, [6.25, 7.5, 6.5], [2.0], [0.25, 0.5], 2)


def test_operations_says_of_each_locked_version_what_was_seen() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("<!-- brokers -->")[2].partition("<!-- end -->")[0]
    rows = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if line.startswith("| ")]
    assert locked_versions() == rows[2:]


def test_what_stands_outside_the_marks_stays() -> None:
    page = "before\n<!-- brokers -->\nold\n<!-- end -->\nafter\n<!-- figure x -->\nmine\n<!-- end -->\n"
    once = fill_marks(page, "brokers", r"new \1")
    assert page.replace("old", "\nnew \\1\n") == once
    assert once == fill_marks(once, "brokers", r"new \1")


def test_a_row_shows_medians_and_greatest() -> None:
    last = table([ROW]).splitlines()[2]
    assert "| 4.2.1 | KIP-848 | 5 of 5 | 123,456 | 6.5 s, 7.5 s | 2.0 s, 2.0 s | 2 of 2 right, 0.4 s, 0.5 s |" == last
    assert len(HEADINGS) == last.count(" | ") + 1
    assert ROW.well


@pytest.mark.parametrize(
    ("row", "shown"),
    [(replace(ROW, wrong=["zombie: 1 fault"]), "| 4 of 5 |"), (replace(ROW, rounds=3), "2 of 3 right")],
)
def test_what_was_not_exact_shows_and_counts(row: Row, shown: str) -> None:
    assert shown in table([row])
    assert not row.well


def test_what_was_measured_before_is_kept(tmp_path: Path) -> None:
    saved = tmp_path / "brokers.json"
    assert {} == load(saved)
    saved.write_text(json.dumps([asdict(ROW)]))
    assert {"4.2.1": ROW} == load(saved)
