"""Protobuf: for each message of a schema a class with the mapped fields alone, and how it becomes JSON.

The parser is Protobuf's own, in C. It skips the fields that the class does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from service.core.model import Reason
from service.wire.decoder import Rejection
from service.wire.input.columns import TimestampFormat
from service.wire.input.numbers import MAX_SCALE, decimal_json, double_json, float_json, times_json
from service.wire.input.paths import Path
from service.wire.input.registered import SchemaFault, ToJson

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

_Message = Any
_Tree = dict[str | int, Any]
"""The steps of paths; a path ends at an empty one."""
_Kept = dict[str, set[str]]
"""For each message, by its full name, the names of the fields that are read."""
_Convert = Callable[[Any], Any]

MAX_INDEXES: Final = 100
_BYTES: Final = {"bytes": None}
"""Stands for bytes, which are neither a text nor a number."""
_NANOS: Final = 1_000_000_000
_WRAPPERS: Final[Mapping[str, _Convert]] = {
    "google.protobuf.DoubleValue": lambda one: double_json(one.value),
    "google.protobuf.FloatValue": lambda one: float_json(one.value),
    "google.protobuf.BytesValue": lambda _: _BYTES,
    **dict.fromkeys(
        [f"google.protobuf.{name}Value" for name in ("Int64", "UInt64", "Int32", "UInt32", "Bool", "String")],
        lambda one: one.value,
    ),
}
_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "google.protobuf.Timestamp": {"seconds": "INT64", "nanos": "INT32"},
    "google.type.Money": {"units": "INT64", "nanos": "INT32"},
    "confluent.type.Decimal": {"value": "BYTES", "scale": "INT32"},
    **{name: {"value": name.removeprefix("google.protobuf.").removesuffix("Value").upper()} for name in _WRAPPERS},
}
"""Messages that are one value, with the fields that make it and their types."""
_encode: Final = msgspec.json.Encoder().encode


def compile_protobuf(descriptors: bytes, paths: Sequence[Path], form: TimestampFormat) -> ToJson:
    """A function from a record's data to JSON with what is at these paths; times are written in ``form``.

    The data begin with the message's indexes. ``descriptors`` are what protoc made of the schema. A path that the
    message does not have is left out.

    Raises:
        SchemaFault: the descriptors do not fit together, or have no message.
    """
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415 - who reads JSON does not need it
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    tree: _Tree = {}
    for path in paths:
        at = tree
        for step in path:
            at = at.setdefault(step, {})
    try:
        messages = _Messages(FileDescriptorSet.FromString(descriptors), tree, form)
        messages.add((0,))
    except DecodeError:
        raise SchemaFault("no schema of Protobuf: nested too deeply") from None
    except LookupError:
        raise SchemaFault("no schema of Protobuf: it has no message") from None
    return messages.to_json


def split_indexes(data: bytes) -> tuple[tuple[int, ...], int]:
    """A message's indexes: its place in the file, then its place in each outer message; and where they end.

    They are zigzag varints, their number first. The number 0 stands for the first message.

    Raises:
        ValueError: the data do not begin so.
    """
    count, end = _varint(data, 0)
    if not 0 <= count <= MAX_INDEXES:
        raise ValueError(f"{count} message indexes")
    indexes = []
    for _ in range(count):
        index, end = _varint(data, end)
        indexes.append(index)
    return tuple(indexes) or (0,), end


def _varint(data: bytes, start: int) -> tuple[int, int]:
    value = 0
    for length, byte in enumerate(data[start : start + 5]):
        value |= (byte & 0x7F) << (7 * length)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says more bytes follow
            return (value >> 1) ^ -(value & 1), start + length + 1
    raise ValueError("a message index does not end")


class _Messages:
    """The messages of one schema that records were met of."""

    def __init__(self, files: FileDescriptorSet, tree: _Tree, form: TimestampFormat) -> None:
        from google.protobuf.message import DecodeError  # noqa: PLC0415

        kept: _Kept = {}
        try:
            for message in _messages_of(_classes(files).FindFileByName(files.file[-1].name).message_types_by_name):
                _mark(message, tree, kept)
            self._classes = _classes(_reduced(files, kept))
        except (TypeError, LookupError) as error:
            raise SchemaFault(f"no schema of Protobuf: {' '.join(str(error).split())}") from None
        self._own, self._tree, self._form = files.file[-1], tree, form
        self._readers: dict[tuple[int, ...], ToJson] = {}
        self._wrong_data = (DecodeError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)

    def to_json(self, data: bytes) -> bytes:
        """A record as JSON.

        Raises:
            Rejection: the data are not those of the schema.
        """
        try:
            indexes, start = ((0,), 1) if data[:1] == b"\0" else split_indexes(data)
            read = self._readers.get(indexes) or self.add(indexes)
            return read(data[start:])
        except self._wrong_data as error:
            what = " ".join(f"{type(error).__name__} {error}".split())
            raise Rejection(Reason.SCHEMA, f"the data are not those of the schema: {what}") from None

    def add(self, indexes: tuple[int, ...]) -> ToJson:
        """How records of this message become JSON. It is made where a record of it is first met.

        Raises:
            LookupError: the schema has no such message.
        """
        message = self._classes.FindMessageTypeByName(_name_of(self._own, indexes))
        parse = _class_of(message).FromString
        to_values = _object(message, self._tree, self._form)
        self._readers[indexes] = found = lambda data: _encode(to_values(parse(data)))
        return found


def _name_of(own: FileDescriptorProto, indexes: tuple[int, ...]) -> str:
    """The full name of a message of this file.

    Raises:
        LookupError: there is none.
    """
    names = [own.package] if own.package else []
    inner = own.message_type
    for index in indexes:
        if not 0 <= index < len(inner):
            raise LookupError(f"the schema has no message with the indexes {list(indexes)}")
        names.append(inner[index].name)
        inner = inner[index].nested_type
    return ".".join(names)


# ---- the classes --------------------------------------------------------------------------------------------


def _classes(files: FileDescriptorSet) -> Any:  # noqa: ANN401 - a pool, of a library without types
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415

    pool = DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _class_of(message: Descriptor) -> Any:  # noqa: ANN401 - a class made while the program runs
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    return GetMessageClass(message)


def _messages_of(by_name: Mapping[str, Descriptor]) -> Iterable[Descriptor]:
    """These messages and those inside them."""
    for message in by_name.values():
        yield message
        yield from _messages_of(message.nested_types_by_name)


def _mark(message: Descriptor, tree: _Tree, kept: _Kept) -> None:
    """Note in ``kept``, for each message on the way, the fields that the paths need."""
    for name, field, inner in _needed(message, tree):
        # The last of a oneof's fields counts, so the parser must know all of them.
        oneof = field.containing_oneof
        kept.setdefault(message.full_name, set()).update(
            [name] if oneof is None else [one.name for one in oneof.fields]
        )
        value = field.message_type
        if value is None:
            continue
        if (entry := _entry_of(field)) is not None:
            trees = list(inner.values())
            value = entry.fields_by_name["value"].message_type
            if value is None:
                continue
        else:
            trees = [one for step, one in inner.items() if isinstance(step, int)] if field.is_repeated else [inner]
        for one in trees:
            if one:
                _mark(value, one, kept)
            elif _is_value(value):
                kept.setdefault(value.full_name, set()).update(_VALUES[value.full_name])


def _is_value(message: Descriptor) -> bool:
    """Whether it is one value. A schema may have a message of its own with such a name, and other fields."""
    return message.full_name in _VALUES and all(
        (field := message.fields_by_name.get(name)) is not None
        and field.type == getattr(field, f"TYPE_{kind}")
        and not field.is_repeated
        and field.containing_oneof is None
        for name, kind in _VALUES[message.full_name].items()
    )


def _needed(message: Descriptor, tree: _Tree) -> Iterable[tuple[str, FieldDescriptor, _Tree]]:
    for name, inner in tree.items():
        if isinstance(name, str) and (field := message.fields_by_name.get(name)) is not None:
            yield name, field, inner


def _entry_of(field: FieldDescriptor) -> Descriptor | None:
    """The message of a map's entries; None where the field is no map."""
    message = field.message_type
    return message if message is not None and message.GetOptions().map_entry else None


