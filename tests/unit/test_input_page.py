"""docs/input.md: every recipe makes of its records what the page says."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.app.input import make_decoder
from service.settings import NAMES, load
from tests.unit.input_records import In, outcomes, shown
from tests.unit.settings_files import NO_FILE

PAGE = Path(__file__).parents[2] / "docs" / "input.md"
TEXT = PAGE.read_text(encoding="utf-8")
STORED_MS = 1_715_392_810_000
"""The Kafka timestamp of every record."""


@dataclass(frozen=True)
class Recipe:
    """One section of the page."""

    heading: str
    settings: dict[str, str]
    records: list[In]
    becomes: list[str]


def recipes() -> list[Recipe]:
    """Those of the page."""
    found = []
    for heading, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL):
        (settings,), (records,), (becomes,) = (
            re.findall(rf"^```{kind}\n(.*?)^```", section, re.MULTILINE | re.DOTALL) for kind in ("sh", "json", "text")
        )
        lines = [shlex.split(line) for line in settings.splitlines()]
        assert {("export", 2)} == {(words[0], len(words)) for words in lines}
        pairs = [words[1].split("=", 1) for words in lines]
        taken = [_record(line) for line in records.splitlines()]
        found.append(Recipe(heading, dict(pairs), taken, becomes.splitlines()))
    return found


def _record(line: str) -> In:
    if line == "null":
        return In(None, None, STORED_MS)
    keyed = re.fullmatch(r"(\w+): (\{.*)", line)
    key, value = (keyed[1].encode(), keyed[2]) if keyed else (None, line)
    return In(value.encode(), key, STORED_MS)


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.heading)
def test_a_recipe_makes_of_its_records_what_it_shows(recipe: Recipe) -> None:
    decoder = make_decoder(load(NO_FILE, recipe.settings).settings)
    assert recipe.becomes == [shown(found) for found in outcomes(decoder, recipe.records)]
    assert any(re.match(r"\S+ \d+ \S", one) for one in recipe.becomes), "one of them should count"


def test_the_page_has_each_setting() -> None:
    mapped = {name for name in NAMES if name.startswith("INPUT_")} - {"INPUT_FORMAT"}
    assert mapped == {name for name in mapped if name in TEXT}
