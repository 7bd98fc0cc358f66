"""Reads data of Avro: for each type a function, made once for a schema.

fastavro finds out for each value again what its type is, which costs more than reading it. What no path needs is
skipped here, not read. Each function takes the data and a position, and returns the position behind the value.
Positions only grow, so the caller checks once, at the end, that the data did not end earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final

from service.wire.input.numbers import decimal_json, double_json, float_json

Read = Callable[[bytes, int], tuple[Any, int]]
Skip = Callable[[bytes, int], int]

BYTES: Final = {"bytes": None}
"""Stands for bytes, which are neither a text nor a number."""
EMPTY_ELEMENTS: Final = 1_000
"""So many elements of an array may have no bytes at all, as nulls have."""
_LAST_SHIFT: Final = 63
_unpack_float: Final = Struct("<f").unpack_from
_unpack_double: Final = Struct("<d").unpack_from


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint.

    Raises:
        IndexError: the data end within it.
        ValueError: it has more than 64 bits.
    """
    byte = data[at]
    at += 1
    if byte < 0x80:  # noqa: PLR2004 - the bit that says more bytes follow
        return (byte >> 1) ^ -(byte & 1), at
    value, shift = byte & 0x7F, 7
    while (byte := data[at]) >= 0x80:  # noqa: PLR2004
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > _LAST_SHIFT:
            raise ValueError("a number has more than 64 bits")
    value |= byte << shift
    return (value >> 1) ^ -(value & 1), at + 1


def _read_size(data: bytes, at: int) -> tuple[int, int]:
    size, at = read_long(data, at)
    if size < 0:
        raise ValueError(f"a value has the length {size}")
    return size, at


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """A text."""
    size = data[at]
    if size & 0x81:  # longer than 63 bytes, or negative
        size, at = _read_size(data, at)
        end = at + size
    else:
        at += 1
        end = at + (size >> 1)
    return data[at:end].decode(), end


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    return data[at] != 0, at + 1


def _read_float(data: bytes, at: int) -> tuple[object, int]:
    return float_json(_unpack_float(data, at)[0]), at + 4


def _read_double(data: bytes, at: int) -> tuple[object, int]:
    return double_json(_unpack_double(data, at)[0]), at + 8


def _read_bytes(data: bytes, at: int) -> tuple[object, int]:
    return BYTES, _skip_bytes(data, at)


def _skip_bytes(data: bytes, at: int) -> int:
    size = data[at]
    if size & 0x81:  # longer than 63 bytes, or negative
        size, at = _read_size(data, at)
        return at + size
    return at + 1 + (size >> 1)


def _skip_long(data: bytes, at: int) -> int:
    while data[at] >= 0x80:  # noqa: PLR2004 - the bit that says more bytes follow
        at += 1
    return at + 1


PRIMITIVES: Final[Mapping[str, tuple[Read, Skip]]] = {
    "null": (lambda _, at: (None, at), lambda _, at: at),
    "boolean": (_read_boolean, lambda _, at: at + 1),
    "int": (read_long, _skip_long),
    "long": (read_long, _skip_long),
    "float": (_read_float, lambda _, at: at + 4),
    "double": (_read_double, lambda _, at: at + 8),
    "bytes": (_read_bytes, _skip_bytes),
    "string": (read_string, _skip_bytes),
}
"""For each, how it is read and how it is skipped."""


def decimals(scale: int, size: int | None) -> Read:
    """Decimals with so many places, in ``size`` bytes each; without it, their length is before them."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        length, at = _read_size(data, at) if size is None else (size, at)
        end = at + length
        return decimal_json(int.from_bytes(data[at:end], signed=True), scale), end

    return read


def converted(convert: Callable[[int], object]) -> Read:
    """Whole numbers that mean something else."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        number, at = read_long(data, at)
        return convert(number), at

    return read


def enums(symbols: list[str]) -> Read:
    """Symbols by their number."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        number, at = read_long(data, at)
        return _one_of(symbols, number), at

    return read


def records(fields: list[tuple[str | None, Any]]) -> Read:
    """Records. A field without a name is skipped: its function is a Skip, all others are a Read."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        found = {}
        for name, take in fields:
            if name is None:
                at = take(data, at)
            else:
                found[name], at = take(data, at)
        return found, at

    return read


def skipped_records(fields: list[Skip]) -> Skip:
    """Records that no path needs."""

    def skip(data: bytes, at: int) -> int:
        for take in fields:
            at = take(data, at)
        return at

    return skip


def unions(branches: list[Read]) -> Read:
    """One of several types."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        number, at = read_long(data, at)
        found: tuple[object, int] = _one_of(branches, number)(data, at)
        return found

    return read


def skipped_unions(branches: list[Skip]) -> Skip:
    """Unions that no path needs."""

    def skip(data: bytes, at: int) -> int:
        number, at = read_long(data, at)
        end: int = _one_of(branches, number)(data, at)
        return end

    return skip


def arrays(item: Read) -> Read:
    """Arrays."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        found = []
        count, at, _ = _block(data, at)
        while count:
            for _ in range(count):
                one, at = item(data, at)
                found.append(one)
            count, at, _ = _block(data, at)
        return found, at

    return read


def maps(value: Read) -> Read:
    """Maps, whose keys are texts."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        found = {}
        count, at, _ = _block(data, at)
        while count:
            for _ in range(count):
                key, at = read_string(data, at)
                found[key], at = value(data, at)
            count, at, _ = _block(data, at)
        return found, at

    return read


def skipped_blocks(items: list[Skip]) -> Skip:
    """Arrays, or maps (a key and a value for each element), that no path needs."""

    def skip(data: bytes, at: int) -> int:
        count, at, size = _block(data, at)
        while count:
            if size is None:
                for _ in range(count):
                    for item in items:
                        at = item(data, at)
            else:
                at += size
            count, at, size = _block(data, at)
        return at

    return skip


def _block(data: bytes, at: int) -> tuple[int, int, int | None]:
    """How many elements follow, where, and in how many bytes if that is written."""
    count, at = read_long(data, at)
    size = None
    if count < 0:
        size, at = _read_size(data, at)
        count = -count
    if count > len(data) + EMPTY_ELEMENTS:  # elements without any bytes would take as long as their number says
        raise ValueError(f"a block has {count} elements in fewer bytes")
    return count, at, size


def _one_of(all_of_them: list[Any], number: int) -> Any:  # noqa: ANN401
    if not 0 <= number < len(all_of_them):
        raise ValueError(f"a union or an enum has no number {number}")
    return all_of_them[number]
