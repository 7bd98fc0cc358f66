"""The options of "Reading the file", and their group in ``--help``, for each command that reads a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from producer.reading.amounts import Amounts
from producer.reading.columns import BY_NUMBER, Columns, check_numbers
from producer.reading.encodings import UTF_8, check_encoding
from producer.reading.errors import BadFormatError
from producer.reading.layout import Layout
from producer.reading.times import DEFAULT_FORMAT, TimestampParser

Command = TypeVar("Command", bound=Callable[..., Any])

GROUP: Final = "Reading the file"
NAMES: Final = tuple(Columns.__slots__)
_SPELT: Final = {"\\t": "\t", "tab": "\t", "space": " "}


class ReadingOption(click.Option):
    """An option that ``--help`` shows in the group."""


class GroupedCommand(click.Command):
    """A command whose help shows these options in a group below the others."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each group."""
        titles: dict[str, list[tuple[str, str]]] = {"Options": [], GROUP: []}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None:
                titles[GROUP if isinstance(option, ReadingOption) else "Options"].append(record)
        for title, records in titles.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def read_zone(_context: click.Context, _option: click.Parameter, name: str) -> ZoneInfo:
    """Read --timezone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"no time zone {name!r}; names are like Asia/Shanghai") from error


def read_columns(_context: click.Context, _option: click.Parameter, text: str | None) -> dict[str, str]:
    """Read --columns, ``transaction_id=COL,...``. A pair that contains a comma is quoted as in CSV."""
    named: dict[str, str] = {}
    for pair in _split(text):
        key, equals, column = pair.partition("=")
        key, column = key.strip(), column.strip()
        if key not in NAMES:
            raise click.BadParameter(f"{key!r} is not one of {', '.join(NAMES)}")
        if not equals or not column or key in named:
            raise click.BadParameter(f"{key} needs one column: {key}=COL")
        named[key] = column
    return named


def read_delimiter(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """Read --delimiter; ``tab`` means a tab."""
    if text is None:
        return None
    delimiter = _SPELT.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n\0' or "\ud800" <= delimiter <= "\udfff":
        raise click.BadParameter(f"{text!r} must be one character, but not a quote or a line end")
    return delimiter


def read_names(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Read --extra, ``COL,COL``. A name that contains a comma is quoted as in CSV."""
    names = tuple(name.strip() for name in _split(text))
    for name in names:
        if not name:
            raise click.BadParameter("a column without a name")
        if name in NAMES:
            raise click.BadParameter(f"{name} is a field of each record already")
        if names.count(name) > 1:
            raise click.BadParameter(f"{name} is there twice")
    return names


def _split(text: str | None) -> list[str]:
    try:
        return next(csv.reader([text], strict=True)) if text else []
    except csv.Error as error:
        raise click.BadParameter(str(error)) from error


def read_encoding(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Read --encoding."""
    try:
        return check_encoding(name)
    except BadFormatError as error:
        raise click.BadParameter(str(error)) from error


def read_separator(_context: click.Context, _option: click.Parameter, text: str | None) -> str:
    """Read --decimal and --thousands; ``space`` means a space."""
    return "" if text is None else _SPELT.get(text, text)


def layout_from(values: dict[str, Any]) -> Layout:
    """Check what involves several options; raises click.BadParameter."""
    extra: tuple[str, ...] = values.get("extra", ())
    try:
        timestamps = TimestampParser(values["timestamp_format"], values["timezone"])
    except BadFormatError as error:
        raise click.BadParameter(str(error), param_hint="--timestamp-format") from error
    try:
        amounts = Amounts(values["decimal"], values["thousands"], accounting=values["amount_style"] == "accounting")
    except BadFormatError as error:
        raise click.BadParameter(str(error), param_hint="--decimal, --thousands") from error
    header = not values["no_header"]
    named = values["columns"]
    columns = Columns(**named) if header else Columns(**{name: getattr(BY_NUMBER, name) for name in NAMES} | named)
    try:
        if not header:
            check_numbers(columns, extra)
    except BadFormatError as error:
        raise click.BadParameter(str(error), param_hint="--columns, --extra" if extra else "--columns") from error
    return Layout(
        timestamps=timestamps,
        columns=columns,
        amounts=amounts,
        delimiter=values["delimiter"],
        encoding=values["encoding"],
        skip_lines=values["skip_lines"],
        header=header,
        reverse=values["reverse"],
        extra=extra,
    )


_OPTIONS: Final = (
    click.option(
        "--columns",
        cls=ReadingOption,
        metavar="transaction_id=COL,timestamp=COL,amount=COL",
        callback=read_columns,
        help="The columns, if they have other names. timestamp=A+B joins two columns with a space; amount=A-B "
        "subtracts B from A, and an empty cell counts as 0. If a column has that exact name, it is used instead.",
    ),
    click.option(
        "--timestamp-format",
        cls=ReadingOption,
        default=DEFAULT_FORMAT,
        show_default=True,
        help="A strptime pattern, or iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns. %Z reads only UTC and GMT.",
    ),
    click.option(
        "--timezone",
        cls=ReadingOption,
        default="UTC",
        show_default=True,
        callback=read_zone,
        help="The zone of timestamps without an offset: an IANA name. A time that occurs twice is the second one if "
        "the first would be more than 30 minutes before the row above. A time that the clocks skip is rejected.",
    ),
    click.option(
        "--decimal",
        cls=ReadingOption,
        metavar="CHAR",
        default=".",
        show_default=True,
        callback=read_separator,
        help="The decimal separator of amounts.",
    ),
    click.option(
        "--thousands",
        cls=ReadingOption,
        metavar="CHAR",
        callback=read_separator,
        help="The thousands separator of amounts: , or . or ' or space (which includes no-break spaces).  "
        "[default: none]",
    ),
    click.option(
        "--amount-style",
        cls=ReadingOption,
        type=click.Choice(["plain", "accounting"]),
        default="plain",
        show_default=True,
        help="accounting: ignore currency signs and three-letter codes; (5.00) and 5.00- are -5.00.",
    ),
    click.option(
        "--delimiter",
        cls=ReadingOption,
        metavar="CHAR",
        callback=read_delimiter,
        help="The separator of cells; \\t or tab for a tab.  [default: a comma, or what a first line sep= says]",
    ),
    click.option(
        "--encoding",
        cls=ReadingOption,
        metavar="NAME",
        default=UTF_8,
        show_default=True,
        callback=read_encoding,
        help="The file's encoding: cp1252, latin-1, utf-16, ...",
    ),
    click.option(
        "--skip-lines",
        cls=ReadingOption,
        metavar="N",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="The number of lines above the header.",
    ),
    click.option(
        "--no-header",
        cls=ReadingOption,
        is_flag=True,
        help="The first row is data, and --columns takes numbers from 1.  "
        "[default: transaction_id=1,timestamp=2,amount=3]",
    ),
    click.option(
        "--reverse",
        cls=ReadingOption,
        is_flag=True,
        help="Read a newest-first file from its end, and count rows from there. It needs room for a temporary file of "
        "the same size.",
    ),
)


def reading_options(command: Command) -> Command:
    """Add these options to a command; `layout_from` reads their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
