"""The command line: every option checked before anything is opened, each message naming its option or variable."""

from __future__ import annotations

import csv
import math
import os
import stat
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from producer.csv_rows import Columns
from producer.fields import BadFormatError, TimestampParser
from producer.properties import PropertiesError, Value, check_brokers, check_topic, parse_properties
from producer.replay import AsFast, AtRate, ByEventTime, Pace
from producer.source import STDIN

DEFAULT_WINDOW_MS: Final = 10_000
WINDOW_DIGITS_MAX: Final = 12
DEFAULT_HTTP_HOST: Final = "0.0.0.0"  # noqa: S104  the contract's default, as for the service


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
    timestamps: TimestampParser
    columns: Columns
    delimiter: str
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
    """Check --speed and --rate."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{value} is not a number above 0")
    return value


def read_zone(_context: click.Context, _option: click.Parameter, name: str) -> ZoneInfo:
    """Find --timezone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"no time zone {name!r}; names are like Asia/Shanghai") from error


def read_columns(_context: click.Context, _option: click.Parameter, text: str | None) -> Columns:
    """Read --columns, ``transaction_id=COL,...``; one with a comma in it is quoted as in CSV."""
    named: dict[str, str] = {}
    try:
        pairs = next(csv.reader([text], strict=True)) if text else []
    except csv.Error as error:
        raise click.BadParameter(str(error)) from error
    for pair in pairs:
        key, equals, column = pair.partition("=")
        key, column = key.strip(), column.strip()
        if key not in Columns.__slots__:
            raise click.BadParameter(f"{key!r} is none of {', '.join(Columns.__slots__)}")
        if not equals or not column or key in named:
            raise click.BadParameter(f"{key} needs one column: {key}=COL")
        named[key] = column
    return Columns(**named)


def read_delimiter(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Check --delimiter; a tab may be written as tab."""
    delimiter = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n\0' or "\ud800" <= delimiter <= "\udfff":
        raise click.BadParameter(f"{text!r} is not one character, or the quote or a line's end")
    return delimiter


def options_from(values: dict[str, Any]) -> Options:
    """Check what no option can check alone; raises click.UsageError."""
    zone = values["timezone"]
    try:
        timestamps = TimestampParser(values["timestamp_format"], zone)
    except BadFormatError as error:
        raise click.BadParameter(str(error), param_hint="--timestamp-format") from error
    if values["seed"] is not None and values["shuffle_ms"] is None:
        raise click.UsageError("--seed is of no use without --shuffle-ms")
    if values["repeat"] != 1 and not _is_repeatable(values["file"]):
        raise click.UsageError("--repeat needs a file that can be read again, which a pipe can't")
    if values["repeat"] == 0 and values["dry_run"]:
        raise click.UsageError("--repeat 0 with --dry-run would never end")
    pace = _pace(values["pace"], values["speed"], values["rate"])
    return Options(
        file=values["file"],
        topic=values["topic"],
        brokers=values["bootstrap_servers"],
        properties=_properties(),
        pace_name=values["pace"],
        pace=AsFast() if values["dry_run"] else pace,
        zone=zone,
        timestamps=timestamps,
        columns=values["columns"],
        delimiter=values["delimiter"],
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
        metrics_host=os.environ.get("HTTP_HOST") or DEFAULT_HTTP_HOST,
        metrics_port=values["metrics_port"],
    )


def _pace(name: str, speed: float | None, rate: float | None) -> Pace:
    if rate is not None and name != "rate":
        raise click.UsageError("--rate needs --pace rate")
    if speed is not None and name != "event-time":
        raise click.UsageError("--speed needs --pace event-time")
    if name == "max":
        return AsFast()
    if name == "event-time":
        return ByEventTime(speed or 1.0)
    if rate is None:
        raise click.UsageError("--pace rate needs --rate N")
    return AtRate(rate)


def _properties() -> dict[str, Value]:
    try:
        return parse_properties(os.environ.get("KAFKA_PROPERTIES") or "{}")
    except PropertiesError as error:
        raise click.UsageError(f"KAFKA_PROPERTIES: {error}") from error


def _window_ms() -> int:
    text = os.environ.get("WINDOW_SIZE_MS") or str(DEFAULT_WINDOW_MS)
    if not (text.isascii() and text.isdigit() and len(text) <= WINDOW_DIGITS_MAX and int(text)):
        raise click.UsageError(f"WINDOW_SIZE_MS: {text!r} is not a whole number of milliseconds above 0")
    return int(text)


def _is_repeatable(path: str) -> bool:
    """Tell whether it can be read twice; a file that isn't there gets its own message later."""
    try:
        return path != STDIN and not stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return True
