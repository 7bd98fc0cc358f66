"""Makes the targets of `[[forward]]`, or of FORWARD in the environment, and says in one line what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from service.settings.complaint import Origin, fault_of
from service.settings.fields import SettingsError
from service.settings.forward import ForwardSettings
from service.settings.near import nearest

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-type", "idempotency-key"}
)


def forwards_of(tables: Sequence[object], origin: Origin) -> tuple[ForwardSettings, ...]:
    """The targets, in their order.

    Raises:
        SettingsError: a field or value is wrong; the text names the target, or its number, and the field.
    """
    found: dict[str, ForwardSettings] = {}
    for number, table in enumerate(tables, 1):
        label = table.get("name", number) if isinstance(table, dict) else number
        shown = label if isinstance(label, str) and label.isprintable() and len(label) <= 40 else number  # noqa: PLR2004 - the longest name
        try:
            one = _forward(table, origin)
            if one.name in found:
                raise ValueError("name: another target has it")  # noqa: TRY301 - one place adds the name
        except ValueError as error:
            raise SettingsError(f"{origin.where}: forward {shown}: {error}") from None
        found[one.name] = one
    return tuple(found.values())


def _forward(table: object, origin: Origin) -> ForwardSettings:
    if not isinstance(table, dict):
        raise ValueError(f"must be a table, not {type(table).__name__}")  # noqa: TRY004 - a setting's fault
    for field in table:
        if field not in ForwardSettings.model_fields:
            near = nearest(str(field).lower(), ForwardSettings.model_fields)
            raise ValueError(f"{field}: there is no such field{f'; did you mean {near}?' if near else ''}")
    try:
        one = ForwardSettings.model_validate(table)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=True)[0]
        loc = [str(part) for part in detail["loc"] if str(part) not in {"str", "HeaderFile"}]
        fault = "is required" if detail["type"] == "missing" else fault_of(detail, (*loc, "")[0], origin)
        raise ValueError(f"{': '.join(loc)}: {fault[0].lower()}{fault[1:]}") from None
    if bool(one.url) == bool(one.url_file):
        raise ValueError("url: give either url or url_file")
    _check_headers(one.headers)
    return one


def _check_headers(headers: Mapping[str, Any]) -> None:
    for name in headers:
        if not _HEADER.fullmatch(name):
            raise ValueError(f"headers: {name!a} is no header's name")
        if name.lower() in _OURS:
            raise ValueError(f"headers: {name} is set by the program itself")