def _reduced(files: FileDescriptorSet, kept: _Kept) -> FileDescriptorSet:
    """The files with the fields alone that are kept."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415

    found = FileDescriptorSet()
    found.CopyFrom(files)
    for file in found.file:
        if file.package == "google.protobuf" and file.name.endswith("/descriptor.proto"):
            continue  # the options of all others are its messages
        del file.extension[:], file.service[:]
        for message in file.message_type:
            _reduce(message, f"{file.package}.{message.name}".lstrip("."), kept)
    return found


def _reduce(message: DescriptorProto, name: str, kept: _Kept) -> None:
    if not message.options.map_entry:
        fields = [field for field in message.field if field.name in kept.get(name, ())]
        oneofs = sorted({field.oneof_index for field in fields if field.HasField("oneof_index")})
        declared = [message.oneof_decl[index] for index in oneofs]
        for field in fields:
            if field.HasField("oneof_index"):
                field.oneof_index = oneofs.index(field.oneof_index)
        _replace(message.field, fields)
        _replace(message.oneof_decl, declared)
        del message.extension[:], message.extension_range[:], message.reserved_range[:], message.reserved_name[:]
        message.options.ClearField("message_set_wire_format")
    for inner in message.nested_type:
        _reduce(inner, f"{name}.{inner.name}", kept)


def _replace(all_of_them: Any, by: Collection[Any]) -> None:  # noqa: ANN401 - a repeated field
    copies = [type(one).FromString(one.SerializeToString()) for one in by]
    del all_of_them[:]
    all_of_them.extend(copies)


# ---- from messages to what JSON is made of ------------------------------------------------------------------


def _object(message: Descriptor, tree: _Tree, form: TimestampFormat) -> Callable[[_Message], dict[str, Any]]:
    """From a message to the values at the paths. A field that is not set is left out, if it can be unset."""
    plan = [(name, _can_be_missing(field), _field(field, inner, form)) for name, field, inner in _needed(message, tree)]

    def read(values: _Message) -> dict[str, Any]:
        found = {}
        for name, can_be_missing, convert in plan:
            if can_be_missing and not values.HasField(name):
                continue
            value = getattr(values, name)
            found[name] = value if convert is None else convert(value)
        return found

    return read


def _can_be_missing(field: FieldDescriptor) -> bool:
    """Whether it can be unset; an unset one of proto2 with a default of its own is that."""
    return bool(field.has_presence) and not field.has_default_value


def _field(field: FieldDescriptor, inner: _Tree, form: TimestampFormat) -> _Convert | None:
    """From a field's value to that of the paths below it; None where it stays as it is."""
    if (entry := _entry_of(field)) is not None:
        return _map(entry, inner, form)
    if field.is_repeated:
        count = max((step + 1 for step in inner if isinstance(step, int)), default=0)
        each = [_value(field, inner.get(at, {}), form) for at in range(count)]
        return lambda values: [
            value if convert is None else convert(value) for value, convert in zip(values, each, strict=False)
        ]
    return _value(field, inner, form)


