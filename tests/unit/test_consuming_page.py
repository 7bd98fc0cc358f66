"""docs/consuming.md shows the examples as they are, and what it says of kinds of alerts is what alerts are."""

from __future__ import annotations

import re

import pytest

from tests.unit.test_contracts import ALERTS, OF_A_PACKAGE, WITH_RULES
from tools.setup import ROOT

PAGE = (ROOT / "docs" / "consuming.md").read_text(encoding="utf-8")


EXAMPLES = {"python": "alerts.py", "java": "Alerts.java", "typescript": "alerts.mts"}
OWN = {"deviation": {"baseline", "score"}, "model": {"features", "score"}}
"""Fields that only this kind has."""


@pytest.mark.parametrize(("language", "name"), EXAMPLES.items())
def test_the_page_shows_the_example_as_it_is(language: str, name: str) -> None:
    (shown,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert (ROOT / "examples" / name).read_text(encoding="utf-8") == shown


def test_every_example_is_on_the_page() -> None:
    assert set(EXAMPLES.values()) == {path.name for path in (ROOT / "examples").iterdir()}


def test_each_kind_has_the_fields_that_the_page_says() -> None:
    for name, alerts in ALERTS.items():
        for alert in alerts:
            assert (name == "inactivity") == (alert["count"] == 0)
            if alert.get("status") == "open":
                assert alert["alert_id"] == alert["episode_id"]
            if alert.get("status") != "resolved":
                assert OWN.get(name.partition(",")[0], set()) == alert.keys() & {"baseline", "score", "features"}, name
    assert all("why" in alert for alert in OF_A_PACKAGE if alert.get("status") != "resolved")
    assert "rules" in WITH_RULES[0]
