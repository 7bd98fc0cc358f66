"""The command line: every option checked before anything is opened, each message naming its option or variable."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from producer.environment import setting
from producer.properties import PropertiesError, Value, check_brokers, check_topic, parse_properties
from producer.reading.layout import Layout
from producer.reading.source import STDIN
from producer.reading_options import layout_from
from producer.replay import NS_PER_S, AsFast, AtRate, ByEventTime, Pace
from service.wire.durations import as_milliseconds, fault_of_milliseconds

DEFAULT_WINDOW_MS: Final = 10_000
WINDOW_DIGITS_MAX: Final = 12
LEAST: Final = 1e-9
"""Of a speed, a rate and a gap: below it the schedule's instants are beyond what a number holds."""
GAP_S_MAX: Final = 1e12
"""A greater --max-gap bounds no wait between two years of four digits."""
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
    metrics_host: str
    metrics_port: int | None


class Milliseconds(click.IntRange):
    """A number of milliseconds; a duration with a unit is refused with the number that is meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Read it."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            if isinstance(value, str) and as_milliseconds(value) is not None:
                self.fail(fault_of_milliseconds(value), param, ctx)
            raise


class Seconds(click.types.FloatParamType):
    """A number of seconds; a duration with a unit is refused with the number that is meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read it."""
        try:
            return float(super().convert(value, param, ctx))
        except click.BadParameter:
            if isinstance(value, str) and (meant_ms := as_milliseconds(value)) is not None:
                self.fail(f"must be a number of seconds: write {meant_ms / 1000:g} instead of {value}", param, ctx)
            raise


def read_brokers(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Check --bootstrap-servers."""
    try:
        return check_brokers(text)
    except PropertiesError as error:
        raise click.BadParameter(str(error)) from error


def read_topic(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Check --topic."""
    try:
        return check_topic(text)
    except PropertiesError as error:
        raise click.BadParameter(str(error)) from error


def read_positive(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """Check --speed, --rate and --max-gap."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{value} is not a number above 0")
    if value is not None and value < LEAST:
        raise click.BadParameter(f"{value} is too small: at least {LEAST}")
    return value


def options_from(values: dict[str, Any]) -> Options:
    """Check what no option can check alone; raises click.UsageError."""
    layout = layout_from(values)
    if values["reverse"] and not _is_file(values["file"]):
        raise click.UsageError("--reverse needs a file, which a pipe or standard input is not")
    if values["seed"] is not None and values["shuffle_ms"] is None:
        raise click.UsageError("--seed is of no use without --shuffle-ms")
    if values["repeat"] != 1 and not _is_repeatable(values["file"]):
        raise click.UsageError("--repeat needs a file that can be read again, which a pipe can't")
    if values["repeat"] == 0 and values["dry_run"]:
        raise click.UsageError("--repeat 0 with --dry-run would never end")
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
    """Tell whether it has an end to read from; a file that isn't there gets its own message later."""
    try:
        return path != STDIN and not any(kind(os.stat(path).st_mode) for kind in _ENDLESS)  # noqa: PTH116
    except OSError:
        return path != STDIN


def _is_repeatable(path: str) -> bool:
    """Tell whether it can be read twice; a file that isn't there gets its own message later."""
    try:
        return path != STDIN and not stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return True
