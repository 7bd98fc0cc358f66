"""`txwatch backtest`: what a configuration would have reported on history."""

from __future__ import annotations

import json
import math
import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from producer.reading.source import STDIN
from producer.reading_options import GroupedCommand, ReadingOption, layout_from, reading_options
from service.cli.common import FAILED, OK, Moment, common_options, complain, say, servers_option
from service.cli.labels import with_label
from service.settings import SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.history.backtest.report import Report

_BUDGET: Final = re.compile(r"(\d+(?:\.\d+)?)(?:\s*/\s*day)?")


def read_budget(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """Read --budget."""
    if text is None:
        return None
    found = _BUDGET.fullmatch(text.strip())
    if found is None or not math.isfinite(float(found[1])):
        raise click.BadParameter(f"{text!r} is not a number of alerts a day, like 10/day")
    return float(found[1])


@click.command(cls=GroupedCommand)
@common_options
@click.option(
    "--against",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="TOML settings to compare with: which alerts are gained, and which are lost.",
)
@click.option(
    "--csv",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Read these transactions; - is standard input, .gz is unpacked.",
)
@click.option(
    "--from", "from_ms", type=Moment(), help="Read the input topic from this Kafka timestamp on; 0: all of it."
)
@click.option("--to", "to_ms", type=Moment(), help="The Kafka timestamp to end before.  [default: the topic's end]")
@click.option(
    "--warm-up-from",
    "warm_up_from_ms",
    type=Moment(),
    help="Read from here on, so that detectors know what is usual, and report from --from on.",
)
@click.option(
    "--label",
    metavar="COLUMN",
    help="A column of the CSV with 1 or true in bad records: shows precision and recall. A window is bad if any of its "
    "records is.",
)
@click.option(
    "--budget",
    metavar="N/day",
    callback=read_budget,
    help="Show the limit of each detector that would have given at most N alerts a day.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The report's form.",
)
@click.option(
    "--alerts",
    "alerts_file",
    metavar="FILE.jsonl",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write each alert, one a line.",
)
@click.option(
    "--plot",
    metavar="FILE.svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw alerts over time and, with --label, precision over recall. Needs the extra txwatch[timeline].",
)
@servers_option
@reading_options
@click.pass_context
def backtest(
    context: click.Context,
    /,
    config: Path | None,
    *,
    against: Path | None,
    path: str | None,
    from_ms: int | None,
    to_ms: int | None,
    warm_up_from_ms: int | None,
    label: str | None,
    budget: float | None,
    form: str,
    alerts_file: Path | None,
    plot: Path | None,
    servers: str | None,
    **reading: Any,  # noqa: ANN401 - click's values, checked by layout_from
) -> int:
    """Show what a configuration would have reported on a CSV, or on a span of the input topic.

    It joins no group and writes nothing to Kafka. Ctrl-C ends it, with the report of what was found so far.
    """
    _check_source(context, path, from_ms, to_ms, warm_up_from_ms, label)
    layout = with_label(layout_from(reading), label)
    loaded = load(config or context.obj, servers=servers)
    old = None if against is None else load(against, servers=servers)
    draw = None if plot is None else _drawing(plot)
    # Late, so that --help and a wrong option answer at once.
    from service.app.backtesting import Backtest  # noqa: PLC0415
    from service.app.csv_file import CsvFile  # noqa: PLC0415
    from service.cli.progress import Bar  # noqa: PLC0415
    from service.core.memory.failure import DetectorError  # noqa: PLC0415
    from service.history.backtest.span import Span  # noqa: PLC0415
    from service.loop.errors import KafkaProblem  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    with ExitStack() as stack:
        stop = stack.enter_context(stopped_by_signals())
        write = None if alerts_file is None else _open(stack, alerts_file, path)
        test = Backtest(
            loaded.settings,
            None if old is None else old.settings,
            labelled=label is not None,
            budget=budget,
            write=write,
        )
        if against is not None and old is not None:
            for name in sorted(loaded.from_environment() & old.from_environment()):
                test.note(f"{name} comes from the environment, in both configurations.")
        try:
            with Bar("records") as bar:
                if path is not None:
                    test.over_csv(CsvFile(path, layout, stop), label, bar.show, stop)
                else:
                    test.over_topic(Span(from_ms or 0, to_ms, warm_up_from_ms), bar.show, stop)
            if stop.asked():
                test.note("It was stopped before the end: these are the figures up to there.")
            if draw is not None and plot is not None:
                draw(test.report, plot)
        except (DetectorError, KafkaProblem, OSError) as problem:
            return complain(str(problem), FAILED)
    _print(test.report, form)
    return OK


def _check_source(  # noqa: PLR0917 - click's values
    context: click.Context,
    path: str | None,
    from_ms: int | None,
    to_ms: int | None,
    warm_up_from_ms: int | None,
    label: str | None,
) -> None:
    """Refuse options that do not go together."""
    if (path is None) is (from_ms is None):
        raise click.UsageError("give either --csv FILE or --from TIME (0: all of the topic)")
    if path is not None:
        for name, value in (("--to", to_ms), ("--warm-up-from", warm_up_from_ms)):
            if value is not None:
                raise click.UsageError(f"{name} goes with --from, not with --csv")
        return
    if label is not None:
        raise click.UsageError("--label needs --csv: records of a topic have no labels")
    for option in context.command.params:
        if isinstance(option, ReadingOption) and _was_given(context, option):
            raise click.UsageError(f"{option.opts[0]} goes with --csv")
    _check_span(from_ms or 0, to_ms, warm_up_from_ms)


def _was_given(context: click.Context, option: click.Parameter) -> bool:
    return context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE


def _check_span(from_ms: int, to_ms: int | None, warm_up_from_ms: int | None) -> None:
    if to_ms is not None and to_ms <= from_ms:
        raise click.UsageError("--to must be later than --from")
    if warm_up_from_ms is not None and warm_up_from_ms > from_ms:
        raise click.UsageError("--warm-up-from must not be later than --from")


def _drawing(plot: Path) -> Callable[[Report, Path], None]:
    try:
        from service.history.backtest.draw import draw  # noqa: PLC0415 - an extra
        from service.history.timeline.draw import FORMATS  # noqa: PLC0415
    except ImportError:
        raise SettingsError("--plot needs matplotlib: pip install 'txwatch[timeline]'") from None
    if plot.suffix not in FORMATS:
        raise SettingsError(f"--plot {plot}: its name must end with one of {', '.join(FORMATS)}")
    return draw


def _open(stack: ExitStack, file: Path, csv: str | None) -> Callable[[bytes], None]:
    """Open the file of alerts; returns what writes a line."""
    if csv not in {None, STDIN} and file.exists() and Path(str(csv)).exists() and file.samefile(str(csv)):
        raise click.UsageError(f"--alerts {file} is the file that --csv reads")
    try:
        opened = stack.enter_context(file.open("wb"))
    except OSError as error:
        raise click.UsageError(f"--alerts {file}: {error.strerror}") from None

    def write(line: bytes) -> None:
        opened.write(line + b"\n")

    return write


def _print(report: Report, form: str) -> None:
    from service.history.backtest.report import as_json  # noqa: PLC0415 - see above
    from service.history.backtest.text import lines  # noqa: PLC0415

    if form == "json":
        say(json.dumps(as_json(report), ensure_ascii=False))
        return
    for line in lines(report, shutil.get_terminal_size().columns):
        say(line)
