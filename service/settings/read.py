"""Reading the settings: the environment over a TOML file over the defaults; unknown names are refused."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from service.core.model import ClockName, LatePolicy
from service.settings.model import NAMES, Settings, SettingsError, TopicsSettings
from service.settings.shown import Loaded
from service.wire.client import PropertiesError, json_object

DEFAULT_FILE: Final = Path("config/service.toml")

# Other programs' variables with a prefix like ours: HTTP proxies, Kafka's own scripts, and the variables that
# Kubernetes sets for a Service called kafka, http, log ...
_FOREIGN: Final = re.compile(
    r"HTTP_PROXY(_.*)?"
    r"|KAFKA_(HOME|OPTS|HEAP_OPTS|JMX_OPTS|LOG4J_OPTS|JVM_PERFORMANCE_OPTS|GC_LOG_OPTS|CLUSTERS_.*)"
    r"|[A-Z0-9_]+_SERVICE_(HOST|PORT(_.*)?)"
    r"|[A-Z0-9_]+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
_LINK: Final = re.compile(r"(tcp|udp|sctp)://.*")
"""The value of such a Kubernetes variable: KAFKA_PORT=tcp://10.0.0.1:9092; HTTP_PORT for a Service called http."""


def load(file: Path | None, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings: environment over TOML over defaults.

    Args:
        file: the TOML file; None means the default file, if it exists.
        environment: the variables; None means os.environ.

    Raises:
        SettingsError: a setting is unknown or has a wrong value, or the file cannot be read.
    """
    environment = _without_foreign(os.environ if environment is None else environment)
    path = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    toml = {} if path is None else _read_toml(path)
    _refuse_unknown_variables(environment)
    env = _read_environment(environment)
    origins: dict[str, str] = {}
    merged: dict[str, dict[str, Any]] = {}
    for origin, source in ((f"{path}", toml), ("environment", env)):
        for group, values in source.items():
            for name, value in values.items():
                merged.setdefault(group, {})[name] = value
                variable = f"{group}_{name}".upper()
                origins[variable] = f"environment {variable}" if origin == "environment" else origin
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_first(error, origins)) from None
    _refuse_shared_topics(settings.topics)
    if settings.window.clock is ClockName.EVENT and settings.late.policy is LatePolicy.INCLUDE:
        raise SettingsError(
            "LATE_POLICY: include is not possible with WINDOW_CLOCK=event: the late record's window has been emitted;"
            " use divert (to TOPICS_LATE) or drop, and a greater WATERMARK_LATENESS_MS to have fewer late records"
        )
    return Loaded(settings, origins)


def _refuse_shared_topics(topics: TopicsSettings) -> None:
    seen: dict[str, str] = {}
    for field in ("transactions", "alerts", "aggregates", "late", "dead_letter", "state"):
        name, variable = getattr(topics, field), f"TOPICS_{field}".upper()
        if name and name in seen:
            raise SettingsError(f"{seen[name]} and {variable} are both {name}: the service would read its own output")
        seen[name] = variable


def _read_toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    for group, values in content.items():
        if group not in Settings.model_fields:
            raise SettingsError(f"{path}: there is no group [{group}]; there are {', '.join(Settings.model_fields)}")
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: {group} is a group: write it as [{group}]")
        for name in values:
            if f"{group}_{name}".upper() not in NAMES or name != name.lower():
                raise SettingsError(
                    f"{path}: there is no setting {name} in [{group}]{_nearest(f'{group}_{name}'.upper())}"
                )
    properties = content.get("kafka", {}).get("properties")
    if isinstance(properties, dict):  # the client takes floats, and only amounts need exact decimals
        content["kafka"]["properties"] = {k: float(v) if isinstance(v, Decimal) else v for k, v in properties.items()}
    return content


def _without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not (_FOREIGN.fullmatch(name) or (name.endswith("_PORT") and _LINK.fullmatch(value)))
    }


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    prefixes = tuple(f"{group.upper()}_" for group in Settings.model_fields)
    for variable in sorted(environment):
        if variable in NAMES:
            continue
        if variable.upper() in NAMES:
            raise SettingsError(f"{variable}: environment variables are in capitals, {variable.upper()}")
        if variable.startswith(prefixes):
            raise SettingsError(f"{variable}: there is no such setting{_nearest(variable)}")


def _nearest(variable: str) -> str:
    import difflib  # noqa: PLC0415 - needed only after a mistake

    near = difflib.get_close_matches(variable, NAMES, 1)
    return f"; did you mean {near[0]}?" if near else ""


class _Environment(EnvSettingsSource):
    """pydantic's reader of nested variables, restricted to our variables."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._ours = {name.lower(): value for name, value in environment.items() if name in NAMES}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._ours


def _read_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    properties = environment.get("KAFKA_PROPERTIES")
    if properties is not None:
        try:
            json_object(properties)
        except PropertiesError as error:
            raise SettingsError(f"KAFKA_PROPERTIES: {error}") from None
    return dict(_Environment(environment)())


def _first(error: ValidationError, origins: Mapping[str, str]) -> str:
    """The first error as one line that names the setting. The value is not shown: it may be a secret."""
    complaint = error.errors(include_url=False, include_input=False, include_context=False)[0]
    group, name = (*map(str, complaint["loc"]), "")[:2]
    variable = f"{group}_{name}".upper().removesuffix("_") + ("" if name else "_*")
    origin = origins.get(variable, "")
    inner = ".".join(map(str, complaint["loc"][2:]))
    where = variable if origin.startswith("environment") or not origin else f"{variable} ({origin})"
    message = complaint["msg"].removeprefix("Value error, ")
    return f"{where}{': ' + inner if inner else ''}: {message[0].lower()}{message[1:]}"
