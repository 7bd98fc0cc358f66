"""The command line of the replay producer: arguments in, exit code out.

Exit codes: 0 done, also after SIGINT or SIGTERM; 1 a row was not delivered, all rows were rejected, or one was under
--strict; 2 wrong usage, configuration or input file, with one line that names it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from producer import options
from producer.app import StartError, replay
from producer.display import PROGRAM, say
from producer.environment import SettingOption
from producer.reading_options import GroupedCommand, ReadingOption, read_names, reading_options
from producer.registered import FORMATS
from producer.stop import Stop
from service import __version__
from service.process.completion import fault_of_completion
from service.process.limits import shortage
from service.process.stdout import fault_of_echo

EXIT_FAILED, EXIT_USAGE = 1, 2


def complete_file(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Let the shell complete the name of a file."""
    return [CompletionItem(incomplete, type="file")]


class Program(click.Group):
    """The commands. The error about a missing ``replay`` suggests it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        name = args[0]
        is_file = "." in name or "/" in name or name == "-" or os.path.exists(name)  # noqa: PTH110  never raises
        if is_file and self.get_command(ctx, name) is None:
            raise click.UsageError(f"no such command {name!r}; did you mean: {PROGRAM} replay {shlex.quote(name)}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command. An error about an option of ``replay`` says that it belongs after it."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            option = error.option_name
            parameters = [one for command in self.commands.values() for one in command.params]
            if any(option in {*one.opts, *one.secondary_opts} for one in parameters):
                raise click.UsageError(f"{option} belongs after the command: {PROGRAM} replay FILE {option}") from None
            raise


@click.group(
    cls=Program,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Replay transactions from a CSV file into Kafka."""


@cli.command("replay", cls=GroupedCommand)
@click.version_option(__version__, prog_name=PROGRAM)
@click.argument("file", shell_complete=complete_file)
@click.option(
    "--topic",
    cls=SettingOption,
    default="transactions",
    envvar="TOPICS_TRANSACTIONS",
    show_envvar=True,
    show_default=True,
    callback=options.read_topic,
    help="Where the rows go.",
)
@click.option(
    "--bootstrap-servers",
    cls=SettingOption,
    default="localhost:9092",
    envvar="KAFKA_BOOTSTRAP_SERVERS",
    show_envvar=True,
    show_default=True,
    callback=options.read_brokers,
    help="Brokers, host:port,host:port. KAFKA_PROPERTIES takes other librdkafka properties, as a JSON object.",
)
@click.option(
    "--pace",
    type=click.Choice(["event-time", "rate", "max"]),
    default="event-time",
    show_default=True,
    help="As the timestamps say, at --rate, or as fast as possible.",
)
@click.option(
    "--speed",
    type=float,
    callback=options.read_positive,
    help="Event-time pace: this many times faster.",
)
@click.option("--rate", type=float, callback=options.read_positive, help="Pace rate: rows a second.")
@click.option("--align", is_flag=True, help="Start just after the next multiple of WINDOW_SIZE_MS of the wall clock.")
@click.option("--rebase", type=click.Choice(["now"]), help="Shift event times so that the first is now.")
@click.option("--shuffle-ms", type=options.Milliseconds(0), help="Delay each row at random, by up to this event time.")
@click.option("--seed", type=int, help="Seed of --shuffle-ms: the same seed gives the same order.  [default: 0]")
@click.option(
    "--repeat",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Passes over the file; 0: without end. With --rebase or event-time pace, event times continue from pass to "
    "pass.",
)
@click.option(
    "--start-row",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="First row to send, counted from 1 below the header. The summary's next_row is meant for it.",
)
@click.option(
    "--rejects",
    metavar="FILE",
    shell_complete=complete_file,
    help="Write malformed rows there, as CSV: line, reason, raw. With --start-row above 1, append.",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="json",
    show_default=True,
    help="The records' format. All but json need --registry-url and the extra txwatch[registry].",
)
@click.option(
    "--registry-url",
    metavar="URL",
    help="The schema registry, or several, joined by commas. REGISTRY_PROPERTIES has its password and the like.",
)
@click.option(
    "--schema",
    metavar="FILE",
    shell_complete=complete_file,
    help="The schema to register under TOPIC-value.  [default: one with the fields that are sent]",
)
@click.option("--strict", is_flag=True, help="Exit 1 if a row was rejected. The other rows are still sent.")
@click.option("--dry-run", is_flag=True, help="Read and check all rows, send nothing.")
@click.option("--progress/--no-progress", default=None, help="A progress bar.  [default: on a terminal]")
@click.option("--metrics-port", type=click.IntRange(0, 65_535), help="Serve Prometheus metrics; 0 takes a free port.")
@reading_options
@click.option(
    "--max-gap",
    metavar="SECONDS",
    cls=ReadingOption,
    type=options.Seconds(),
    callback=options.read_positive,
    help="Event-time pace: the longest wait from one row to the next.",
)
@click.option(
    "--extra",
    metavar="COL,COL",
    cls=ReadingOption,
    callback=read_names,
    help="Further columns to send, as text fields of their names; an empty cell is null.",
)
@click.pass_obj
def replay_command(stop: Stop, /, **values: Any) -> int:  # noqa: ANN401  click's values, checked by options_from
    """Replay FILE (- is standard input, .gz is unpacked) into Kafka.

    The last line on standard output is a JSON summary. Rows are counted from 1 below the header. next_row is the first
    row that was not delivered; --start-row resumes there.
    """
    return replay(options.options_from(values), stop)


def main(stop: Stop, arguments: Sequence[str] | None = None) -> int:
    """Run the command line until its end or a stop; returns the exit code."""
    if (fault := fault_of_completion(PROGRAM, os.environ)) is not None:
        say(fault)
        return EXIT_USAGE
    try:
        _end_in_time(stop)  # before the options are read: that opens files, and a FIFO may have no writer
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False, obj=stop)
    except SystemExit:  # click's way to end after a shell's request, or where the reader of --help has gone
        return 0
    except click.ClickException as error:
        say(" ".join(error.format_message().split()))
        return EXIT_USAGE
    except StartError as error:
        say(str(error))
        return EXIT_USAGE
    except OSError as error:
        if (fault := fault_of_echo(error)) is None:
            raise
        say(fault)
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _end_in_time(stop: Stop) -> None:
    """Bound the time from a signal to the end of the process, whatever a file, the client or our output's reader do."""
    try:
        stop.end_in_time(lambda: say("the replay did not end in time after the signal; there is no summary"))
    except RuntimeError as error:
        raise StartError(shortage(error) or str(error)) from error
