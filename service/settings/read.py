"""Merges the settings: the command line overrides the environment, a TOML file, and the defaults, in this order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from service.core.model import ClockName, LatePolicy
from service.settings.complaint import Origin, complaint
from service.settings.environment import read_environment
from service.settings.fields import SettingsError
from service.settings.forward_tables import forwards_of
from service.settings.kafka import TopicsSettings
from service.settings.model import LIST_NAMES, LISTS, NAMES, Settings
from service.settings.shown import Loaded
from service.settings.tables import detectors_of
from service.settings.toml import read_toml

DEFAULT_FILE: Final = Path("config/service.toml")


def load(file: Path | None, environment: Mapping[str, str] | None = None, *, servers: str | None = None) -> Loaded:
    """Read the settings.

    Args:
        file: the TOML file; None means the default file, if it exists.
        environment: the variables; None means os.environ.
        servers: the brokers that the command line names; None where it names none.

    Raises:
        SettingsError: a setting is unknown or has a wrong value, or a file cannot be read.
    """
    path = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    toml = {} if path is None else read_toml(path)
    from_environment, variables = read_environment(os.environ if environment is None else environment)
    options = {} if servers is None else {"kafka": {"bootstrap_servers": servers}}
    merged: dict[str, Any] = {}
    for source in (toml, from_environment, options):
        for group, values in source.items():
            merged[group] = values if group in LISTS else {**merged.get(group, {}), **values}
    origins = {
        name: Origin(f"{path}", f"{name} ({path})")
        for name, (group, field) in NAMES.items()
        if field in toml.get(group, {})
    }
    origins |= {name: Origin(f"{path}", f"{name} ({path})") for name, key in LIST_NAMES.items() if key in toml}
    for name, one in variables.items():
        origins[name] = Origin(f"environment {one.name}", one.where, one.path is not None)
    if servers is not None:
        origins["KAFKA_BOOTSTRAP_SERVERS"] = Origin("--bootstrap-servers", "--bootstrap-servers")
    try:
        settings = Settings.model_validate({name: merged[name] for name in merged if name not in LISTS})
    except ValidationError as error:
        raise SettingsError(complaint(error, origins)) from None
    if merged.get("detectors"):
        detectors = detectors_of(merged["detectors"], origins["DETECTORS"])
        settings = settings.model_copy(update={"detectors": detectors})
        _refuse_other_limit(origins)
    if merged.get("forward"):
        settings = settings.model_copy(update={"forward": forwards_of(merged["forward"], origins["FORWARD"])})
    _refuse_shared_topics(settings.topics)
    if settings.window.clock is ClockName.EVENT and settings.late.policy is LatePolicy.INCLUDE:
        raise SettingsError(
            "LATE_POLICY: include is not possible with WINDOW_CLOCK=event: the late record's window has been emitted;"
            " use divert (to TOPICS_LATE) or drop, and a greater WATERMARK_LATENESS_MS to have fewer late records"
        )
    return Loaded(settings, {name: origin.shown for name, origin in origins.items()})


def _refuse_other_limit(origins: Mapping[str, Origin]) -> None:
    if (limit := origins.get("DETECT_LIMIT")) is not None:
        raise SettingsError(
            f"{limit.where} and {origins['DETECTORS'].where} are both set: unset DETECT_LIMIT, and give a detector of"
            " type threshold the limit"
        )


def _refuse_shared_topics(topics: TopicsSettings) -> None:
    seen: dict[str, str] = {}
    for field in ("transactions", "alerts", "aggregates", "late", "dead_letter", "state", "shadow", "undelivered"):
        name, variable = getattr(topics, field), f"TOPICS_{field}".upper()
        if name and name in seen:
            raise SettingsError(f"{seen[name]} and {variable} are both {name}: the service would read its own output")
        seen[name] = variable
