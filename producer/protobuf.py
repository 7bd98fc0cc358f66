"""Rows as messages of Protobuf: the first message of the schema's file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from producer.reading.rows import Rows
from service.core.money import EXACT
from service.process import protoc

_Convert = Callable[[Any], Any]

_NANOS: Final = 1_000_000_000
_WRONG: Final = (ValueError, TypeError, ArithmeticError)
"""What a message raises where it cannot hold a value."""


class SchemaRefusedError(ValueError):
    """The schema cannot hold rows; the text is one line and begins with the option."""


def default_protobuf(extra: Sequence[str]) -> str:
    """The schema of txwatch's own records with these further fields. Amounts are text, which holds any.

    Raises:
        SchemaRefusedError: a name is none of Protobuf.
    """
    for name in extra:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise SchemaRefusedError(f"--extra: {name!a} cannot be the name of a field of Protobuf")
    fields = ["string transaction_id", "google.protobuf.Timestamp timestamp", "string amount"]
    fields += [f"optional string {name}" for name in extra]
    lines = [f"  {field} = {number};\n" for number, field in enumerate(fields, 1)]
    head = 'syntax = "proto3";\nimport "google/protobuf/timestamp.proto";\n'
    return f"{head}message Transaction {{\n{''.join(lines)}}}\n"


def protobuf_encoder(text: str, extra: Sequence[str]) -> Callable[[Rows, int], Sequence[bytes | None]]:
    """What encodes rows, with the message's index before each; None stands for a row that the schema cannot hold.

    Raises:
        ImportError: the extra is not installed.
        SchemaRefusedError: the schema has no message, or lacks a field.
        protoc.ProtocError: protoc could not run.
    """
    protoc.check_installed()
    message = _first_message(text)
    fields = message.DESCRIPTOR.fields_by_name
    names = ("transaction_id", "timestamp", "amount", *extra)
    if missing := [name for name in names if name not in fields]:
        raise SchemaRefusedError(f"--schema: it has no field {missing[0]}")
    time_of, amount_of = _time(fields["timestamp"]), _amount(fields["amount"])

    def one(identity: str, time_ms: int, amount: str, *cells: str) -> bytes | None:
        filled = {name: cell for name, cell in zip(extra, cells, strict=True) if cell}
        try:
            built = message(transaction_id=identity, timestamp=time_of(time_ms), amount=amount_of(amount), **filled)
            return b"\0" + bytes(built.SerializeToString())
        except _WRONG:
            return None

    return lambda rows, shift_ms: [
        one(identity, time_ms + shift_ms, amount, *cells)
        for identity, time_ms, amount, *cells in zip(
            rows.transaction_ids, rows.timestamps_ms, rows.amounts, *rows.extra, strict=True
        )
    ]


def _first_message(text: str) -> Any:  # noqa: ANN401 - a class made while the program runs
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    try:
        files = FileDescriptorSet.FromString(protoc.descriptors(text)).file
    except protoc.ProtoFault as fault:
        raise SchemaRefusedError(f"--schema: no schema of Protobuf: {fault}") from None
    if not files[-1].message_type:
        raise SchemaRefusedError("--schema: it has no message")
    pool: Any = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    make: Any = GetMessageClass
    name = f"{files[-1].package}.{files[-1].message_type[0].name}".lstrip(".")
    return make(pool.FindMessageTypeByName(name))


def _type_name(field: Any) -> str:  # noqa: ANN401 - a field's descriptor
    return field.message_type.full_name if field.message_type else ""


def _time(field: Any) -> _Convert:  # noqa: ANN401
    if _type_name(field) == "google.protobuf.Timestamp":
        return lambda time_ms: {"seconds": time_ms // 1_000, "nanos": time_ms % 1_000 * 1_000_000}
    return int


def _amount(field: Any) -> _Convert:  # noqa: ANN401
    """From the text of a JSON number to what the field takes; only a float is not exact."""
    if field.message_type is not None:
        return _AMOUNTS.get(_type_name(field), str)
    if field.cpp_type in {field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT}:
        return float
    return str if field.type == field.TYPE_STRING else lambda text: whole(Decimal(text))


def whole(number: Decimal) -> int:
    """A whole number as an int.

    Raises:
        InvalidOperation: it has a fraction.
    """
    if number != number.to_integral_value():
        raise InvalidOperation
    return int(number)


def _money(text: str) -> dict[str, int]:
    nanos = whole(Decimal(text).scaleb(9, EXACT))
    sign = -1 if nanos < 0 else 1
    return {"units": sign * (abs(nanos) // _NANOS), "nanos": sign * (abs(nanos) % _NANOS)}


def _decimal(text: str) -> dict[str, Any]:
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    scale = max(0, -exponent) if isinstance(exponent, int) else 0
    units = whole(number.scaleb(scale, EXACT))
    value = units.to_bytes(units.bit_length() // 8 + 1, signed=True)
    return {"value": value, "precision": len(str(abs(units))), "scale": scale}


_AMOUNTS: Final[Mapping[str, _Convert]] = {"google.type.Money": _money, "confluent.type.Decimal": _decimal}
