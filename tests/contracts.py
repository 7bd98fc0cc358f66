"""The checked-in schemas, and a validator that is none of ours."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any

import jsonschema
from referencing import Registry, Resource

from tools.contracts import SCHEMAS

Value = Any
"""What JSON may hold; a number with a point as a Decimal."""


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """The validator of a schema, by its file's name without the end."""
    files = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMAS.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (file, Resource.from_contents(schema)) for file, schema in files.items()
    )
    return jsonschema.Draft202012Validator(files[f"{name}.json"], registry=registry)


def faults(name: str, value: Value) -> list[str]:
    """What is wrong with a value by the schema of this name."""
    return [f"{one.json_path}: {one.message}" for one in validator(name).iter_errors(value)]


def check(name: str, value: Value) -> None:
    """Hold a value against a schema.

    Raises:
        AssertionError: it is not valid.
    """
    assert faults(name, value) == []


def parsed(value: bytes | str | None) -> Value:
    """The JSON value of a record."""
    return json.loads(value or b"", parse_float=Decimal)
