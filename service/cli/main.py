"""The command line: arguments and settings in, exit codes out."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import click

from service import __version__
from service.process.limits import LimitError, try_threads
from service.settings import Loaded, SettingsError, load

OK: Final = 0
FAILED: Final = 1
UNUSABLE: Final = 2

PathOption = click.Path(path_type=Path)


def _common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config", type=PathOption, metavar="FILE", help="TOML settings; default config/service.toml where it exists."
    )(click.version_option(__version__, prog_name="txwatch")(function))


@click.group(invoke_without_command=True)
@_common_options
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Find anomalous transactions in a Kafka stream. Without a command: run."""
    context.obj = config
    if context.invoked_subcommand is None:
        context.exit(_run(load(config)))


@cli.command()
@_common_options
@click.pass_obj
def run(outer: Path | None, config: Path | None) -> int:
    """Run the service until SIGTERM or SIGINT."""
    return _run(load(config or outer))


def _run(loaded: Loaded) -> int:
    # Late, so that --help and a wrong setting answer at once.
    from service.app import bootstrap  # noqa: PLC0415
    from service.observe import log  # noqa: PLC0415
    from service.process import stop  # noqa: PLC0415

    log_format = loaded.settings.log.format or ("console" if sys.stderr.isatty() else "json")
    log.configure(loaded.settings.log.level, log_format)
    try_threads()
    with stop.stopped_by_signals() as asked:
        return bootstrap.Service(loaded.settings, asked).run()


@cli.command()
@_common_options
@click.option("--follow", is_flag=True, help="Go on when all has been read; starts with what comes from now on.")
@click.option("--from-beginning", is_flag=True, help="Start with the oldest alert, also under --follow.")
@click.option("--max", "maximum", type=click.IntRange(min=1), metavar="N", help="End after N alerts.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def alerts(
    outer: Path | None,
    config: Path | None,
    *,
    follow: bool,
    from_beginning: bool,
    maximum: int | None,
    form: Literal["text", "json"],
) -> int:
    """Print the committed alerts: all that are there, or with --follow those to come."""
    from service.cli.alerts import print_alerts  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    loaded = load(config or outer)
    with stopped_by_signals() as stop:
        return print_alerts(
            loaded.settings,
            stop,
            follow=follow,
            from_beginning=from_beginning or not follow,
            maximum=maximum,
            form=form,
            say=_say,
        )


class _Moment(click.ParamType[int]):
    """Epoch milliseconds, or ISO 8601; without an offset it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        if isinstance(value, int):
            return value
        try:
            if value.isdecimal():
                return int(value)
            found = datetime.fromisoformat(value)
            return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither epoch milliseconds nor a time like 2024-05-11T10:00:00+08:00", param, ctx)


@cli.command()
@_common_options
@click.option("--from", "from_ms", type=_Moment(), default=0, help="Records stored in Kafka from then on.")
@click.option("--to", "to_ms", type=_Moment(), default=2**63 - 1, help="And up to then. Default: all that is there.")
@click.option("--max-records", "most", type=click.IntRange(min=1), default=200_000, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="FILE.svg, .png or .pdf")
@click.pass_obj
def timeline(outer: Path | None, config: Path | None, *, from_ms: int, to_ms: int, most: int, output: Path) -> int:
    """Draw records, watermark and windows on the axes of time. Needs the extra txwatch[timeline]."""
    from service.cli.timeline import timeline as draw_timeline  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    loaded = load(config or outer)
    with stopped_by_signals() as stop:
        return draw_timeline(loaded.settings, stop, from_ms=from_ms, to_ms=to_ms, most=most, output=output)


@cli.command()
@_common_options
@click.pass_obj
def config(outer: Path | None, config: Path | None) -> int:
    """Print the effective settings as TOML, secrets masked, and where each came from."""
    _say(load(config or outer).as_toml().rstrip())
    return OK


@cli.command()
@_common_options
@click.argument("name", metavar="NAME", type=click.Choice(["transaction", "alert", "aggregate"]))
@click.pass_obj
def schema(outer: Path | None, name: Literal["transaction", "alert", "aggregate"], config: Path | None) -> int:
    """Print the JSON Schema of a payload."""
    from service.wire.schemas import json_schema  # noqa: PLC0415

    if file := config or outer:  # no use for it here, but one that cannot be used is told of by every command
        load(file)
    _say(json.dumps(json_schema(name), indent=2))
    return OK


def main() -> int:
    """Run a command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as JSON and TOML are, whatever the locale
    try:
        code: int | None = cli.main(prog_name="txwatch", standalone_mode=False)
    except click.ClickException as error:
        return _complain(error.format_message(), UNUSABLE)
    except SettingsError as error:
        return _complain(str(error), UNUSABLE)
    except LimitError as error:
        return _complain(str(error), UNUSABLE)
    except click.Abort:
        return OK
    return code or OK


def _say(text: str) -> None:
    """Print to standard output; when whoever reads it has had enough, as head(1) has, end well."""
    try:
        print(text, flush=True)  # noqa: T201 - this is what the commands are for
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        enough = isinstance(error, BrokenPipeError)
        code = OK if enough else _complain(f"standard output: {error.strerror}", FAILED)
        raise click.exceptions.Exit(code) from None


def _complain(line: str, code: int) -> int:
    print(f"txwatch: {' '.join(line.split())}", file=sys.stderr)  # noqa: T201 - the one line of a wrong start
    return code
