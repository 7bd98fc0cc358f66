"""The JSON Schemas of the payloads."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from service.core.model import Transaction
from service.wire.alerts import AggregatePayload, AlertPayload


def json_schema(name: Literal["transaction", "alert", "aggregate"]) -> dict[str, Any]:
    """The JSON Schema of a payload."""
    if name == "transaction":
        schema = msgspec.json.schema(Transaction)
        definition: dict[str, Any] = schema["$defs"]["Transaction"]
        amount = {"type": "number", "description": "summed exactly, as it is written"}
        properties = {**definition["properties"], "amount": amount}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Transaction",
            "description": "One payment record, the value of an input record; further fields are ignored.",
            **{key: value for key, value in definition.items() if key not in {"title", "description", "properties"}},
            "properties": properties,
        }
    model = AlertPayload if name == "alert" else AggregatePayload
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(),
        "title": name.capitalize(),
    }
