"""Makes the detectors of `[[detectors]]`, or of DETECTORS in the environment, and says in one line what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from service.settings.complaint import Origin, fault_of
from service.settings.detectors import TYPES, DetectorSettings, ForeignSettings
from service.settings.fields import LONGEST_SHOWN, SettingsError, exact
from service.settings.near import nearest

ENTRY_POINTS: Final = "txwatch.detectors"
"""The group of the entry points by which packages bring detectors; an entry point's name is the type."""


class _TableError(Exception):
    """What is wrong with one detector; the text begins with the field."""


def detectors_of(tables: Sequence[object], origin: Origin) -> tuple[DetectorSettings, ...]:
    """The detectors, in their order.

    Raises:
        SettingsError: a type, field or value is wrong. The text names the detector, or its number, and the field.
    """
    found: dict[str, DetectorSettings] = {}
    for number, table in enumerate(tables, 1):
        try:
            one = _detector(table, origin, found)
        except _TableError as error:
            raise SettingsError(f"{origin.where}: detector {_name_of(table) or number}: {error}") from None
        found[one.name] = one
    return tuple(found.values())


def read_json_list(text: str, where: str) -> list[Any]:
    """A JSON list; numbers with a point are Decimals.

    Raises:
        SettingsError: the text is something else; the error does not show it.
    """
    try:
        found = json.loads(text, parse_float=exact, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(found, list):
        raise SettingsError(f"{where}: not a JSON list but {type(found).__name__}")
    return found


def _detector(table: object, origin: Origin, others: Mapping[str, object]) -> DetectorSettings:
    if not isinstance(table, dict):
        raise _TableError(f"must be a table, not {type(table).__name__}")
    _refuse_unusable(table)
    if "type" not in table:
        raise _TableError(f"type: is required: {_listed(TYPES)}, or a package's")
    kind = table["type"]
    model = TYPES.get(kind) if isinstance(kind, str) else None
    if model is None:
        _refuse_unknown_type(kind, origin)
        common = {name: value for name, value in table.items() if name in ForeignSettings.COMMON}
        own = {name: value for name, value in table.items() if name not in common}
        model, table = ForeignSettings, {**common, "fields": own}
    for field in table:
        if field not in model.model_fields:
            raise _TableError(unknown_field(field, kind, model.model_fields))
    try:
        found = model.model_validate(table)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        loc = [str(part) for part in detail["loc"]]
        place = f"{': '.join(map(shown, loc))}: " if loc else ""
        fault = "is required" if detail["type"] == "missing" else fault_of(detail, (*loc, "")[0], origin)
        raise _TableError(f"{place}{fault[0].lower()}{fault[1:]}") from None
    if found.name in others:
        raise _TableError("name: another detector has it")
    return found


def unknown_field(field: str, kind: object, fields: Sequence[str] | Mapping[str, Any]) -> str:
    """The line about a field that a type does not have, beginning with the field."""
    near = nearest(field.lower(), fields)
    meant = f"did you mean {near}?" if near else f"the fields are {_listed(fields)}"
    return f"{shown(field)}: there is no such field of type {kind}; {meant}"


def shown(name: str) -> str:
    """A name as a line may show it."""
    return name if name.isprintable() and len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]!a}"


def _refuse_unknown_type(kind: object, origin: Origin) -> None:
    """Returns where a package has such a type."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - most configurations need none

    brought = sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})
    if kind in brought:
        return
    types = [*TYPES, *brought]
    near = nearest(kind.lower(), types) if isinstance(kind, str) else None
    value = f"{kind!a} is unknown" if isinstance(kind, str) and len(kind) <= LONGEST_SHOWN else "is unknown"
    meant = f"did you mean {near}?" if near else f"the types are {_listed(types)}"
    raise _TableError(f"type: {'is unknown' if origin.from_file else value}; {meant}")


def _name_of(table: object) -> str | None:
    """A detector's name, if it has one that is valid."""
    try:
        return DetectorSettings.model_validate({"name": table["name"], "type": ""}).name  # type: ignore[index]
    except (ValidationError, TypeError, KeyError):
        return None


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _refuse_unusable(fields: Mapping[str, Any]) -> None:
    """Refuse what TOML could not hold, and numbers that no detector could use."""
    for field, value in fields.items():
        if (fault := _fault_of_text(field) or _fault_within(value)) is not None:
            raise _TableError(f"{shown(field)}: {fault}")


def _fault_within(value: object) -> str | None:
    if value is None:
        return "null is no value; leave the field out"
    if isinstance(value, str):
        return _fault_of_text(value)
    if isinstance(value, float | Decimal) and not Decimal(value).is_finite():
        return "is not a finite number"
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next(filter(None, map(_fault_within, parts)), None)


def _fault_of_text(text: str) -> str | None:
    half = any("\ud800" <= one <= "\udfff" for one in text)
    return "has half a character (a lone surrogate) in it" if half else None
