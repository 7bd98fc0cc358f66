"""Makes the detectors that packages bring, by the entry points of the group ``txwatch.detectors``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from service.settings import SettingsError
from service.settings.detectors import ForeignSettings
from service.settings.tables import ENTRY_POINTS, shown, unknown_field

_INTERFACES: Final = (("judge",), ("prepare", "judge_all"))
"""The methods of a Detector and of a BatchDetector."""
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class _PackageError(Exception):
    """Why a package's detector cannot be used; the text begins with the field."""


def made_by_package(settings: ForeignSettings) -> Any:  # noqa: ANN401 - as ConfiguredDetector has it
    """The detector: what the entry point names is called with the table's own fields as keyword arguments.

    It gets ``of`` as well if it has a parameter of that name.

    Raises:
        SettingsError: the package cannot be imported, or refuses a field. The text names the detector.
    """
    try:
        return _made(settings)
    except _PackageError as error:
        raise SettingsError(f"DETECTORS: detector {settings.name}: {error}") from None


def _made(settings: ForeignSettings) -> Any:  # noqa: ANN401
    entry = _entry_point(settings.type)
    try:
        make: Callable[..., Any] = entry.load()
    except Exception as error:  # noqa: BLE001 - an import may raise anything
        raise _PackageError(f"type: {entry.value} cannot be imported: {_line(error)}") from None
    parameters = _parameters(make)
    arguments = dict(settings.fields)
    if parameters is not None:
        _check(arguments, parameters, settings.type)
        if "of" in parameters:
            arguments["of"] = settings.of
    try:
        made = make(**arguments)
    except (ValueError, TypeError) as error:
        raise _PackageError(f"{entry.value} refuses its fields: {_line(error)}") from None
    for name in ("state_type", "state_kind"):
        if not hasattr(made, name):
            raise _PackageError(f"type: what {entry.value} returns has no {name}")
    if not any(all(callable(getattr(made, name, None)) for name in methods) for methods in _INTERFACES):
        raise _PackageError(f"type: what {entry.value} returns has neither judge() nor prepare() and judge_all()")
    return made


def _entry_point(kind: str) -> EntryPoint:
    found = {entry.value: entry for entry in entry_points(group=ENTRY_POINTS, name=kind)}
    if not found:
        raise _PackageError(f"type: no installed package brings {kind!a}")
    if len(found) > 1:
        raise _PackageError(f"type: {kind} is brought twice: {', '.join(sorted(found))}")
    (entry,) = found.values()
    return entry


def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """The parameters by name; None where Python cannot see them, as for some classes written in C."""
    try:
        return dict(inspect.signature(make).parameters)
    except (ValueError, TypeError):
        return None


def _check(fields: dict[str, Any], parameters: dict[str, inspect.Parameter], kind: str) -> None:
    """Refuse an unknown field, and a missing one."""
    named = [name for name, one in parameters.items() if one.kind in _NAMED]
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        for field in fields:
            if field not in named:
                raise _PackageError(unknown_field(field, kind, named))
    for name in named:
        if name not in fields and name != "of" and parameters[name].default is inspect.Parameter.empty:
            raise _PackageError(f"{shown(name)}: is required")


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
