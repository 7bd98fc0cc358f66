r"""Paths into a record: ``card.id``, ``items[0].price``, ``a\.b``, and lists of them."""

from __future__ import annotations

import re
from typing import Final

KEY: Final = "@key"
TIMESTAMP: Final = "@timestamp"
MAX_INDEX: Final = 999
MAX_STEPS: Final = 50
_UNREADABLE: Final = frozenset('"\\')
"""msgspec takes no struct whose fields have these in their names."""
_SPECIAL: Final = frozenset(".[]+@\\,;= ")
_INDEX: Final = re.compile(r"\[([0-9]{1,9})\]")

Path = tuple[str | int, ...]
"""Names of fields, and indexes of elements from 0. The first is a name."""


class MappingError(ValueError):
    """A setting of the mapping cannot be used. The text continues a sentence that begins with the value.

    ``field`` is the field of the setting where only all of them together show the fault.
    """

    field = ""


def parse_path(text: str) -> Path:
    """Parse one path.

    Raises:
        MappingError: it is no path.
    """
    steps: list[str | int] = []
    for part in split(text, "."):
        name, indexes = _name_and_indexes(part)
        steps += [unescaped(name), *indexes]
    if any(isinstance(step, str) and not _UNREADABLE.isdisjoint(step) for step in steps):
        raise MappingError('has " or \\ in a name, which cannot be read')
    if len(steps) > MAX_STEPS:
        raise MappingError(f"has more than {MAX_STEPS} steps")
    return tuple(steps)


def parse_id(text: str) -> tuple[Path | None, ...]:
    """Parse what ids are made of: paths, joined by ``+``. None stands for ``@key``.

    Raises:
        MappingError: a part is neither a path nor ``@key``.
    """
    return tuple(None if part == KEY else parse_path(_without_at(part, KEY)) for part in split(text, "+"))


def parse_timestamp(text: str) -> Path | None:
    """Parse the path of the event time; None stands for ``@timestamp``.

    Raises:
        MappingError: it is neither.
    """
    return None if text == TIMESTAMP else parse_path(_without_at(text, TIMESTAMP))


def parse_amount(text: str) -> Path | None:
    """Parse the path of the amount; None, from an empty text, stands for 1.

    Raises:
        MappingError: it is no path.
    """
    return parse_path(_without_at(text, "")) if text else None


def shown(path: Path) -> str:
    """A path as people write it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = re.sub(r"([.\[\]+@\\,;=])", r"\\\1", step)
            text += f".{name}" if text else name
    return text


def split(text: str, separator: str) -> list[str]:
    r"""Split at each separator that no ``\`` escapes. The parts keep their escapes."""
    parts, escaped = [""], False
    for letter in text:
        if letter == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += letter
        escaped = letter == "\\" and not escaped
    return parts


def unescaped(text: str) -> str:
    """A name or value without its escapes.

    Raises:
        MappingError: an escape is wrong, a blank at an end is not escaped, or there is a control character.
    """
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise MappingError("has a control character")
    if text.startswith(" ") or re.search(r"(?<!\\)(?:\\\\)* $", text):
        raise MappingError("has a blank at the end of a name or value; write \\ and the blank if it belongs there")
    for found in re.finditer(r"\\(.?)", text, re.DOTALL):
        if not found[1] or found[1] not in _SPECIAL:
            raise MappingError(f"has \\{found[1]}; \\ escapes only a blank and . [ ] + @ , ; = \\")
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _name_and_indexes(part: str) -> tuple[str, list[int]]:
    """``items[0][1]`` is ``items`` and 0, 1."""
    name = re.match(r"(?:[^\\\[\]]|\\.?)*", part, re.DOTALL)
    assert name is not None, "it matches an empty text, too"  # noqa: S101
    rest, indexes = part[name.end() :], list[int]()
    while rest:
        if (found := _INDEX.match(rest)) is None:
            raise MappingError("is no path: write an element as name[0], and \\[ for a bracket in a name")
        indexes.append(int(found[1]))
        rest = rest[found.end() :]
    if not name[0]:
        raise MappingError("is no path: a name is empty")
    if max(indexes, default=0) > MAX_INDEX:
        raise MappingError(f"has an element beyond [{MAX_INDEX}]")
    return name[0], indexes


def _without_at(text: str, known: str) -> str:
    if text.startswith("@"):
        instead = f"only {known}" if known else "write \\@ if a field's name begins so"
        raise MappingError(f"has {text!a}, which is not possible here; {instead}")
    return text
