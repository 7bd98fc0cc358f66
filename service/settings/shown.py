"""Shows the effective settings: each with its origin, secrets masked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import tomli_w

from service.settings.detectors import DetectorSettings, ForeignSettings
from service.settings.forward import ForwardSettings
from service.settings.model import GROUPS, Settings

_SECRET: Final = re.compile(
    r"user\.info|pass|pasw|pwd|secret|token|credential|private|\.key|\.pem$|oauthbearer\.(config|assertion)|jaas"
)
MASK: Final = "********"
_DEFAULT: Final = "default"


def mask(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the properties, and replace each value whose name looks like a secret's."""
    return {name: MASK if _SECRET.search(name.lower()) else value for name, value in properties.items()}


class Loaded:
    """The settings and the origin of each."""

    def __init__(self, settings: Settings, origins: Mapping[str, str]) -> None:
        """``origins`` maps environment names to origins; a setting that is not in it has its default."""
        self.settings: Final = settings
        self._origins = origins

    def from_environment(self) -> frozenset[str]:
        """The names of the settings that the environment has set."""
        return frozenset(name for name, origin in self._origins.items() if origin.startswith("environment "))

    def as_toml(self) -> str:
        """The effective settings as TOML, secrets masked, with the origin as a comment on each line."""
        lines = []
        for group in GROUPS:
            lines.append(f"[{group}]")
            for name, value in getattr(self.settings, group).model_dump(mode="python").items():
                variable = f"{group}_{name}".upper()
                origin = self._origins.get(variable, _DEFAULT)
                if variable == "DETECT_LIMIT" and self.settings.detectors:
                    lines.append(f"# {name} is the default detector's, which [[detectors]] replaces")
                elif value is None:
                    lines.append(f"# {name} is not set: console on a terminal, json elsewhere")
                else:
                    lines.append(f"{_toml(name, value)}  # {origin}")
            lines.append("")
        for one in self.settings.detectors:
            lines += [*self._detector(one), ""]
        for target in self.settings.forward:
            lines += [*self._forward(target), ""]
        return "\n".join(lines)

    def is_set(self, variable: str) -> bool:
        """Whether the setting of this environment name has another origin than the default."""
        return variable in self._origins

    def _forward(self, one: ForwardSettings) -> Iterator[str]:
        origin = self._origins.get("FORWARD", _DEFAULT)
        yield f"[[forward]]  # {origin}"
        for name, value in one.model_dump(mode="python").items():
            if name == "headers":
                shown: object = {key: MASK if isinstance(text, str) else text for key, text in value.items()}
            else:
                shown = MASK if name == "url" and value else value
            if shown not in ("", {}):
                yield f"{name} = {_value(shown)}  # {origin if name in one.model_fields_set else _DEFAULT}"

    def _detector(self, one: DetectorSettings) -> Iterator[str]:
        origin = self._origins.get("DETECTORS", _DEFAULT)
        yield f"[[detectors]]  # {origin}"
        for name, value in one.model_dump(mode="python").items():
            if name == "fields" and isinstance(one, ForeignSettings):
                for own, inner in mask(value).items():
                    yield f"{_key(own)} = {_value(inner)}  # {origin}"
            elif value is not None and value != {}:
                yield f"{name} = {_value(value)}  # {origin if name in one.model_fields_set else _DEFAULT}"


def _toml(name: str, value: Any) -> str:  # noqa: ANN401
    return f"{name} = {_value(mask(value) if isinstance(value, dict) else value)}"


def _value(value: Any) -> str:  # noqa: ANN401
    """A value of TOML on one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(name)} = {_value(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else value
    elif isinstance(value, StrEnum):
        value = value.value
    return tomli_w.dumps({"x": value}).strip().removeprefix("x = ")


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).strip().removesuffix(" = 0")
