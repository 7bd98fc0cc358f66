"""The JSON Schemas of `schemas/`, made from the models that the code writes and reads with.

Each says exactly what this version writes: all fields, their types, and no other field. Only what others write (an
input record, a header of one's own, a field of somebody's own detector) may have more. The keywords mean the same in
draft 2020-12 and in draft 7, which AsyncAPI builds on.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

import msgspec

from service.core.model import MAX_ID_CHARS
from service.observe.status import PartitionStatus
from service.wire.alerts import AggregatePayload, AlertPayload
from service.wire.schemas import json_schema
from tools import contract_documents as documents
from tools import reference_words
from tools.contract_headers import (
    TIME,
    Schema,
    alert_headers,
    rekeyed_headers,
    set_aside_headers,
    strict_object,
    top,
    undelivered_headers,
)

DECIMAL: Final = (
    "An exact decimal as a JSON number: with a point, at least one digit after it and no needless zero at the end "
    "(9000.0, 8000.1, -0.5); closer to zero than 0.000001, with an exponent (1E-8). It may have more digits than a "
    "binary float keeps (15 are safe), so read it into a decimal type."
)
OTHER_NUMBER: Final = (
    "A JSON number, exactly as the detector has it: like `amount`, a whole number (60000), or, as a float with an "
    "exponent (1e+16)."
)
_WRITTEN: Final = {"amount": DECIMAL, "value": OTHER_NUMBER, "peak": OTHER_NUMBER, "limit": OTHER_NUMBER}
_NATURAL: Final = ("partition", "first_offset", "last_offset", "count", "late_count", "windows")
_OF_DETECTORS: Final = ("baseline", "score", "features")
_EPISODE: Final = ("status", "episode_id", "windows", "peak")


def schemas() -> dict[str, Schema]:
    """Each schema by its file's name."""
    return {
        "transaction.json": json_schema("transaction"),
        "alert.json": alert(),
        "alert-of-a-package.json": alert_of_a_package(),
        "aggregate.json": top("Aggregate", _closed(_of_model(AggregatePayload))),
        "cloudevent.json": cloudevent(),
        "alert-headers.json": alert_headers(),
        "set-aside-headers.json": set_aside_headers(),
        "undelivered-headers.json": undelivered_headers(),
        "rekeyed-headers.json": rekeyed_headers(),
        "status.json": status(),
        "backtest.json": _document(documents.Backtest),
        "explanation.json": _document(documents.Explanation),
        "replay-summary.json": _described(_document(documents.ReplaySummary), reference_words.SUMMARY),
    }


# ---- alerts and aggregates -------------------------------------------------------------------------------------


def alert() -> Schema:
    """Alerts of txwatch's own detectors: each of one kind, and either of an episode or not."""
    schema = _closed(_of_model(AlertPayload))
    plain = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in KINDS]}
    episode = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in EPISODES]}
    schema["$defs"] |= KINDS | EPISODES
    return top("Alert", schema | {"allOf": [plain, episode, *_pairs()]})


def alert_of_a_package() -> Schema:
    """Alerts of somebody's own detector, which may add fields of any name that is not taken."""
    schema = _closed(_of_model(AlertPayload))
    schema["$defs"] |= EPISODES
    schema["description"] = "An alert of a detector that a package brings. It may have further fields of its own."
    schema["additionalProperties"] = True
    episode = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in EPISODES]}
    return top("AlertOfAPackage", schema | {"allOf": [episode, *_pairs()]})


def _without(*names: str) -> Schema:
    return dict.fromkeys(names, False)


_CLOCKS: Final = {"window": {"properties": {"clock": {"enum": ["processing", "ingestion", "event"]}}}}
_RECORDS: Final = {
    "count": {"minimum": 1},
    "transaction_id": {"minLength": 1},
    "timestamp": {"type": "integer"},
    "max_timestamp": {"type": "integer"},
    "watermark": {"type": "integer"},
    "source": {"properties": {"first_offset": {"type": "integer"}, "last_offset": {"type": "integer"}}},
    **_CLOCKS,
}
KINDS: Final[dict[str, Schema]] = {
    "threshold": {
        "title": "Threshold",
        "description": "A value was beyond a limit. So looks the alert that ends an episode of any detector, too.",
        "properties": {**_RECORDS, **_without(*_OF_DETECTORS)},
    },
    "deviation": {
        "title": "Deviation",
        "description": "A value was far from the mean of the id's earlier windows.",
        "required": ["baseline", "score"],
        "properties": {**_RECORDS, **_without("features")},
    },
    "model": {
        "title": "Model",
        "description": "The output of a model was above the limit.",
        "required": ["score", "features"],
        "properties": {**_RECORDS, **_without("baseline")},
    },
    "inactivity": {
        "title": "Inactivity",
        "description": "An id, a partition or the topic had nothing for `limit` milliseconds.",
        "properties": {
            "count": {"const": 0},
            "late_count": {"const": 0},
            "amount": {"const": 0},
            "limit": {"type": "integer", "minimum": 1},
            "window": {"properties": {"clock": {"enum": ["event", "wall"]}}},
            **_without("of", "value", *_OF_DETECTORS, *_EPISODE),
        },
    },
}
"""What a detector's alerts have beside the fields of all, and what they have not."""
EPISODES: Final[dict[str, Schema]] = {
    "noEpisode": {
        "title": "NoEpisode",
        "description": "An alert by itself: the detector has no `resolve_after`.",
        "properties": _without(*_EPISODE),
    },
    "episodeOpened": {
        "title": "EpisodeOpened",
        "description": "The first anomalous window. `episode_id` is this alert's `alert_id`.",
        "required": ["status", "episode_id"],
        "properties": {"status": {"const": "open"}, **_without("windows", "peak")},
    },
    "episodeResolved": {
        "title": "EpisodeResolved",
        "description": "The anomaly is over. `episode_id` is the `alert_id` of the alert that opened it.",
        "required": ["status", "episode_id", "windows", "peak"],
        "properties": {"status": {"const": "resolved"}},
    },
}


