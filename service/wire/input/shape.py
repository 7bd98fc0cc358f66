"""Typed structs made from paths: what msgspec reads of a record, and getters for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from operator import attrgetter
from typing import Any, Final

import msgspec

from service.wire.input.paths import MappingError, Path, shown

Getter = Callable[[Any], Any]
_Tree = dict[str | int, Any]
_ABSENT: Final = msgspec.Raw(b"")
"""Stands for a value that is not there, where a shape allows that."""


decode_object: Final = msgspec.json.Decoder(msgspec.defstruct("Record", [])).decode
"""Checks that a value is a JSON object, whatever its fields."""


class Shape:
    """Reads values at some paths of a JSON object. Further fields are skipped; anything but an object is refused."""

    def __init__(self, wanted: Sequence[tuple[Path, Any]], *, optional: bool = False) -> None:
        """Compile the paths, each with the type of its value. A path may be there twice.

        With ``optional`` each type is msgspec.Raw, and a missing value is read as empty bytes.

        Raises:
            MappingError: one path goes through the value of another.
        """
        leaves: dict[Path, Any] = {}
        for path, leaf in wanted:
            leaves[path] = leaf if leaves.get(path, leaf) == leaf else msgspec.Raw
        tree: _Tree = {}
        for path, leaf in leaves.items():
            _add(tree, path, leaf)
        attributes: dict[Path, str] = {}
        struct = _struct(tree, (), attributes, optional=optional)
        self._decode: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(struct).decode
        # Where all values are in one inner object, that is looked up once.
        levels = zip(*(attributes[path].split(".")[:-1] for path, _ in wanted), strict=False)
        above = [names[0] for names in takewhile(lambda names: len(set(names)) == 1, levels)]
        self._base = attrgetter(".".join(above)) if above else None
        self.getters: Final[list[Getter]] = [
            _getter(".".join(attributes[path].split(".")[len(above) :]), None if leaves[path] == leaf else leaf)
            for path, leaf in wanted
        ]
        """For each of the paths, a function from what read() returns for a record to the value."""

    def read(self, values: Sequence[bytes]) -> list[Any]:
        """Read the values of records.

        Raises:
            msgspec.MsgspecError, UnicodeDecodeError, RecursionError: a value does not have this shape.
        """
        roots = list(map(self._decode, values))
        return roots if self._base is None else list(map(self._base, roots))


def _getter(attribute: str, leaf: Any) -> Getter:  # noqa: ANN401 - a type
    get = attrgetter(attribute)
    if leaf is None:
        return get
    decode = msgspec.json.Decoder(leaf).decode  # the value has two uses of different types
    return lambda root: decode(get(root))


def _add(tree: _Tree, path: Path, leaf: Any) -> None:  # noqa: ANN401 - a type
    at = tree
    for depth, step in enumerate(path, 1):
        if at and isinstance(step, int) != isinstance(next(iter(at)), int):
            raise MappingError(f"takes {shown(path[: depth - 1])} as an array and as an object")
        if depth == len(path):
            if isinstance(at.get(step), dict):
                raise MappingError(f"takes {shown(path)} as a value and as an object or array")
            at[step] = leaf
            return
        at = at.setdefault(step, {})
        if not isinstance(at, dict):
            raise MappingError(f"takes {shown(path[:depth])} as a value and as an object or array")


def _struct(tree: _Tree, above: Path, attributes: dict[Path, str], *, optional: bool) -> Any:  # noqa: ANN401 - a type
    """The struct of one level. ``attributes`` gets each path's dotted name in the structs."""
    is_array = any(isinstance(step, int) for step in tree)
    steps: list[str | int] = (
        list(range(max(step for step in tree if isinstance(step, int)) + 1)) if is_array else [*tree]
    )
    prefix = attributes.get(above, "")
    fields: list[Any] = []
    for number, step in enumerate(steps):
        name, node = f"f{number}", tree.get(step, msgspec.Raw)
        attributes[*above, step] = f"{prefix}.{name}" if prefix else name
        if isinstance(node, dict):
            inner = _struct(node, (*above, step), attributes, optional=optional)
            fields.append((name, inner, msgspec.field(default_factory=inner)) if optional else (name, inner))
        else:
            fields.append((name, node, _ABSENT) if optional else (name, node))
    rename = None if is_array else {f"f{number}": str(step) for number, step in enumerate(steps)}
    return msgspec.defstruct("Record", fields, rename=rename, array_like=is_array, gc=False)