def _map(entry: Descriptor, inner: _Tree, form: TimestampFormat) -> _Convert:
    """The entries that a path needs. They are looked up: a map may have very many."""
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    plan = [
        (name, at, _value(value, below, form))
        for name, below in inner.items()
        if isinstance(name, str) and (at := _key(key, name)) is not None
    ]

    def read(values: Any) -> dict[str, Any]:  # noqa: ANN401 - a map
        return {
            name: values[at] if convert is None else convert(values[at]) for name, at, convert in plan if at in values
        }

    return read


def _key(field: FieldDescriptor, name: str) -> str | int | bool | None:
    """The key of a map whose text is this step of a path; None where the map can have none such."""
    if field.type == field.TYPE_STRING:
        return name
    if field.type == field.TYPE_BOOL:
        return {"false": False, "true": True}.get(name)
    bits = 32 if field.cpp_type in {field.CPPTYPE_INT32, field.CPPTYPE_UINT32} else 64
    least = -(1 << (bits - 1)) if field.cpp_type in {field.CPPTYPE_INT32, field.CPPTYPE_INT64} else 0
    try:
        number = int(name)
    except ValueError:
        return None
    return number if str(number) == name and least <= number < least + (1 << bits) else None


def _value(field: FieldDescriptor, inner: _Tree, form: TimestampFormat) -> _Convert | None:
    """From one value to that of the paths below it."""
    if field.message_type is not None:
        if inner:
            return _object(field.message_type, inner, form)
        return _whole(field.message_type, form)
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    if field.type == field.TYPE_BYTES:
        return lambda _: _BYTES
    return {field.TYPE_DOUBLE: double_json, field.TYPE_FLOAT: float_json}.get(field.type)


def _whole(message: Descriptor, form: TimestampFormat) -> _Convert:
    """From a message at which a path ends to its value; other messages are an object without anything."""
    if not _is_value(message):
        return lambda _: {}
    name = message.full_name
    if name == "google.protobuf.Timestamp":
        written = times_json(form)
        return lambda one: written(one.seconds * 1_000 + _nanos(one.nanos, 0) // 1_000_000)
    if name == "google.type.Money":
        return lambda one: decimal_json(one.units * _NANOS + _nanos(one.nanos, 1 - _NANOS), 9)
    if name == "confluent.type.Decimal":
        return _decimal
    return _WRAPPERS[name]


def _nanos(nanos: int, least: int) -> int:
    if not least <= nanos < _NANOS:
        raise ValueError(f"{nanos} nanos")
    return nanos


def _decimal(one: _Message) -> msgspec.Raw:
    if not 0 <= one.scale <= MAX_SCALE:
        raise ValueError(f"a decimal has the scale {one.scale}")
    return decimal_json(int.from_bytes(one.value, signed=True), one.scale)
