"""Turns pydantic's error about a wrong value into one line with the setting and where the value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from service.settings.fields import RefusedError
from service.wire.durations import fault_of_milliseconds

_NO_INTEGER: Final = ("int_type", "int_parsing", "int_parsing_size", "int_from_float")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting's value came from."""

    shown: str
    """As `txwatch config` shows it."""
    where: str
    """As an error line names the setting."""
    from_file: bool = False
    """Whether ``NAME_FILE`` named it. Then no error shows the value: it may be another file's secret."""


def complaint(error: ValidationError, origins: Mapping[str, Origin]) -> str:
    """The first error as one line. It shows only refused names and durations: other values may be secrets."""
    detail = error.errors(include_url=False)[0]
    group, field = (*map(str, detail["loc"]), "")[:2]
    variable = f"{group}_{field}".upper().removesuffix("_") + ("" if field else "_*")
    origin = origins.get(variable, Origin("default", variable))
    inner = ".".join(map(str, detail["loc"][2:]))
    message = fault_of(detail, field, origin)
    return f"{origin.where}{': ' + inner if inner else ''}: {message[0].lower()}{message[1:]}"


def fault_of(detail: ErrorDetails, field: str, origin: Origin) -> str:
    """What is wrong with a field's value, without the field's name."""
    value: Any = detail["input"]
    cause = detail.get("ctx", {}).get("error")
    if field.endswith("_ms") and detail["type"] in _NO_INTEGER:
        return fault_of_milliseconds(value if isinstance(value, str) and not origin.from_file else "")
    if origin.from_file and isinstance(cause, RefusedError):
        return cause.fault
    message = detail["msg"].removeprefix("Value error, ")
    return f"{message} (milliseconds)" if field.endswith("_ms") else message
