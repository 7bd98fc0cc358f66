"""The command line: lists the commands, and turns an error into one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from service.cli.alerts import alerts
from service.cli.common import FAILED, OK, UNUSABLE, common_options, complain
from service.cli.config import config
from service.cli.explain import explain
from service.cli.forward import forward
from service.cli.rekey import rekey
from service.cli.run import run, run_service
from service.cli.schema import schema
from service.cli.timeline import timeline
from service.cli.top import top
from service.cli.try_input import try_input
from service.process.completion import fault_of_completion
from service.process.limits import LimitError
from service.process.stdout import fault_of_echo
from service.settings import SettingsError

COMMANDS: Final = (run, alerts, explain, try_input, rekey, forward, timeline, top, config, schema)
LATE: Final = {"backtest": "service.cli.backtest", "train": "service.cli.train"}
"""Commands whose options take long to load, and the module of each. No other command waits for them."""
PROGRAM: Final = "txwatch"


class Commands(click.Group):
    """The commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in order."""
        return sorted([*super().list_commands(ctx), *LATE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, which may have to be loaded first."""
        if cmd_name not in LATE:
            return super().get_command(ctx, cmd_name)
        found: click.Command = getattr(import_module(LATE[cmd_name]), cmd_name)
        return found


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@common_options
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Find anomalous transactions in a Kafka stream. Without a command: run."""
    context.obj = config
    if context.invoked_subcommand is None:
        context.exit(run_service(config))


for command in COMMANDS:
    cli.add_command(command)


def main() -> int:
    """Run a command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as JSON and TOML are, whatever the locale
    if (fault := fault_of_completion(PROGRAM, os.environ)) is not None:
        return complain(fault, UNUSABLE)
    try:
        code: int | None = cli.main(prog_name=PROGRAM, standalone_mode=False)
    except (SystemExit, click.Abort):  # click exits after a shell's request, or where the reader of --help has gone
        return OK
    except click.ClickException as error:
        return complain(error.format_message(), UNUSABLE)
    except (SettingsError, LimitError) as error:
        return complain(str(error), UNUSABLE)
    except OSError as error:
        if (fault := fault_of_echo(error)) is None:
            raise
        return complain(fault, FAILED)
    return code or OK
