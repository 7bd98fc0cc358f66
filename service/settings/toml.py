"""Reads the settings in a TOML file: refuses unknown names, and suggests the right name in TOML's form."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.process.environment import MOST_BYTES, SUFFIX
from service.process.files import read_up_to
from service.settings.fields import SettingsError, exact
from service.settings.model import LISTS, NAMES, Settings
from service.settings.near import nearest


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a file by group and field, and the lists of tables by name.

    Raises:
        SettingsError: the file cannot be read, or a name in it is unknown.
    """
    try:
        data = read_up_to(MOST_BYTES, path)
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise SettingsError(f"--config {path}: has more than {MOST_BYTES} bytes")
    try:
        content = tomllib.loads(data.decode(), parse_float=exact)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: {error}") from None
    for group, values in content.items():
        if group not in Settings.model_fields:
            raise SettingsError(f"{path}: {_unknown_group(group, values)}")
        if not isinstance(values, list if group in LISTS else dict):
            raise SettingsError(f"{path}: {_wrong_form(group, values)}")
        for name in () if group in LISTS else values:
            if NAMES.get(f"{group}_{name}".upper()) != (group, name):
                raise SettingsError(f"{path}: there is no setting {name} in [{group}]{_meant(group, name)}")
    _floats_in_properties(content)
    return content


def _unknown_group(name: str, value: object) -> str:
    """One line about a name at the top of the file that is neither a group nor a list."""
    homes = [_shown(*home) for variable, home in NAMES.items() if name.lower() in {variable.lower(), home[1]}]
    is_list = isinstance(value, list)
    near = nearest(name.lower(), LISTS if is_list else Settings.model_fields)
    meant = " or ".join(homes) or (near and _heading(near))
    suggestion = f"; did you mean {meant}?" if meant else f"; the groups are {', '.join(Settings.model_fields)}"
    if is_list or isinstance(value, dict):
        return f"there is no group {_heading(name, is_list=is_list)}{suggestion}"
    return f"{name} is in no group{suggestion}"


def _wrong_form(name: str, value: object) -> str:
    """One line about a group or a list that is something else."""
    if name in LISTS:
        return f"{name} is a list of tables: write each as [[{name}]]"
    near = nearest(name, LISTS) if isinstance(value, list) else None
    return f"{name} is a group: write it as [{name}]{f'; did you mean {_heading(near)}?' if near else ''}"


def _meant(group: str, name: str) -> str:
    """The end of a line about an unknown name in a group: the setting that is probably meant, in TOML's form."""
    name = name.lower()
    field = name.removesuffix(SUFFIX.lower())
    if field != name and (group, field) in NAMES.values():
        return f"; only the environment names files: {group.upper()}_{field.upper()}{SUFFIX}"
    own = {field: field for home, field in NAMES.values() if home == group}
    others = {field: _shown(home, field) for home, field in NAMES.values() if home != group}
    variables = {variable.lower(): _shown(*home) for variable, home in NAMES.items()}
    for names in (own, others, variables):
        if name in names:
            return f"; did you mean {names[name]}?"
    for names in (own, others):
        if (near := nearest(name, names)) is not None:
            return f"; did you mean {names[near]}?"
    return ""


def _shown(group: str, field: str) -> str:
    return f"[{group}] {field}"


def _heading(name: str, *, is_list: bool | None = None) -> str:
    return f"[[{name}]]" if (name in LISTS if is_list is None else is_list) else f"[{name}]"


def _floats_in_properties(content: dict[str, Any]) -> None:
    """The clients take floats; only amounts need exact decimals."""
    for group in ("kafka", "registry"):
        properties = content.get(group, {}).get("properties")
        if isinstance(properties, dict):
            floats = {k: float(v) if isinstance(v, Decimal) else v for k, v in properties.items()}
            content[group]["properties"] = floats
