"""Checks the command line before any file or connection is opened. Each message names its option or variable."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from producer.environment import setting
from producer.properties import Value, parse_properties
from producer.reading.layout import Layout
from producer.reading.source import STDIN
from producer.reading_options import layout_from
from producer.registered import check_options
from producer.replay import NS_PER_S, AsFast, AtRate, ByEventTime, Pace
from service.wire.client import PropertiesError, json_object
from service.wire.durations import as_milliseconds, fault_of_milliseconds
from service.wire.names import fault_of_brokers, fault_of_topic

DEFAULT_WINDOW_MS: Final = 10_000
WINDOW_DIGITS_MAX: Final = 12
LEAST: Final = 1e-9
"""The least speed, rate and gap: below it, the times of the schedule are too large for a number."""
GAP_S_MAX: Final = 1e12
"""No two event times are further apart, so a greater --max-gap bounds nothing."""
_ENDLESS: Final = (stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISSOCK)
DEFAULT_HTTP_HOST: Final = "0.0.0.0"  # noqa: S104  a container must be reachable, as for the service


@dataclass(frozen=True, slots=True)
class Options:
    """A checked command line."""

    file: str
    topic: str
    brokers: str
    properties: dict[str, Value]
    pace_name: str
    pace: Pace
    zone: ZoneInfo
    layout: Layout
    align_ms: int | None
    rebase: bool
    shuffle_ms: int | None
    seed: int
    repeat: int
    start_row: int
    rejects: str | None
    strict: bool
    dry_run: bool
    progress: bool | None
    form: str
    registry_url: str
    registry_properties: dict[str, Value]
    schema: str | None
    metrics_host: str
    metrics_port: int | None


class Milliseconds(click.IntRange):
    """A number of milliseconds; a duration with a unit is refused with the number that is meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Convert the text to an int."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            if isinstance(value, str) and as_milliseconds(value) is not None:
                self.fail(fault_of_milliseconds(value), param, ctx)
            raise


class Seconds(click.types.FloatParamType):
    """A number of seconds; a duration with a unit is refused with the number that is meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Convert the text to a float."""
        try:
            return float(super().convert(value, param, ctx))
        except click.BadParameter:
            if isinstance(value, str) and (meant_ms := as_milliseconds(value)) is not None:
                self.fail(f"must be a number of seconds: write {meant_ms / 1000:g} instead of {value}", param, ctx)
            raise


def read_brokers(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Check --bootstrap-servers."""
    if (fault := fault_of_brokers(text)) is not None:
        raise click.BadParameter(fault)
    return text


def read_topic(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Check --topic."""
    if (fault := fault_of_topic(text)) is not None:
        raise click.BadParameter(f"{text!r} {fault}")
    return text


def read_positive(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """Check --speed, --rate and --max-gap."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{value} is not a number above 0")
    if value is not None and value < LEAST:
        raise click.BadParameter(f"{value} is too small: at least {LEAST}")
    return value


def options_from(values: dict[str, Any]) -> Options:
    """Check what involves several options; raises click.UsageError."""
    layout = layout_from(values)
    if values["reverse"] and not _is_file(values["file"]):
        raise click.UsageError("--reverse needs a file, not a pipe or standard input")
    if values["seed"] is not None and values["shuffle_ms"] is None:
        raise click.UsageError("--seed needs --shuffle-ms")
    if values["repeat"] != 1 and not _is_repeatable(values["file"]):
        raise click.UsageError("--repeat needs a file that can be read again, not a pipe")
    if values["repeat"] == 0 and values["dry_run"]:
        raise click.UsageError("--repeat 0 with --dry-run would never end")
    if (fault := check_options(values["format"], values["registry_url"], values["schema"])) is not None:
        raise click.UsageError(fault)
    return Options(
        file=values["file"],
        topic=values["topic"],
        brokers=values["bootstrap_servers"],
        properties=_properties(),
        pace_name=values["pace"],
        pace=_pace(values["pace"], values["speed"], values["rate"], values["max_gap"]),
        zone=values["timezone"],
        layout=layout,
        align_ms=_window_ms() if values["align"] and not values["dry_run"] else None,
        rebase=values["rebase"] is not None,
        shuffle_ms=values["shuffle_ms"],
        seed=values["seed"] or 0,
        repeat=values["repeat"],
        start_row=values["start_row"],
        rejects=values["rejects"],
        strict=values["strict"],
        dry_run=values["dry_run"],
        progress=values["progress"],
        form=values["format"],
        registry_url=values["registry_url"] or "",
        registry_properties=_registry_properties() if values["format"] != "json" else {},
        schema=values["schema"],
        metrics_host=host.text if (host := setting("HTTP_HOST")) else DEFAULT_HTTP_HOST,
        metrics_port=values["metrics_port"],
    )


def _pace(name: str, speed: float | None, rate: float | None, max_gap_s: float | None) -> Pace:
    if rate is not None and name != "rate":
        raise click.UsageError("--rate needs --pace rate")
    if speed is not None and name != "event-time":
        raise click.UsageError("--speed needs --pace event-time")
    if max_gap_s is not None and name != "event-time":
        raise click.UsageError("--max-gap needs --pace event-time")
    if name == "max":
        return AsFast()
    if name == "event-time":
        return ByEventTime(speed or 1.0, None if max_gap_s is None else round(min(max_gap_s, GAP_S_MAX) * NS_PER_S))
    if rate is None:
        raise click.UsageError("--pace rate needs --rate N")
    return AtRate(rate)


def _properties() -> dict[str, Value]:
    found = setting("KAFKA_PROPERTIES")
    if found is None:
        return {}
    try:
        return parse_properties(found.text)
    except PropertiesError as error:
        raise click.UsageError(f"{found.where}: {error}") from error


def _registry_properties() -> dict[str, Value]:
    found = setting("REGISTRY_PROPERTIES")
    try:
        return {} if found is None else json_object(found.text)
    except PropertiesError as error:
        raise click.UsageError(f"{found.where if found else ''}: {error}") from error


def _window_ms() -> int:
    found = setting("WINDOW_SIZE_MS")
    if found is None:
        return DEFAULT_WINDOW_MS
    text = found.text.strip()
    if text.isascii() and text.isdigit() and len(text) <= WINDOW_DIGITS_MAX and int(text):
        return int(text)
    if found.path is None and as_milliseconds(text):
        raise click.UsageError(f"{found.where}: {fault_of_milliseconds(text)}")
    raise click.UsageError(f"{found.where}: must be a whole number of milliseconds above 0")


def _is_file(path: str) -> bool:
    """Whether the input can be read from its end. True for a missing file, which gets its own message later."""
    try:
        return path != STDIN and not any(kind(os.stat(path).st_mode) for kind in _ENDLESS)  # noqa: PTH116
    except OSError:
        return path != STDIN


def _is_repeatable(path: str) -> bool:
    """Whether the input can be read twice. True for a missing file, which gets its own message later."""
    try:
        return path != STDIN and not stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return True
