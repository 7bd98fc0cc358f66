"""Avro: for each schema a reader of the mapped fields alone, which writes them as JSON.

fastavro checks the schema. Full names take the place of the names in it, so that a type is found by its name alone.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec

from service.core.model import Reason
from service.wire.decoder import Rejection
from service.wire.input import avro_data
from service.wire.input.avro_data import Read, Skip
from service.wire.input.columns import TimestampFormat
from service.wire.input.numbers import MAX_SCALE, times_json
from service.wire.input.paths import Path
from service.wire.input.registered import SchemaFault, SchemaText, ToJson

_Schema = Any
"""Avro's JSON: a name, a list (a union) or an object."""
_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_ITEMS: Final = {"array": "items", "map": "values"}
_STEPS: Final = "txwatch.steps"
"""In an array or a map: the steps of paths that lead into it."""
_ALL: Final = None
"""The step where a path ends at it, or above it."""
_CONNECT: Final = "org.apache.kafka.connect.data."
_PER_MS: Final = {"timestamp-millis": 1, "timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
"""How many units are a millisecond."""
_TOO_SHORT: Final = "they end within a value"
_WRONG_DATA: Final = (ValueError, LookupError, TypeError, ArithmeticError, RecursionError)
"""What reading raises where the data are not those of the schema."""
_WRONG_TEXT: Final = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError)
"""What a text raises that is no schema."""
MAX_VALUES: Final = 10_000
"""Values that each record has outside unions, arrays and maps. Reading takes as long as their number says."""
_FIXED_BYTES: Final = {"null": 0, "float": 4, "double": 8}
"""The bytes of a primitive type that has no, or more than one, at least."""
_encode: Final = msgspec.json.Encoder().encode


def compile_avro(schema: SchemaText, paths: Sequence[Path], form: TimestampFormat) -> ToJson:
    """A function from a record's data to JSON with what is at these paths; times are written in ``form``.

    A path that the schema does not have is left out.

    Raises:
        SchemaFault: it is no schema of Avro.
    """
    import fastavro  # noqa: PLC0415 - who reads JSON does not need it
    from fastavro.schema import SchemaParseException, UnknownType  # noqa: PLC0415

    types = _Types(form)
    try:
        for _, text in schema.references:
            types.add(msgspec.json.decode(text))
        root = types.add(msgspec.json.decode(schema.text))
        fastavro.parse_schema(types.written_out(root, set()))
        kept: dict[str, set[str]] = {}
        for path in paths:
            types.mark(root, path, kept)
        for name in types.named:
            types.least(name)
        read = _Functions(types, kept).read(root)
    except (SchemaParseException, UnknownType, *_WRONG_TEXT) as error:
        raise SchemaFault(f"no schema of Avro: {error}") from None
    except RecursionError:
        raise SchemaFault("no schema of Avro: nested too deeply") from None
    return partial(_to_json, read)


def _to_json(read: Read, data: bytes) -> bytes:
    try:
        found, end = read(data, 0)
        if end <= len(data):
            return _encode(found)
        what = _TOO_SHORT
    except (IndexError, struct.error):
        what = _TOO_SHORT
    except _WRONG_DATA as error:
        what = f"{type(error).__name__} {error}".rstrip()
    raise Rejection(Reason.SCHEMA, f"the data are not those of the schema: {what}")


