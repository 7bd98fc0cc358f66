"""What all commands share: options, exit codes, and lines for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from service import __version__
from service.process.stdout import OutputError, print_line

OK: Final = 0
FAILED: Final = 1
UNUSABLE: Final = 2


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config and --version."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="TOML settings; default config/service.toml where it exists.",
    )
    return config(click.version_option(__version__, prog_name="txwatch")(function))


class Moment(click.ParamType[int]):
    """Epoch milliseconds, or ISO 8601; without an offset it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Read it."""
        if isinstance(value, int):
            return value
        try:
            if value.isdecimal():
                return int(value)
            found = datetime.fromisoformat(value)
            return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither epoch milliseconds nor a time like 2024-05-11T10:00:00+08:00", param, ctx)


servers_option = click.option(
    "--bootstrap-servers",
    "servers",
    metavar="HOSTS",
    help="Brokers, host:port,host:port. Default: KAFKA_BOOTSTRAP_SERVERS, or the file's.",
)
"""For commands that only read. It wins over the environment and the file."""


def say(text: str) -> None:
    """Print to standard output. Where its reader has closed it, as head(1) does, the command ends with exit code 0."""
    try:
        print_line(text)
    except OutputError as error:
        raise click.exceptions.Exit(OK if error.fault is None else complain(error.fault, FAILED)) from None


def complain(line: str, code: int) -> int:
    """Print one line to standard error; returns the code."""
    print(f"txwatch: {' '.join(line.split())}", file=sys.stderr)  # noqa: T201 - the one line of a wrong start
    return code
