"""`txwatch alerts`: prints the alerts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from service.cli.common import FAILED, OK, common_options, complain, say, servers_option
from service.settings import load

if TYPE_CHECKING:
    from service.history.records import StoredRecord
    from service.kafka.reader import TopicReader

SAY_EVERY_S: Final = 5.0
REACH_S: Final = 15.0
"""How long to wait for a broker without --follow."""

Form = Literal["text", "json"]


@click.command()
@common_options
@click.option("--follow", is_flag=True, help="Print alerts as they come, from now on.")
@click.option("--from-beginning", is_flag=True, help="With --follow: start with the oldest alert.")
@click.option("--max", "maximum", type=click.IntRange(min=1), metavar="N", help="End after N alerts.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--shadow", is_flag=True, help="Print what shadow detectors found.")
@servers_option
@click.pass_obj
def alerts(
    outer: Path | None,
    config: Path | None,
    *,
    follow: bool,
    from_beginning: bool,
    maximum: int | None,
    form: Form,
    shadow: bool,
    servers: str | None,
) -> int:
    """Print the committed alerts: all that there are, or with --follow the new ones."""
    # Late, so that --help and a wrong option answer at once.
    from service.app.reading import CommandReader  # noqa: PLC0415
    from service.loop.errors import KafkaProblem  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    settings = load(config or outer, servers=servers).settings
    topic = settings.topics.shadow if shadow else settings.topics.alerts
    oldest_first, said_s = from_beginning or not follow, time.monotonic()

    def start(reader: TopicReader) -> None:
        reader.start(topic, from_beginning=oldest_first)

    def waiting(line: str) -> None:
        nonlocal oldest_first, said_s
        if time.monotonic() - said_s >= SAY_EVERY_S:
            said_s = time.monotonic()
            complain(line, OK)
        # The broker answered, so the topic does not exist yet. Its first record will be new.
        oldest_first = oldest_first or not reader.unreachable

    with stopped_by_signals() as stop:
        reader = CommandReader(settings, stop, "alerts")
        try:
            if reader.start(topic, start, waiting=waiting, **({} if follow else {"limit_s": REACH_S})):
                for line in islice(_lines(reader.read(follow=follow), topic, form), maximum):
                    say(line)
        except KafkaProblem as problem:
            return complain(str(problem), FAILED)
        finally:
            reader.close()
    return OK


def _lines(records: Iterable[StoredRecord], topic: str, form: Form) -> Iterator[str]:
    """Each alert as text or JSON. Other records are skipped, with a line; those without a value silently."""
    from service.wire.alerts import AlertPayload  # noqa: PLC0415 - see above

    for record in records:
        if record.value is None:
            continue
        try:
            alert = AlertPayload.from_json(record.value)
        except (ValueError, RecursionError):
            complain(f"skipped a record of {topic} that is no alert", OK)
        else:
            yield record.value.decode() if form == "json" else _coloured(alert.text(), alert.status)


def _coloured(line: str, status: str | None) -> str:
    """The line in a colour, on a terminal: red for an anomaly, green for the end of an episode."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return line
    return click.style(line, fg="green" if status == "resolved" else "red", bold=True)
