"""Reads the settings in a TOML file: refuses unknown names, and suggests the right name in TOML's form."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from service.process.environment import MOST_BYTES, SUFFIX
from service.process.files import read_up_to
from service.settings.fields import SettingsError
from service.settings.model import NAMES, Settings
from service.settings.near import nearest


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """The settings of a file, by group and field.

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
        content = tomllib.loads(data.decode(), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: {error}") from None
    for group, values in content.items():
        if group not in Settings.model_fields:
            raise SettingsError(f"{path}: {_unknown_group(group, values)}")
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: {group} is a group: write it as [{group}]")
        for name in values:
            if NAMES.get(f"{group}_{name}".upper()) != (group, name):
                raise SettingsError(f"{path}: there is no setting {name} in [{group}]{_meant(group, name)}")
    properties = content.get("kafka", {}).get("properties")
    if isinstance(properties, dict):  # the client takes floats, and only amounts need exact decimals
        content["kafka"]["properties"] = {k: float(v) if isinstance(v, Decimal) else v for k, v in properties.items()}
    return content


def _unknown_group(name: str, value: object) -> str:
    """One line about a name at the top of the file that is not a group."""
    homes = [_shown(*home) for variable, home in NAMES.items() if name.lower() in {variable.lower(), home[1]}]
    group = nearest(name.lower(), Settings.model_fields)
    meant = " or ".join(homes) or (group and f"[{group}]")
    suggestion = f"; did you mean {meant}?" if meant else f"; the groups are {', '.join(Settings.model_fields)}"
    return (
        f"there is no group [{name}]{suggestion}" if isinstance(value, dict) else f"{name} is in no group{suggestion}"
    )


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
