"""Avro: for each schema a reader of the mapped fields alone, which writes them as JSON.

The schemas are rewritten before fastavro gets them. The reader's schema has only the fields that a path needs, so that
the others are skipped. Logical types become own ones: fastavro's would make floats of some times, and cost more.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any, Final

import msgspec

from service.core.model import Reason
from service.wire.decoder import Rejection
from service.wire.input.columns import TimestampFormat
from service.wire.input.numbers import MAX_SCALE, decimal_json, double_json, float_json, time_json
from service.wire.input.paths import Path
from service.wire.input.registered import SchemaFault, SchemaText, ToJson

_Schema = Any
"""Avro's JSON: a name, a list (a union) or an object."""
_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_ITEMS: Final = {"array": "items", "map": "values"}
_LOGICAL: Final = {"float": "txwatch-number", "double": "txwatch-number", "bytes": "txwatch-bytes"}
"""What these become, apart from logical types."""
_CONNECT: Final = "org.apache.kafka.connect.data."
_PER_MS: Final = {"timestamp-millis": 1, "timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
"""How many units are a millisecond."""
_WRONG_DATA: Final = (EOFError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError, struct.error)
"""What reading raises where the data are not those of the schema."""
_encode: Final = msgspec.json.Encoder().encode


def compile_avro(schema: SchemaText, paths: Sequence[Path], form: TimestampFormat) -> ToJson:
    """A function from a record's data to JSON with what is at these paths; times are written in ``form``.

    A path that the schema does not have is left out.

    Raises:
        SchemaFault: it is no schema of Avro.
    """
    import fastavro  # noqa: PLC0415 - who reads JSON does not need it
    from fastavro.schema import SchemaParseException, UnknownType  # noqa: PLC0415

    _teach_fastavro()
    types = _Types(form)
    try:
        for _, text in schema.references:
            types.add(msgspec.json.decode(text))
        root = types.add(msgspec.json.decode(schema.text))
        kept: dict[str, set[str]] = {}
        for path in paths:
            types.mark(root, path, kept)
        writer = fastavro.parse_schema(types.written_out(root, None, set()))
        reader = fastavro.parse_schema(types.written_out(root, kept, set()))
    except (SchemaParseException, UnknownType, msgspec.MsgspecError, LookupError, TypeError, AttributeError) as error:
        raise SchemaFault(f"no schema of Avro: {error}") from None
    except RecursionError:
        raise SchemaFault("no schema of Avro: nested too deeply") from None
    return partial(_read, fastavro.schemaless_reader, writer, reader)


def _read(read: Any, writer: _Schema, reader: _Schema, data: bytes) -> bytes:  # noqa: ANN401 - of a library without types
    try:
        return _encode(read(BytesIO(data), writer, reader))
    except _WRONG_DATA as error:
        what = f"{type(error).__name__} {error}".rstrip()
        raise Rejection(Reason.SCHEMA, f"the data are not those of the schema: {what}") from None


def _teach_fastavro() -> None:
    """Add the own logical types. fastavro keeps them for the whole process, and their names are no one else's."""
    from fastavro.read import LOGICAL_READERS  # noqa: PLC0415

    def decimal(data: bytes, schema: Any, _: object) -> object:  # noqa: ANN401 - as fastavro has it
        return decimal_json(int.from_bytes(data, signed=True), schema["txwatch.scale"])

    def time(data: int, schema: Any, _: object) -> object:  # noqa: ANN401
        return time_json(data // schema["txwatch.per_ms"], schema["txwatch.form"])

    LOGICAL_READERS["bytes-txwatch-decimal"] = decimal
    LOGICAL_READERS["fixed-txwatch-decimal"] = decimal
    LOGICAL_READERS["long-txwatch-time"] = time
    LOGICAL_READERS["float-txwatch-number"] = lambda number, *_: float_json(number)
    LOGICAL_READERS["double-txwatch-number"] = lambda number, *_: double_json(number)
    LOGICAL_READERS["bytes-txwatch-bytes"] = lambda *_: {"bytes": None}  # neither a text nor a number
    LOGICAL_READERS["fixed-txwatch-bytes"] = lambda *_: {"bytes": None}


@dataclass(slots=True)
class _Types:
    """The named types of a schema and of those that it refers to, by their full names."""

    form: TimestampFormat
    named: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, schema: _Schema, namespace: str = "") -> _Schema:
        """The schema with full names only, and each named type as its name."""
        if isinstance(schema, str):
            full = _full_name(schema, namespace)
            return full if full in self.named else schema
        if isinstance(schema, list):
            return [self.add(one, namespace) for one in schema]
        kind = schema["type"]
        if not isinstance(kind, str):
            return self.add(kind, namespace)
        if kind in _ITEMS:
            return {"type": kind, _ITEMS[kind]: self.add(schema[_ITEMS[kind]], namespace)}
        if kind in _NAMED:
            return self._name(schema, namespace)
        return self._scalar(schema) if schema.keys() - {"type"} else self.add(kind, namespace)

    def _name(self, schema: Mapping[str, Any], namespace: str) -> str:
        """Keep a named type; returns its full name. It is known before its fields are, for they may contain it."""
        full = _full_name(schema["name"], schema.get("namespace", namespace))
        found: dict[str, Any] = {"type": schema["type"], "name": full}
        self.named[full] = found
        if schema["type"] == "enum":
            found["symbols"] = schema["symbols"]
        elif schema["type"] == "fixed":
            found |= {"size": schema["size"], **self._scalar(schema)}
        else:
            inner = full.rpartition(".")[0]
            found["fields"] = [{"name": one["name"], "type": self.add(one["type"], inner)} for one in schema["fields"]]
        return full

    def _scalar(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """A primitive type with its own logical type, if it has a meaning here."""
        kind, logical = schema["type"], schema.get("logicalType")
        connect = schema.get("connect.name", "")
        if kind in {"bytes", "fixed"} and (logical == "decimal" or connect == f"{_CONNECT}Decimal"):
            scale = int(schema.get("scale", schema.get("connect.parameters", {}).get("scale", 0)))
            if not 0 <= scale <= MAX_SCALE:
                raise SchemaFault(f"a decimal has the scale {scale}")
            return {"type": kind, "logicalType": "txwatch-decimal", "txwatch.scale": scale}
        if kind == "long" and connect == f"{_CONNECT}Timestamp":
            logical = "timestamp-millis"
        if kind == "long" and logical in _PER_MS:
            more = {"txwatch.per_ms": _PER_MS[logical], "txwatch.form": self.form}
            return {"type": kind, "logicalType": "txwatch-time", **more}
        return {"type": kind}

    def mark(self, schema: _Schema, path: Path, kept: dict[str, set[str]]) -> None:
        """Note in ``kept``, for each record on the way, the field that the path needs."""
        if isinstance(schema, list):
            for branch in schema:
                self.mark(branch, path, kept)
            return
        if isinstance(schema, dict):
            if path and schema["type"] in {"array", "map"}:
                self.mark(schema.get("items", schema.get("values")), path[1:], kept)
            elif schema["type"] in {"array", "map"}:
                self._keep_all(schema, kept)
            return
        if schema not in self.named:
            return
        if not path:
            self._keep_all(schema, kept)
            return
        for one in self.named[schema].get("fields", ()):
            if one["name"] == path[0]:
                kept.setdefault(schema, set()).add(one["name"])
                self.mark(one["type"], path[1:], kept)

    def _keep_all(self, schema: _Schema, kept: dict[str, set[str]]) -> None:
        """Where a path ends at a record or a collection: the JSON shows what is there."""
        if isinstance(schema, list):
            for branch in schema:
                self._keep_all(branch, kept)
        elif isinstance(schema, dict):
            self._keep_all(schema.get("items", schema.get("values", "null")), kept)
        elif schema in self.named:
            fields = self.named[schema].get("fields", ())
            names = {one["name"] for one in fields}
            if not names <= kept.get(schema, set()):
                kept[schema] = names
                for one in fields:
                    self._keep_all(one["type"], kept)

    def written_out(self, schema: _Schema, kept: Mapping[str, set[str]] | None, seen: set[str]) -> _Schema:
        """The schema for fastavro, each named type where it is met first; of records only the fields that are kept."""
        if isinstance(schema, list):
            return [self.written_out(one, kept, seen) for one in schema]
        if isinstance(schema, str):
            return self._named_or_primitive(schema, kept, seen)
        if (kind := schema["type"]) in _ITEMS:
            return {"type": kind, _ITEMS[kind]: self.written_out(schema[_ITEMS[kind]], kept, seen)}
        return schema if schema.keys() - {"type"} else self.written_out(kind, kept, seen)

    def _named_or_primitive(self, name: str, kept: Mapping[str, set[str]] | None, seen: set[str]) -> _Schema:
        if name in _LOGICAL:
            return {"type": name, "logicalType": _LOGICAL[name]}
        if name not in self.named or name in seen:
            return name
        seen.add(name)
        found = dict(self.named[name])
        if found["type"] == "fixed":
            return {"logicalType": "txwatch-bytes", **found}
        if "fields" in found:
            found["fields"] = [
                {"name": one["name"], "type": self.written_out(one["type"], kept, seen)}
                for one in found["fields"]
                if kept is None or one["name"] in kept.get(name, ())
            ]
        return found


def _full_name(name: str, namespace: str | None) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
