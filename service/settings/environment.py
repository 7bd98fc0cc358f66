"""Reads the settings in the environment: refuses unknown names, ignores other programs' variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic_settings import EnvSettingsSource

from service.process.environment import SUFFIX, Variable, VariableError, variable
from service.settings.fields import SettingsError
from service.settings.model import LIST_NAMES, NAMES, Settings
from service.settings.near import misspelt, nearest
from service.settings.tables import read_json_list
from service.wire.client import PropertiesError, json_object

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
_KNOWN: Final = (*NAMES, *LIST_NAMES)
_PREFIXES: Final = tuple(f"{name.upper()}_" for name in Settings.model_fields)
_ALL_NAMES: Final = {one for name in _KNOWN for one in (name, f"{name}{SUFFIX}")}


def read_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Variable]]:
    """The settings by group and field, the lists by name, and where each came from, by its variable.

    Raises:
        SettingsError: a name is unknown, a setting is there twice, or its file cannot be read.
    """
    environment = _without_foreign(environment)
    _refuse_unknown(environment)
    try:
        found = {name: one for name in _KNOWN if (one := variable(name, environment)) is not None}
    except VariableError as error:
        raise SettingsError(str(error)) from None
    for name in ("KAFKA_PROPERTIES", "REGISTRY_PROPERTIES"):
        if not (properties := found.get(name)):
            continue
        try:
            json_object(properties.text)
        except PropertiesError as error:
            raise SettingsError(f"{properties.where}: {error}") from None
    lists = {
        name: read_json_list(found[variable].text, found[variable].where)
        for variable, name in LIST_NAMES.items()
        if variable in found
    }
    return {**_Source({name: one for name, one in found.items() if name in NAMES})(), **lists}, found


def _without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not (_FOREIGN.fullmatch(name) or (name.endswith("_PORT") and _LINK.fullmatch(value)))
    }


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    for name in sorted(environment):
        if name in _ALL_NAMES:
            continue
        if name.upper() in _ALL_NAMES:
            raise SettingsError(f"{name}: environment variables are in capitals, {name.upper()}")
        meant = misspelt(name)
        if meant is None and not name.startswith(_PREFIXES):
            continue
        meant = meant or nearest(name, _KNOWN)
        raise SettingsError(f"{name}: there is no such setting{f'; did you mean {meant}?' if meant else ''}")


class _Source(EnvSettingsSource):
    """pydantic's reader of nested variables, with the values that were found."""

    def __init__(self, found: Mapping[str, Variable]) -> None:
        self._values = {name.lower(): one.text for name, one in found.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._values
