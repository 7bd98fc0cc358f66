"""Grafana's dashboard: its first row, its units, its marks, and where its links lead.

That each expression gives series is in tests/integration/test_prometheus.py.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.unit.test_pages import ROOT, anchors
from tools import dashboard

BOARD: dict[str, Any] = json.loads(dashboard.build())
NUMBERS = [panel for panel in BOARD["panels"] if panel["type"] == "stat"]
SERIES = [panel for panel in BOARD["panels"] if panel["type"] == "timeseries"]
ALERTS = re.findall(r"- alert: (\w+)", (ROOT / "config/prometheus/rules/txwatch.yml").read_text(encoding="utf-8"))
KNOWN_UNITS = re.compile(r"s|percentunit|dateTimeAsIso|count:[a-z]+(/s)?")
"""Grafana's own for times and shares; `count:NAME` is its way to show any count."""


def links(panel: dict[str, Any]) -> list[str]:
    """The addresses of a panel's links."""
    return [link["url"] for link in panel.get("links", [])]


def test_the_first_row_is_the_numbers_that_matter_first() -> None:
    top = [panel for panel in BOARD["panels"] if panel["gridPos"]["y"] == 0]
    assert [panel["title"] for panel in top] == ["Ready", "Watermark delay", "Lag", "Anomalies", "Firing alerts"]
    assert top == NUMBERS
    assert sum(panel["gridPos"]["w"] for panel in top) == 24
    assert {panel["gridPos"]["h"] for panel in top} == {dashboard.NUMBER_HEIGHT}


@pytest.mark.parametrize("panel", NUMBERS + SERIES, ids=lambda panel: f"{panel['type']}: {panel['title']}")
def test_a_unit_says_what_is_counted(panel: dict[str, Any]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert KNOWN_UNITS.fullmatch(unit), unit
    expressions = " ".join(target["expr"] for target in panel["targets"])
    assert unit.endswith("/s") == ("rate(" in expressions and unit.startswith("count:"))
    if "records" in expressions and unit.startswith("count:"):
        assert re.search("records", unit)


def test_a_numbers_colours_begin_with_one_for_everything_and_rise() -> None:
    for panel in NUMBERS:
        values = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])


def test_anomalies_and_rebalances_are_marked_on_every_panel() -> None:
    marks = {mark["name"]: mark for mark in BOARD["annotations"]["list"]}
    assert set(marks) == {"Anomalies", "Rebalances"}
    for mark in marks.values():
        assert mark["enable"]
        assert not mark["hide"]
        assert mark["datasource"]["uid"] == "${datasource}"
        (label,) = re.findall(r"\{\{(\w+)\}\}", mark["titleFormat"] + mark["textFormat"])
        assert f"sum by ({label})" in mark["expr"]


def test_links_lead_to_the_runbook_and_to_paragraphs_that_are_there() -> None:
    (runbook,) = (one for one in BOARD["templating"]["list"] if one["name"] == "runbook")
    assert runbook["current"]["value"] == runbook["query"] == dashboard.runbook()
    assert re.fullmatch(r"https://.+/docs/operations\.md", dashboard.runbook())
    assert [link["url"] for link in BOARD["links"]] == ["${runbook:raw}"]
    headings = anchors((ROOT / "docs/operations.md").read_text(encoding="utf-8"))
    linked = {url for panel in BOARD["panels"] for url in links(panel)}
    for url in linked:
        address, _, anchor = url.partition("#")
        assert address == "${runbook:raw}"
        assert anchor in headings
        assert anchor in {alert.lower() for alert in ALERTS}
    assert len(linked) > len(ALERTS) / 2