class _Functions:
    """Makes the functions that read and skip a schema's types."""

    def __init__(self, types: _Types, kept: Mapping[str, set[str]]) -> None:
        self._types, self._kept = types, kept
        self._read: dict[str, Read] = {}
        self._skip: dict[str, Skip] = {}

    def read(self, schema: _Schema) -> Read:
        """How a type is read."""
        if isinstance(schema, list):
            return avro_data.unions([self.read(one) for one in schema])
        if isinstance(schema, dict):
            return self._collection(schema) if schema["type"] in _ITEMS else self._scalar(schema)
        if schema not in self._types.named:
            return avro_data.PRIMITIVES[schema][0]
        if schema not in self._read:  # it may contain itself: until it is made, a call looks it up
            self._read[schema] = lambda data, at: self._read[schema](data, at)  # noqa: PLW0108
            self._read[schema] = self._named(schema)
        return self._read[schema]

    def skip(self, schema: _Schema) -> Skip:
        """How a type is skipped."""
        if isinstance(schema, list):
            return avro_data.skipped_unions([self.skip(one) for one in schema])
        if isinstance(schema, dict):
            if schema["type"] == "array":
                return avro_data.skipped_blocks([self.skip(schema["items"])], self._types.least_item(schema))
            if schema["type"] == "map":
                items = [self.skip("string"), self.skip(schema["values"])]
                return avro_data.skipped_blocks(items, self._types.least_item(schema))
            return self.skip(schema["type"])
        if schema not in self._types.named:
            return avro_data.PRIMITIVES[schema][1]
        if schema not in self._skip:
            self._skip[schema] = lambda data, at: self._skip[schema](data, at)  # noqa: PLW0108
            self._skip[schema] = self._named_skip(self._types.named[schema])
        return self._skip[schema]

    def _collection(self, schema: Mapping[str, Any]) -> Read:
        inner, least = schema[_ITEMS[schema["type"]]], self._types.least_item(schema)
        read, steps = self.read(inner), schema[_STEPS]
        if schema["type"] == "map":
            whole = avro_data.maps(read, least)
            return whole if _ALL in steps else avro_data.some_of_maps(read, self.skip(inner), steps, least)
        most = max((step + 1 for step in steps if isinstance(step, int)), default=0)
        whole = avro_data.arrays(read, least)
        return whole if _ALL in steps else avro_data.first_of_arrays(read, self.skip(inner), most, least)

    def _named(self, name: str) -> Read:
        found = self._types.named[name]
        if found["type"] == "enum":
            return avro_data.enums(found["symbols"])
        if found["type"] == "fixed":
            return self._scalar(found)
        kept = self._kept.get(name, ())
        return avro_data.records(
            [
                (one["name"], self.read(one["type"])) if one["name"] in kept else (None, self.skip(one["type"]))
                for one in found["fields"]
            ]
        )

    def _named_skip(self, found: Mapping[str, Any]) -> Skip:
        if found["type"] == "enum":
            return self.skip("int")
        if found["type"] == "fixed":
            size = found["size"]
            return lambda _, at: at + size
        return avro_data.skipped_records([self.skip(one["type"]) for one in found["fields"]])

    def _scalar(self, schema: Mapping[str, Any]) -> Read:
        size = schema.get("size")
        if "txwatch.scale" in schema:
            return avro_data.decimals(schema["txwatch.scale"], size)
        if "txwatch.per_ms" in schema:
            per_ms, written = schema["txwatch.per_ms"], times_json(self._types.form)
            return avro_data.converted(lambda number: written(number // per_ms))
        if size is not None:
            return lambda _, at: (avro_data.BYTES, at + size)
        return self.read(schema["type"])


@dataclass(slots=True)
class _Types:
    """The named types of a schema and of those that it refers to, by their full names."""

    form: TimestampFormat
    named: dict[str, dict[str, Any]] = field(default_factory=dict)
    _least: dict[str, tuple[int, int]] = field(default_factory=dict)
    """For each named type what `least` found."""
    _marked: set[tuple[str, Path]] = field(default_factory=set)

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
            return {"type": kind, _ITEMS[kind]: self.add(schema[_ITEMS[kind]], namespace), _STEPS: set()}
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
            size = schema["size"]
            if type(size) is not int or size < 0:
                raise SchemaFault(f"a fixed type has the size {size!a}")
            found |= {"size": size, **self._scalar(schema)}
        else:
            inner = full.rpartition(".")[0]
            found["fields"] = [{"name": one["name"], "type": self.add(one["type"], inner)} for one in schema["fields"]]
        return full

    def _scalar(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """A primitive type, with what its logical type means here, if anything."""
        kind, logical = schema["type"], schema.get("logicalType")
        connect = schema.get("connect.name", "")
        if kind in {"bytes", "fixed"} and (logical == "decimal" or connect == f"{_CONNECT}Decimal"):
            scale = int(schema.get("scale", schema.get("connect.parameters", {}).get("scale", 0)))
            if not 0 <= scale <= MAX_SCALE:
                raise SchemaFault(f"a decimal has the scale {scale}")
            return {"type": kind, "txwatch.scale": scale}
        if kind == "long" and connect == f"{_CONNECT}Timestamp":
            logical = "timestamp-millis"
        if kind == "long" and logical in _PER_MS:
            return {"type": kind, "txwatch.per_ms": _PER_MS[logical]}
        return {"type": kind}

    def least_item(self, schema: Mapping[str, Any]) -> int:
        """The fewest bytes of an item of an array, or of a key and a value of a map.

        Raises:
            SchemaFault: an item can have none. A few bytes of data could then say that there are any number of them.
        """
        if schema["type"] == "map":
            return 1 + self.least(schema["values"])[1]
        found = self.least(schema["items"])[1]
        if not found:
            raise SchemaFault("the items of an array can have no bytes")
        return found

    def least(self, schema: _Schema) -> tuple[int, int]:
        """How many values a value of this type is made of, and how many bytes it has, at least.

        Raises:
            SchemaFault: there are too many values.
        """
        if isinstance(schema, list):
            return 1, 1
        if isinstance(schema, dict):
            return (1, 1) if schema["type"] in _ITEMS else self.least(schema["type"])
        if schema not in self.named:
            return 1, _FIXED_BYTES.get(schema, 1)
        if schema not in self._least:
            self._least[schema] = 1, 1  # a record that contains itself has no end: reading it is refused
            found = self.named[schema]
            inner = [self.least(one["type"]) for one in found.get("fields", ())]
            size = 1 if found["type"] == "enum" else found.get("size", sum(bytes_ for _, bytes_ in inner))
            self._least[schema] = 1 + sum(values for values, _ in inner), size
            if self._least[schema][0] > MAX_VALUES:
                raise SchemaFault(f"a {schema} has more than {MAX_VALUES} values")
        return self._least[schema]

    def mark(self, schema: _Schema, path: Path, kept: dict[str, set[str]]) -> None:
        """Note in ``kept``, for each record on the way, the field that the path needs."""
        if isinstance(schema, list):
            for branch in schema:
                self.mark(branch, path, kept)
            return
        if isinstance(schema, dict):
            if path and schema["type"] in _ITEMS:
                schema[_STEPS].add(path[0])
                self.mark(schema[_ITEMS[schema["type"]]], path[1:], kept)
            elif schema["type"] in _ITEMS:
                self._keep_all(schema, kept)
            return
        if schema not in self.named or (schema, path) in self._marked:  # unions of records can lead here very often
            return
        self._marked.add((schema, path))
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
            if schema["type"] in _ITEMS:
                schema[_STEPS].add(_ALL)
                self._keep_all(schema[_ITEMS[schema["type"]]], kept)
        elif schema in self.named:
            fields = self.named[schema].get("fields", ())
            names = {one["name"] for one in fields}
            if not names <= kept.get(schema, set()):
                kept[schema] = names
                for one in fields:
                    self._keep_all(one["type"], kept)

    def written_out(self, schema: _Schema, seen: set[str]) -> _Schema:
        """The schema for fastavro, each named type where it is met first."""
        if isinstance(schema, list):
            return [self.written_out(one, seen) for one in schema]
        if isinstance(schema, dict):
            inner = _ITEMS.get(schema["type"])
            return {"type": schema["type"], **({inner: self.written_out(schema[inner], seen)} if inner else {})}
        if schema not in self.named or schema in seen:
            return schema
        seen.add(schema)
        found = dict(self.named[schema])
        if "fields" in found:
            found["fields"] = [
                {"name": one["name"], "type": self.written_out(one["type"], seen)} for one in found["fields"]
            ]
        return found


def _full_name(name: str, namespace: str | None) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
