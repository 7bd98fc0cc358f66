"""Records of Avro, Protobuf and JSON Schema: the schema is registered, and each record begins with its number."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from producer.encode import encode_rows
from producer.properties import Value
from producer.protobuf import SchemaRefusedError, default_protobuf, protobuf_encoder, whole
from producer.reading.rows import Rows
from service.process.protoc import ProtocError
from service.wire.input.registered import are_addresses

FORMATS: Final = ("json", "avro", "protobuf", "json-schema")
KINDS: Final = {"avro": "AVRO", "protobuf": "PROTOBUF", "json-schema": "JSON"}
NEEDS_EXTRA: Final = "needs the extra registry: pip install 'txwatch[registry]'"
_UNITS_PER_MS: Final = {"timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
_WRONG: Final = (ValueError, TypeError, KeyError, ArithmeticError, struct.error)
"""What fastavro raises where a schema cannot hold a value."""

Encode = Callable[[Rows, int], Sequence["str | bytes | RowError"]]


class RowError(Exception):
    """A row has a value that the schema cannot hold. It stands where the row's bytes would."""


class RegistryFault(Exception):  # noqa: N818
    """The schema cannot be used or registered; the text is one line and begins with the option."""


def default_schema(form: str, extra: Sequence[str]) -> str:
    """The schema of txwatch's own records with these further fields. In Avro and Protobuf, amounts are text.

    Raises:
        SchemaRefusedError: a name is none of the format's.
    """
    if form == "protobuf":
        return default_protobuf(extra)
    texts = {name: ["null", "string"] for name in extra}
    if form == "avro":
        time = {"type": "long", "logicalType": "timestamp-millis"}
        fields: dict[str, Any] = {"transaction_id": "string", "timestamp": time, "amount": "string", **texts}
        each = [{"name": name, "type": kind} for name, kind in fields.items()]
        return msgspec.json.encode({"type": "record", "name": "Transaction", "fields": each}).decode()
    own = {"transaction_id": "string", "timestamp": "integer", "amount": "number", **texts}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Transaction",
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in own.items()},
        "required": ["transaction_id", "timestamp", "amount"],
    }
    return msgspec.json.encode(schema).decode()


@dataclass(frozen=True, slots=True)
class Registration:
    """Where a topic's schema is registered."""

    topic: str
    url: str
    properties: Mapping[str, Value]


def encoder(form: str, registration: Registration, path: str | None, extra: Sequence[str]) -> Encode:
    """Register the schema under ``TOPIC-value``; returns what encodes rows. ``path`` is the schema's file, if any.

    Raises:
        RegistryFault: the schema cannot be used, or the registry does not take it.
    """
    try:
        text = default_schema(form, extra) if path is None else _read(path)
        encode = _ENCODERS[form](text, extra)
    except SchemaRefusedError as error:
        raise RegistryFault(str(error)) from None
    except ProtocError as error:
        raise RegistryFault(f"--schema: {error}") from None
    except ImportError as error:
        raise RegistryFault(f"--format: {NEEDS_EXTRA} ({error})") from None
    frame = b"\0" + _register(registration, KINDS[form], text).to_bytes(4)

    def framed(rows: Rows, shift_ms: int) -> Sequence[str | bytes | RowError]:
        return [one if isinstance(one, RowError) else frame + one for one in encode(rows, shift_ms)]

    return framed


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise RegistryFault(f"--schema {path}: {why}") from None


