"""The JSON Schemas of records' headers, as objects with a text for each name."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from service.core.model import Reason
from service.forward.verdicts import Undelivered
from tools import reference_samples, reference_words

Schema = dict[str, Any]
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
_NUMBER: Final = {"pattern": "^[0-9]+$"}
_KNOWN: Final[Mapping[str, Schema]] = {
    "ce_type": {"const": "txwatch.alert.v1"},
    "ce_source": {"pattern": "^/.+/[0-9]+$"},
    "ce_specversion": {"const": "1.0"},
    "ce_time": {"pattern": TIME},
    "content-type": {"const": "application/json"},
    "__connect.errors.partition": _NUMBER,
    "__connect.errors.offset": _NUMBER,
    "__connect.errors.stage": {"enum": ["VALUE_CONVERTER", "TRANSFORMATION"]},
    "__connect.errors.exception.class.name": {"const": "service.wire.Rejection"},
    "txwatch.reason": {"enum": [one.value for one in Reason]},
    "txwatch.timestamp": {"pattern": "^-?[0-9]+$"},
    "txwatch.truncated_from": _NUMBER,
    "txwatch.key_truncated_from": _NUMBER,
    "txwatch.headers_dropped": {"pattern": "^([0-9]+|not_utf8)$"},
    "txwatch.source.partition": _NUMBER,
    "txwatch.source.offset": _NUMBER,
}
"""What is known of a header's text."""
_SOMETIMES: Final = (
    "txwatch.timestamp",
    "txwatch.truncated_from",
    "txwatch.key_truncated_from",
    "txwatch.headers_dropped",
)


def alert_headers() -> Schema:
    """The headers of an alert."""
    ours = _described(name for name, _ in reference_samples.alert().headers or [])
    return _all("Headers of an alert: a CloudEvent in binary mode.", ours)


def set_aside_headers() -> Schema:
    """The headers of a late or dead-letter record."""
    ours = _described(name for name, _ in reference_samples.set_aside_headers() if name != "own")
    description = "Headers of a late or dead-letter record. They come after the record's own."
    return _all(description, ours, further=True, sometimes=_SOMETIMES)


def undelivered_headers() -> Schema:
    """The headers of a record that `forward` gave up."""
    errors = {name: one for name, one in set_aside_headers()["properties"].items() if name != "txwatch.timestamp"}
    errors["__connect.errors.stage"] = _header("the stage", {"const": "TASK_PUT"})
    errors["__connect.errors.exception.class.name"] = _header(
        "always the same", {"const": "service.forward.Undelivered"}
    )
    errors["__connect.errors.exception.message"] = _header("the target's last answer", {})
    reasons = {"enum": [one.value for one in Undelivered]}
    errors["txwatch.reason"] = _header("why `forward` gave the alert up", reasons)
    errors["__connect.errors.topic"] = _header("the topic of alerts", {})
    errors["__connect.errors.partition"] = _header("the partition there", _NUMBER)
    description = "Headers of an undelivered record. They come after the record's own."
    return _all(description, errors, further=True, sometimes=_SOMETIMES)


def rekeyed_headers() -> Schema:
    """The headers of a record that has another key."""
    ours = _described(name for name, _ in reference_samples.rekeyed().headers or [])
    return _all("Headers of a record that `rekey` writes. They come after the record's own.", ours, further=True)


def _described(names: Iterable[str]) -> dict[str, Schema]:
    return {name: _header(reference_words.HEADERS[name], _KNOWN.get(name, {})) for name in names}


def _header(description: str, known: Schema) -> Schema:
    return {"type": "string", "description": description, **known}


def _all(
    description: str, properties: dict[str, Schema], *, further: bool = False, sometimes: Iterable[str] = ()
) -> Schema:
    required = [name for name in properties if name not in set(sometimes)]
    schema = strict_object(f"{description} Each is UTF-8.", properties, required)
    return top("Headers", schema | {"additionalProperties": further})


def strict_object(description: str, properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    """An object with these fields and no other."""
    return {
        "description": description,
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def top(title: str, schema: Schema) -> Schema:
    """The schema as a document of its own."""
    rest = {name: value for name, value in schema.items() if name not in {"title", "$defs"}}
    definitions = {"$defs": schema["$defs"]} if schema.get("$defs") else {}
    return {"$schema": DRAFT, "title": title, **rest, **definitions}
