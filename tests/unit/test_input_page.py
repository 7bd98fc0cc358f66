"""docs/input.md: every recipe makes of its records what the page says."""

from __future__ import annotations

import io
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.protobuf.json_format import Parse

from service.app.input import make_decoder
from service.app.reading import WaitingDecoder
from service.kafka.registry import Registry
from service.process.stop import Stop
from service.settings import NAMES, load
from service.wire.decoder import Decoder
from service.wire.input.registered import SchemaText
from tests.unit.input_records import In, outcomes, shown
from tests.unit.settings_files import NO_FILE
from tests.unit.test_protobuf import message

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
    schema: str = ""
    """What the registry holds under the number 1."""


def recipes() -> list[Recipe]:
    """Those of the page."""
    found = []
    for heading, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL):
        (settings,), (records,), (becomes,) = (
            re.findall(rf"^```{kind}\n(.*?)^```", section, re.MULTILINE | re.DOTALL) for kind in ("sh", "json", "text")
        )
        lines = [shlex.split(line) for line in settings.splitlines()]
        assert {("export", 2)} == {(words[0], len(words)) for words in lines}
        pairs = dict(words[1].split("=", 1) for words in lines)
        schema = "".join(re.findall(r"^```(?:avsc|proto)\n(.*?)^```", section, re.MULTILINE | re.DOTALL))
        taken = [
            _framed(line, pairs["INPUT_FORMAT"], schema) if schema else _record(line) for line in records.splitlines()
        ]
        found.append(Recipe(heading, pairs, taken, becomes.splitlines(), schema))
    return found


def _record(line: str) -> In:
    if line == "null":
        return In(None, None, STORED_MS)
    keyed = re.fullmatch(r"(\w+): (\{.*)", line)
    key, value = (keyed[1].encode(), keyed[2]) if keyed else (None, line)
    return In(value.encode(), key, STORED_MS)


def _framed(line: str, form: str, schema: str) -> In:
    """The record that Avro's or Protobuf's JSON shows, or JSON itself, behind the frame."""
    if form == "json-schema":
        return In(b"\0\0\0\0\1" + line.encode(), None, STORED_MS)
    if form == "protobuf":
        return In(b"\0\0\0\0\1\0" + Parse(line, message(schema, "shop.Payment")()).SerializeToString(), None, STORED_MS)
    parsed = fastavro.parse_schema(_bare(json.loads(schema)))
    (value,) = fastavro.json_reader(io.StringIO(line), parsed)
    out = io.BytesIO(b"\0\0\0\0\1")
    out.seek(5)
    fastavro.schemaless_writer(out, parsed, value)
    return In(out.getvalue(), None, STORED_MS)


def _bare(schema: Any) -> Any:  # noqa: ANN401
    """A schema without logical types, so that the page shows what is on the wire."""
    if isinstance(schema, list):
        return [_bare(one) for one in schema]
    if isinstance(schema, dict):
        return {key: _bare(one) for key, one in schema.items() if key not in {"logicalType", "precision", "scale"}}
    return schema


def _decoder(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """The one that the settings make, with a registry that holds the page's schema."""
    kind = {"avro": "AVRO", "protobuf": "PROTOBUF", "json-schema": "JSON"}.get(
        recipe.settings.get("INPUT_FORMAT", ""), ""
    )
    monkeypatch.setattr(Registry, "fetch", lambda _, number: SchemaText(kind, recipe.schema) if number == 1 else None)
    settings = load(NO_FILE, recipe.settings).settings
    return WaitingDecoder(make_decoder(settings), Stop(), 10)


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.heading)
def test_a_recipe_makes_of_its_records_what_it_shows(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = _decoder(recipe, monkeypatch)
    assert recipe.becomes == [shown(found) for found in outcomes(decoder, recipe.records)]
    assert any(re.match(r"\S+ \d+ \S", one) for one in recipe.becomes), "one of them should count"


def test_the_page_has_each_setting() -> None:
    mapped = {name for name in NAMES if name.startswith(("INPUT_", "REGISTRY_"))}
    assert mapped == {name for name in mapped if name in TEXT}