def _register(registration: Registration, kind: str, text: str) -> int:
    try:
        import httpx2  # noqa: PLC0415 - an extra
        from confluent_kafka.schema_registry import Schema, SchemaRegistryClient  # noqa: PLC0415
        from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError  # noqa: PLC0415
    except ImportError as error:
        raise RegistryFault(f"--format: {NEEDS_EXTRA} ({error})") from None
    if not are_addresses(registration.url):
        raise RegistryFault("--registry-url: an address does not begin with http:// or https://")
    try:
        client = SchemaRegistryClient({"timeout": 10, **registration.properties, "url": registration.url})
    except (ValueError, TypeError, OSError) as error:
        raise RegistryFault(f"REGISTRY_PROPERTIES: {_line(error)}") from None
    try:
        with client:
            return int(client.register_schema(f"{registration.topic}-value", Schema(text, kind)))
    except SchemaRegistryError as error:
        raise RegistryFault(f"--registry-url: the schema registry refuses the schema: {_line(error)}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OAuthTokenError, OSError, ValueError) as error:
        raise RegistryFault(f"--registry-url: the schema registry does not answer: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _json(_: str, extra: Sequence[str]) -> Callable[[Rows, int], Sequence[bytes | RowError]]:
    return lambda rows, shift_ms: [
        one.encode() if isinstance(one, str) else one for one in encode_rows(rows, shift_ms, extra)
    ]


def _avro(text: str, extra: Sequence[str]) -> Callable[[Rows, int], Sequence[bytes | RowError]]:
    import fastavro  # noqa: PLC0415 - an extra
    from fastavro.schema import SchemaParseException, UnknownType  # noqa: PLC0415

    try:
        schema: Any = msgspec.json.decode(text)
        parsed = fastavro.parse_schema(schema)
        types = {one["name"]: one["type"] for one in schema["fields"]}
    except (SchemaParseException, UnknownType, msgspec.MsgspecError, LookupError, TypeError) as error:
        raise RegistryFault(f"--schema: no record of Avro: {_line(error)}") from None
    if missing := [name for name in ("transaction_id", "timestamp", "amount", *extra) if name not in types]:
        raise RegistryFault(f"--schema: it has no field {missing[0]}")
    units = _UNITS_PER_MS.get(_logical(types["timestamp"]) or "", 1)
    amount_of = _amount(types["amount"])
    names = ("transaction_id", "timestamp", "amount", *extra)

    def encode(rows: Rows, shift_ms: int) -> Sequence[bytes | RowError]:
        cells = [[cell or None for cell in column] for column in rows.extra]
        times = [(time_ms + shift_ms) * units for time_ms in rows.timestamps_ms]
        return [one(values) for values in zip(rows.transaction_ids, times, rows.amounts, *cells, strict=True)]

    def one(values: tuple[Any, ...]) -> bytes | RowError:
        out = io.BytesIO()
        record = dict(zip(names, values, strict=True))
        try:
            record["amount"] = amount_of(record["amount"])
            fastavro.schemaless_writer(out, parsed, record)
        except _WRONG:
            return RowError("the schema of Avro cannot hold one of its values")
        return out.getvalue()

    return encode


def _branch(kind: Any) -> Any:  # noqa: ANN401 - a schema of Avro
    """The first type of a union that is not null."""
    return next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind


def _logical(kind: Any) -> str | None:  # noqa: ANN401
    found = _branch(kind)
    return found.get("logicalType") if isinstance(found, dict) else None


def _amount(kind: Any) -> Callable[[str], Any]:  # noqa: ANN401
    """From the text of a JSON number to the value that fastavro writes; only a float is not exact."""
    branch = _branch(kind)
    name = branch["type"] if isinstance(branch, dict) else branch
    if _logical(kind) == "decimal":
        return Decimal
    if name in {"int", "long"}:
        return lambda text: whole(Decimal(text))
    return float if name in {"float", "double"} else str


def _protobuf(text: str, extra: Sequence[str]) -> Callable[[Rows, int], Sequence[bytes | RowError]]:
    encode = protobuf_encoder(text, extra)
    fault = RowError("the schema of Protobuf cannot hold one of its values")
    return lambda rows, shift_ms: [fault if one is None else one for one in encode(rows, shift_ms)]


_ENCODERS: Final = {"avro": _avro, "protobuf": _protobuf, "json-schema": _json}


def check_options(form: str, url: str | None, schema: str | None) -> str | None:
    """What is wrong with these options together; None where nothing is."""
    if form == "json":
        given = "--registry-url" if url else "--schema" if schema else None
        return given and f"{given} needs --format avro, protobuf or json-schema"
    return None if url else f"--format {form} needs --registry-url"
