"""Shows the effective settings: each with its origin, secrets masked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import tomli_w

from service.settings.model import Settings

_SECRET: Final = re.compile(
    r"pass|pasw|pwd|secret|token|credential|private|\.key|\.pem$|oauthbearer\.(config|assertion)|jaas"
)
MASK: Final = "********"


def mask(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the properties, and replace each value whose name looks like a secret's."""
    return {name: MASK if _SECRET.search(name.lower()) else value for name, value in properties.items()}


class Loaded:
    """The settings and the origin of each."""

    def __init__(self, settings: Settings, origins: Mapping[str, str]) -> None:
        """``origins`` maps environment names to origins; a setting that is not in it has its default."""
        self.settings: Final = settings
        self._origins = origins

    def as_toml(self) -> str:
        """The effective settings as TOML, secrets masked, with the origin as a comment on each line."""
        lines = []
        groups = self.settings.model_dump(mode="python")
        for group, values in groups.items():
            lines.append(f"[{group}]")
            for name, value in values.items():
                variable = f"{group}_{name}".upper()
                origin = self._origins.get(variable, "default")
                if value is None:
                    lines.append(f"# {name} is not set: console on a terminal, json elsewhere")
                else:
                    lines.append(f"{_toml(name, value)}  # {origin}")
            lines.append("")
        return "\n".join(lines)


def _toml(name: str, value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):
        inner = ", ".join(tomli_w.dumps({key: item}).strip() for key, item in mask(value).items())
        return f"{name} = {{{' ' + inner + ' ' if inner else ''}}}"
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else value
    elif isinstance(value, StrEnum):
        value = value.value
    return tomli_w.dumps({name: value}).strip()
