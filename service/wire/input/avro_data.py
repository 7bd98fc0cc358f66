"""Reads data of Avro: for each type a function, made once for a schema.

fastavro finds out for each value again what its type is, which costs more than reading it. What no path needs is
skipped here, not read. Each function takes the data and a position, and returns the position behind the value.
Positions only grow, so the caller checks once, at the end, that the data did not end earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from struct import Struct
from typing import Any, Final

from service.wire.input.numbers import decimal_json, double_json, float_json

Read = Callable[[bytes, int], tuple[Any, int]]
Skip = Callable[[bytes, int], int]

BYTES: Final = {"bytes": None}
"""Stands for bytes, which are neither a text nor a number."""
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


def arrays(item: Read, least: int) -> Read:
    """Arrays, whose items have at least so many bytes."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        found = []
        count, at, _ = _block(data, at, least)
        while count:
            for _ in range(count):
                one, at = item(data, at)
                found.append(one)
            count, at, _ = _block(data, at, least)
        return found, at

    return read


def maps(value: Read, least: int) -> Read:
    """Maps, whose keys are texts; a key and its value have at least so many bytes."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        found = {}
        count, at, _ = _block(data, at, least)
        while count:
            for _ in range(count):
                key, at = read_string(data, at)
                found[key], at = value(data, at)
            count, at, _ = _block(data, at, least)
        return found, at

    return read


def first_of_arrays(item: Read, skip: Skip, most: int, least: int) -> Read:
    """The first ``most`` items of arrays; the others are skipped."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        found: list[object] = []
        count, at, _ = _block(data, at, least)
        while count:
            for _ in range(count):
                if len(found) < most:
                    one, at = item(data, at)
                    found.append(one)
                else:
                    at = skip(data, at)
            count, at, _ = _block(data, at, least)
        return found, at

    return read


def some_of_maps(value: Read, skip: Skip, keys: Collection[object], least: int) -> Read:
    """The entries of maps that have these keys; the values of the others are skipped."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        found = {}
        count, at, _ = _block(data, at, least)
        while count:
            for _ in range(count):
                key, at = read_string(data, at)
                if key in keys:
                    found[key], at = value(data, at)
                else:
                    at = skip(data, at)
            count, at, _ = _block(data, at, least)
        return found, at

    return read


def skipped_blocks(items: list[Skip], least: int) -> Skip:
    """Arrays, or maps (a key and a value for each element, of at least so many bytes), that no path needs."""

    def skip(data: bytes, at: int) -> int:
        count, at, size = _block(data, at, least)
        while count:
            if size is None:
                for _ in range(count):
                    for item in items:
                        at = item(data, at)
            else:
                at += size
            count, at, size = _block(data, at, least)
        return at

    return skip


def _block(data: bytes, at: int, least: int) -> tuple[int, int, int | None]:
    """How many elements follow, where, and in how many bytes if that is written.

    Raises:
        IndexError: the data end before so many elements could; reading them would take as long as their number says.
    """
    count, at = read_long(data, at)
    size = None
    if count < 0:
        size, at = _read_size(data, at)
        count = -count
    if count * least > len(data) - at:
        raise IndexError
    return count, at, size


def _one_of(all_of_them: list[Any], number: int) -> Any:  # noqa: ANN401
    if not 0 <= number < len(all_of_them):
        raise ValueError(f"a union or an enum has no number {number}")
    return all_of_them[number]
