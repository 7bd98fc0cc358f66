"""docs/forwarding.md: its recipes load, and each target gets what the page shows."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.forward.metrics import ForwardMetrics
from service.forward.templates import TEMPLATES, Context, Forwarded
from service.settings import load
from service.settings.model import Settings
from service.wire.alerts import AlertPayload

PAGE = (Path(__file__).parents[2] / "docs" / "forwarding.md").read_text(encoding="utf-8")
TEMPLATE_NAMES = {
    "CloudEvents": "cloudevents",
    "Slack": "slack",
    "PagerDuty": "pagerduty",
    "Alertmanager": "alertmanager",
}
SENT_MS = 1_715_392_810_150


def blocks(language: str, text: str) -> list[str]:
    """The code blocks of a part of the page."""
    return re.findall(rf"```{language}\n(.*?)\n```", text, re.DOTALL)


def part(heading: str) -> str:
    """What stands below a heading of the third level."""
    return re.split(r"^##+ ", PAGE.split(f"\n### {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def recipe(text: str, folder: Path) -> Settings:
    """The settings of a recipe."""
    path = folder / "service.toml"
    path.write_text(text)
    return load(path, {}).settings


def exact(text: str) -> Any:  # noqa: ANN401
    return json.loads(text, parse_float=Decimal)


def test_the_page_has_a_part_for_each_template() -> None:
    assert set(TEMPLATE_NAMES.values()) == set(TEMPLATES)
    assert re.findall(r"^### (.+)$", PAGE, re.MULTILINE) == list(TEMPLATE_NAMES)


@pytest.mark.parametrize("heading", TEMPLATE_NAMES)
def test_a_target_gets_what_the_page_shows(heading: str, tmp_path: Path) -> None:
    value = blocks("json", PAGE)[0].encode()
    (toml,), (shown,) = blocks("toml", part(heading)), blocks("json", part(heading))
    settings = recipe(toml, tmp_path)
    (target,) = settings.forward
    assert target.template == TEMPLATE_NAMES[heading]
    # The page's routing key is what the file of its recipe holds.
    headers = dict.fromkeys(target.headers, "R0UT1NGK3Y")
    context = Context(SENT_MS, settings.detect.forget_after_ms, headers)
    body = TEMPLATES[target.template](Forwarded(AlertPayload.from_json(value), value), context)
    assert exact(shown) == exact(body.data.decode())
    assert body.content_type in {"application/json", *re.findall(r"`(application/\S+)`", part(heading))}


def test_the_first_recipe_loads(tmp_path: Path) -> None:
    (target,) = recipe(blocks("toml", PAGE)[0], tmp_path).forward
    assert f"txwatch forward --to {target.name}" in PAGE


def test_the_page_names_every_metric() -> None:
    registry = CollectorRegistry()
    ForwardMetrics(registry)
    names = {one.name + ("_total" if one.type == "counter" else "") for one in registry.collect()}
    assert set(re.findall(r"^\| `(txwatch_forward_\w+)", PAGE, re.MULTILINE)) == names
