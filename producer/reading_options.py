"""The options of "Reading the file", and how ``--help`` shows them: for every command that reads a CSV."""

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
    """A command whose help has the options of the group below the others."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options for each of the two."""
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
    """Find --timezone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"no time zone {name!r}; names are like Asia/Shanghai") from error


def read_columns(_context: click.Context, _option: click.Parameter, text: str | None) -> dict[str, str]:
    """Read --columns, ``transaction_id=COL,...``; one with a comma in it is quoted as in CSV."""
    named: dict[str, str] = {}
    try:
        pairs = next(csv.reader([text], strict=True)) if text else []
    except csv.Error as error:
        raise click.BadParameter(str(error)) from error
    for pair in pairs:
        key, equals, column = pair.partition("=")
        key, column = key.strip(), column.strip()
        if key not in NAMES:
            raise click.BadParameter(f"{key!r} is none of {', '.join(NAMES)}")
        if not equals or not column or key in named:
            raise click.BadParameter(f"{key} needs one column: {key}=COL")
        named[key] = column
    return named


def read_delimiter(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """Check --delimiter; a tab may be written as tab."""
    if text is None:
        return None
    delimiter = _SPELT.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n\0' or "\ud800" <= delimiter <= "\udfff":
        raise click.BadParameter(f"{text!r} is not one character, or the quote or a line's end")
    return delimiter


def read_encoding(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Check --encoding."""
    try:
        return check_encoding(name)
    except BadFormatError as error:
        raise click.BadParameter(str(error)) from error


def read_separator(_context: click.Context, _option: click.Parameter, text: str | None) -> str:
    """Read --decimal and --thousands; a blank may be written as space."""
    return "" if text is None else _SPELT.get(text, text)


def layout_from(values: dict[str, Any]) -> Layout:
    """Check what no option can check alone; raises click.BadParameter."""
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
            check_numbers(columns)
    except BadFormatError as error:
        raise click.BadParameter(str(error), param_hint="--columns") from error
    return Layout(
        timestamps=timestamps,
        columns=columns,
        amounts=amounts,
        delimiter=values["delimiter"],
        encoding=values["encoding"],
        skip_lines=values["skip_lines"],
        header=header,
        reverse=values["reverse"],
    )


_OPTIONS: Final = (
    click.option(
        "--columns",
        cls=ReadingOption,
        metavar="transaction_id=COL,timestamp=COL,amount=COL",
        callback=read_columns,
        help="Columns of other names than these. timestamp=A+B joins two by a blank; amount=A-B subtracts one from "
        "the other, where an empty cell counts 0. A column that has such a name itself comes first.",
    ),
    click.option(
        "--timestamp-format",
        cls=ReadingOption,
        default=DEFAULT_FORMAT,
        show_default=True,
        help="A strptime pattern (of zone names, %Z, only UTC and GMT), or iso8601, epoch_s, epoch_ms, epoch_us, "
        "epoch_ns.",
    ),
    click.option(
        "--timezone",
        cls=ReadingOption,
        default="UTC",
        show_default=True,
        callback=read_zone,
        help="Of timestamps without an offset: an IANA name. A time that happens twice is the second one where the "
        "first would lie more than 30 minutes before the row above; one that the clocks skip is rejected.",
    ),
    click.option(
        "--decimal",
        cls=ReadingOption,
        metavar="CHAR",
        default=".",
        show_default=True,
        callback=read_separator,
        help="Between whole and part of an amount.",
    ),
    click.option(
        "--thousands",
        cls=ReadingOption,
        metavar="CHAR",
        callback=read_separator,
        help="Between groups of three digits of an amount: , or . or ' or space (no-break spaces, too).  "
        "[default: nothing]",
    ),
    click.option(
        "--amount-style",
        cls=ReadingOption,
        type=click.Choice(["plain", "accounting"]),
        default="plain",
        show_default=True,
        help="accounting: currency signs and three-letter codes are passed over; (5.00) and 5.00- are -5.00.",
    ),
    click.option(
        "--delimiter",
        cls=ReadingOption,
        metavar="CHAR",
        callback=read_delimiter,
        help="Between cells; a tab is \\t or tab.  [default: , or what a line sep= at the top says]",
    ),
    click.option(
        "--encoding",
        cls=ReadingOption,
        metavar="NAME",
        default=UTF_8,
        show_default=True,
        callback=read_encoding,
        help="Of the text: cp1252, latin-1, utf-16, ...",
    ),
    click.option(
        "--skip-lines",
        cls=ReadingOption,
        metavar="N",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Lines above the header.",
    ),
    click.option(
        "--no-header",
        cls=ReadingOption,
        is_flag=True,
        help="The first row is data: --columns are numbers from 1.  [default: transaction_id=1,timestamp=2,amount=3]",
    ),
    click.option(
        "--reverse",
        cls=ReadingOption,
        is_flag=True,
        help="Read a file from its end, for newest-first ones; rows are counted from there. Needs a temporary file "
        "of the same size.",
    ),
)


def reading_options(command: Command) -> Command:
    """Add the options to a command; `layout_from` reads their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
