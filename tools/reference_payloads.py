"""What txwatch writes, on docs/reference.md: payloads, headers and the metadata of committed offsets."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

from service.wire.schemas import json_schema
from tools import reference_samples, reference_words
from tools.reference_tables import check_words, code, described, table


def payloads() -> Iterator[str]:
    """A table of fields for each, and an example of an alert."""
    alert = json.loads(reference_samples.alert().value or b"", parse_float=Decimal)
    yield (
        "[`schemas/`](../schemas) has a JSON Schema of each payload and of the headers, which allows no field that is "
        "not here; [`asyncapi.yaml`](../asyncapi.yaml) has the topics. Those of `txwatch schema` allow what later "
        "versions may add.\n"
    )
    names: tuple[Literal["transaction", "alert", "aggregate"], ...] = ("transaction", "alert", "aggregate")
    for name in names:
        schema = json_schema(name)
        yield f"### {name}\n"
        yield f"`txwatch schema {name}` prints the JSON Schema. {schema['description']}\n"
        yield table(("field", "type", "meaning"), _fields(schema, schema.get("$defs", {})))
        if name == "alert":
            yield "The first alert of the example, as its record's value:\n"
            yield code(json.dumps(alert, indent=2, default=float), "json")


def _fields(schema: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, one in schema["properties"].items():
        reference = one.get("$ref") or next(
            (part["$ref"] for part in one.get("allOf", one.get("anyOf", ())) if "$ref" in part), ""
        )
        inner = definitions.get(reference.rpartition("/")[2], {})
        kinds = [_kind(part, definitions) for part in one.get("anyOf", (one,))]
        # An optional field is left out; only a required one is ever null.
        kind = " or ".join(kinds if name in schema.get("required", ()) else [each for each in kinds if each != "null"])
        if "maxLength" in one:
            kind += f", {one['minLength']} to {one['maxLength']:,} characters"
        if "minimum" in one:
            kind += f", at least {one['minimum']:,}"
        yield f"`{prefix}{name}`", kind, described(f"{prefix}{name}", one.get("description"))
        if "properties" in inner:
            yield from _fields(inner, definitions, f"{prefix}{name}.")


def _kind(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The type of a field, or its values where they are listed."""
    inner = definitions.get(part.get("$ref", "").rpartition("/")[2], part)
    if "allOf" in inner:
        inner = definitions[inner["allOf"][0]["$ref"].rpartition("/")[2]]
    return ", ".join(f"`{option}`" for option in inner.get("enum", ())) or str(inner.get("type", ""))


def headers() -> Iterator[str]:
    """Those of alerts, of records that are set aside, and of those that get another key."""
    alert = [(name, reference_samples.text(value)) for name, value in reference_samples.alert().headers or []]
    aside = [one for one in reference_samples.set_aside_headers() if one[0] != "own"]
    rekeyed = [(name, reference_samples.text(value)) for name, value in reference_samples.rekeyed().headers or []]
    check_words([name for name, _ in alert + aside + rekeyed], reference_words.HEADERS, "a header")
    for title, headers in (
        ("an alert, which make it a CloudEvent", alert),
        ("a late or dead-letter record", aside),
        ("a record that `rekey` writes, after the record's own", rekeyed),
    ):
        yield f"Of {title}:\n"
        rows = [(f"`{name}`", f"`{value}`", reference_words.HEADERS[name]) for name, value in headers]
        yield table(("header", "example", "meaning"), rows)
    yield "A late or dead-letter record keeps its key, its value and its own headers, which come first."
    yield "Its Kafka timestamp is the time of writing.\n"


def committed() -> Iterator[str]:
    """An example by each kind of clock."""
    plain, ahead = reference_samples.committed()
    yield "The metadata of a committed offset is JSON. By `processing`, and where no window is open:\n"
    yield code(plain, "json")
    yield "By `ingestion` and `event`, with what was read beyond the offset and the rules of that time:\n"
    yield code(ahead, "json")
    yield "With `[[detectors]]` it also has `rules`, the hash of the detectors that judged, for information only.\n"
