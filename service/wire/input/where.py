"""`INPUT_WHERE`: which records count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from service.wire.input.paths import MappingError, Path, parse_path, split, unescaped
from service.wire.input.shape import Getter, Shape, decode_object

_BARE: Final = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_decode_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition: the value at a path, as text, is one of these."""

    path: Path
    texts: frozenset[str]


def parse_where(text: str) -> tuple[Clause, ...]:
    """Parse ``path=value[,value…]``, several joined by ``;``. An empty text gives none.

    Raises:
        MappingError: it is no such text.
    """
    return tuple(map(_parse_clause, split(text, ";"))) if text else ()


def _parse_clause(text: str) -> Clause:
    path, *values = split(text, "=")
    if len(values) != 1:
        raise MappingError("is no path=value[,value…], several joined by ;")
    if path.startswith("@"):
        raise MappingError(f"has {path!a}, which is not possible here; write \\@ if a field's name begins so")
    return Clause(parse_path(path), frozenset(map(unescaped, split(values[0], ","))))


class Where:
    """Compiled conditions, all of which must match."""

    def __init__(self, clauses: Sequence[Clause]) -> None:
        """Compile them.

        Raises:
            MappingError: the paths do not fit together.
        """
        self._shape = Shape([(one.path, msgspec.Raw) for one in clauses], optional=True)
        self._conditions = [(_Condition(one.texts), get) for one, get in zip(clauses, self._shape.getters, strict=True)]
        self._apart = [Shape([(one.path, msgspec.Raw)], optional=True) for one in clauses]

    def matches(self, values: Sequence[bytes]) -> list[bool]:
        """Whether each value matches.

        Raises:
            msgspec.MsgspecError, RecursionError, UnicodeDecodeError: a value does not have the shape of the paths.
        """
        roots = self._shape.read(values)
        found = [condition.each(get, roots) for condition, get in self._conditions]
        return found[0] if len(found) == 1 else list(map(all, zip(*found, strict=True)))

    def matches_one(self, value: bytes) -> bool:
        """Whether a value of another shape matches. A missing path does not match.

        What is no JSON object matches, so that it is rejected.
        """
        try:
            decode_object(value)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return True
        for (condition, _), shape in zip(self._conditions, self._apart, strict=True):
            try:
                (matches,) = condition.each(shape.getters[0], shape.read([value]))
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                return False
            if not matches:
                return False
        return True


class _Condition:
    """The texts of one clause, and how JSON writes them."""

    def __init__(self, texts: frozenset[str]) -> None:
        self._texts = texts
        self._written = {msgspec.json.encode(one) for one in texts}
        self._written |= {one.encode() for one in texts if _BARE.fullmatch(one)}

    def each(self, get: Getter, roots: Sequence[object]) -> list[bool]:
        written = self._written
        return [
            raw in written or (b"\\" in raw and raw[:1] == b'"' and _decode_text(raw) in self._texts)
            for raw in map(bytes, map(get, roots))
        ]
