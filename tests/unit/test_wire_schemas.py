"""The JSON Schemas describe what is read and written, and refuse what is not."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from typing import Any

import pytest

from service.core.model import OLDEST_TIMESTAMP_MS
from service.wire.schemas import json_schema

TRANSACTION = {"transaction_id": "tx1", "timestamp": 1715392810000, "amount": 9000.0}
AGGREGATE = {
    "transaction_id": "tx1",
    "timestamp": 1715392810000,
    "amount": 9000.0,
    "watermark": 1715392809000,
    "count": 1,
    "late_count": 0,
    "max_timestamp": 1715392810000,
    "window": {"start": 1715392810000, "end": 1715392820000, "clock": "processing"},
    "source": {"topic": "transactions", "partition": 0, "first_offset": 3, "last_offset": 3},
}
ALERT = {**AGGREGATE, "alert_id": "x", "detector": "threshold", "limit": 8000.0, "detected_at": 1715392820004}
EXAMPLES: dict[str, dict[str, Any]] = {"transaction": TRANSACTION, "alert": ALERT, "aggregate": AGGREGATE}
ADDED: dict[str, dict[str, Any]] = {
    "alert": {
        "of": "max", "value": 5000.5, "baseline": {"mean": 1.5, "deviation": 0.5, "windows": 30}, "score": 3.5,
        "features": {"sum": 1.5}, "rules": "0a1b2c3d", "status": "resolved", "episode_id": "x", "windows": 3,
        "peak": 9000.0,
    },
}  # fmt: skip
EACH = pytest.mark.parametrize("name", EXAMPLES)

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "string": (str,), "integer": (int,), "number": (int, float), "null": (type(None),),
}  # fmt: skip


def faults(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> list[str]:  # noqa: ANN401, C901 - one keyword after another
    """What is wrong with a value by those keywords of JSON Schema that the schemas here use."""
    if "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return faults(target, value, root)
    if "anyOf" in schema:
        each = [faults(one, value, root) for one in schema["anyOf"]]
        return [] if [] in each else [each[0][0]]
    found = []
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, TYPES[kind]) or isinstance(value, bool)):
        return [f"{value!r} is no {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{value!r} is not one of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{value!r} is not {schema['const']!r}")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        found.append(f"{value!r} is too short")
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{value} is out of range")
    if isinstance(value, dict):
        found += [f"no {name}" for name in schema.get("required", []) if name not in value]
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += [f"{name}: {fault}" for fault in faults(inner, value[name], root)]
    return found


def check(name: Any, value: Any) -> list[str]:  # noqa: ANN401
    """What is wrong with a value by the schema of this name."""
    schema = json_schema(name)
    return faults(schema, value, schema)


@EACH
def test_the_documented_example_is_valid(name: str) -> None:
    assert [] == check(name, EXAMPLES[name])


@EACH
def test_every_field_is_described_and_required(name: str) -> None:
    schema = json_schema(name)  # type: ignore[arg-type]
    assert EXAMPLES[name].keys() | ADDED.get(name, {}).keys() == schema["properties"].keys()
    assert EXAMPLES[name].keys() == set(schema["required"])
    assert all("description" in one for one in schema["properties"].values())


def test_what_other_detectors_add_to_an_alert_is_valid() -> None:
    assert [] == check("alert", ALERT | ADDED["alert"])
    for field, value in ADDED["alert"].items():
        assert 1 == len(check("alert", ALERT | {field: [value]})), field


def test_a_silent_topic_has_no_last_record() -> None:
    source = {"topic": "transactions", "partition": 0, "first_offset": None, "last_offset": None}
    nothing = {"timestamp": None, "max_timestamp": None, "watermark": None, "source": source}
    assert [] == check("alert", ALERT | nothing | {"transaction_id": "", "count": 0})


@EACH
def test_a_missing_field_is_a_fault(name: str) -> None:
    for field in EXAMPLES[name]:
        value = {key: held for key, held in EXAMPLES[name].items() if key != field}
        assert [f"no {field}"] == check(name, value)


@EACH
def test_a_field_of_another_type_is_a_fault(name: str) -> None:
    for field in EXAMPLES[name]:
        assert 1 == len(check(name, {**EXAMPLES[name], field: [None]})), field


@EACH
def test_further_fields_are_no_fault(name: str) -> None:
    assert [] == check(name, {**EXAMPLES[name], "currency": "EUR"})


@EACH
def test_it_is_a_schema_that_says_so_and_what_it_is_of(name: str) -> None:
    schema = json_schema(name)  # type: ignore[arg-type]
    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]
    assert (name.capitalize(), "object") == (schema["title"], schema["type"])
    assert schema == json.loads(json.dumps(schema))


@EACH
def test_amounts_are_numbers_and_nothing_else(name: str) -> None:
    assert [] == check(name, {**EXAMPLES[name], "amount": 9000})
    assert ["amount: '9000.0' is no number"] == check(name, {**EXAMPLES[name], "amount": "9000.0"})


@pytest.mark.parametrize("timestamp", [OLDEST_TIMESTAMP_MS - 1, 2**63])
def test_a_transactions_timestamp_is_in_milliseconds(timestamp: int) -> None:
    assert [f"timestamp: {timestamp} is out of range"] == check("transaction", {**TRANSACTION, "timestamp": timestamp})


def test_a_transactions_id_is_not_empty() -> None:
    assert ["transaction_id: '' is too short"] == check("transaction", {**TRANSACTION, "transaction_id": ""})