def _pairs() -> list[Schema]:
    both = {"title": "OfAndValue", "required": ["of", "value"]}
    return [{"anyOf": [both, {"title": "OfTheSum", "properties": _without("of", "value")}]}]


def _of_model(model: type[AlertPayload | AggregatePayload]) -> Schema:
    schema: Schema = model.model_json_schema()
    required = set(schema["required"])
    for one in (schema, *schema.get("$defs", {}).values()):
        for name, field in one.get("properties", {}).items():
            if one is schema and name not in required:
                _never_null(field)
            _bounded(name, field)
    properties = schema["properties"]
    properties["transaction_id"] |= {"minLength": 0 if model is AlertPayload else 1, "maxLength": MAX_ID_CHARS}
    if model is AlertPayload:
        properties["of"]["enum"].remove("sum")
        properties["detector"]["pattern"] = "^[a-z0-9-]{1,40}$"
        for name in ("alert_id", "episode_id", "rules"):
            properties[name]["minLength"] = 1
    else:
        properties["count"]["minimum"] = 1
    return schema


def _never_null(field: Schema) -> None:
    """A field that says nothing is left out."""
    field.pop("default", None)
    for choice in field.pop("anyOf", ()):
        if choice != {"type": "null"}:
            field |= choice


def _bounded(name: str, field: Schema) -> None:
    if name in _WRITTEN and field.get("type") == "number":
        field["description"] += f". {_WRITTEN[name]}"
    if name in _NATURAL:
        for one in (field, *field.get("anyOf", ())):
            if one.get("type") == "integer":
                one["minimum"] = 0


# ---- what is around them ---------------------------------------------------------------------------------------


def cloudevent() -> Schema:
    """The body that `forward` sends by the template `cloudevents`."""
    context: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "the `alert_id`"},
        "type": {"const": "txwatch.alert.v1"},
        "source": {"type": "string", "pattern": "^/.+/[0-9]+$", "description": "the input topic and partition"},
        "time": {"type": "string", "pattern": TIME, "description": "when the alert was written"},
        "datacontenttype": {"const": "application/json"},
        "data": {"anyOf": [{"$ref": "alert.json"}, {"$ref": "alert-of-a-package.json"}]},
    }
    description = "An alert as `txwatch forward` sends it by the template `cloudevents`: a structured CloudEvent."
    return top("CloudEvent", strict_object(description, context, context))


# ---- documents -------------------------------------------------------------------------------------------------


def status() -> Schema:
    """The answer of /status; of a partition it names each field, too."""
    schema = _document(documents.Status)
    partition = schema["$defs"]["PartitionStatus"]
    partition["required"] = [one.name for one in fields(PartitionStatus)]
    partition["description"] = "One assigned partition."
    for field in partition["properties"].values():
        field.pop("default", None)
    own = {name: word for name, word in reference_words.STATUS.items() if name in partition["properties"]}
    _described(partition, own | {"watermark": "its watermark, epoch milliseconds; null without a record"})
    _closed(partition)
    return _described(schema, reference_words.STATUS)


def _document(kind: type) -> Schema:
    (reference,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    schema = definitions.pop(reference["$ref"].rpartition("/")[2])
    return top(kind.__name__, schema | ({"$defs": definitions} if definitions else {}))


def _described(schema: Schema, words: Mapping[str, str]) -> Schema:
    for name, field in schema["properties"].items():
        field.setdefault("description", words[name])
    return schema


def _closed(schema: Schema) -> Schema:
    """The same without other fields, and without the titles that pydantic makes of fields' names."""
    for one in (schema, *schema.get("$defs", {}).values()):
        if "properties" in one:
            one["additionalProperties"] = False
            for field in one["properties"].values():
                field.pop("title", None)
    return schema
