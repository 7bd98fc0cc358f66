"""`txwatch try-input`: shows what the input's records become."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from service.cli.common import FAILED, OK, common_options, complain, say, servers_option
from service.settings import load

if TYPE_CHECKING:
    from service.history.records import StoredRecord
    from service.history.trial import Trial
    from service.kafka.reader import TopicReader

REACH_S: Final = 15.0
"""How long to wait for a broker."""
DEFAULT_MAX: Final = 10


@click.command()
@common_options
@click.option(
    "--max",
    "maximum",
    type=click.IntRange(min=1),
    metavar="N",
    default=DEFAULT_MAX,
    show_default=True,
    help="End after N records.",
)
@servers_option
@click.pass_obj
def try_input(outer: Path | None, config: Path | None, *, maximum: int, servers: str | None) -> int:
    """Show what the first records of the input topic become, or why they are rejected.

    It joins no group and writes nothing. The exit code is 1 where every record is rejected, or there is none.
    """
    # Late, so that --help and a wrong option answer at once.
    from service.app.input import make_decoder  # noqa: PLC0415
    from service.app.reading import CommandReader, WaitingDecoder  # noqa: PLC0415
    from service.history.trial import Trial  # noqa: PLC0415
    from service.loop.errors import KafkaProblem  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    settings = load(config or outer, servers=servers).settings
    topic = settings.topics.transactions
    by_append_time = settings.window.clock == "ingestion"
    decoder = make_decoder(settings)
    with stopped_by_signals() as stop:
        waiting = WaitingDecoder(decoder, stop, REACH_S)
        trial = Trial(waiting, settings.watermark.max_future_ms, by_append_time=by_append_time)
        reader = CommandReader(settings, stop, "try-input")
        try:
            if not reader.start(topic, partial(_start, topic, settings.kafka.bootstrap_servers), limit_s=REACH_S):
                return OK
            _show(islice(reader.read(), maximum), trial)
        except KafkaProblem as problem:
            return complain(str(problem), FAILED)
        finally:
            reader.close()
        if stop.asked():
            return OK
    if not trial.counts:
        return complain(f"topic {topic} is empty", FAILED)
    say(trial.summary(topic))
    return FAILED if trial.all_rejected() else OK


def _start(topic: str, servers: str, reader: TopicReader) -> None:
    from service.loop.errors import Fatal, Retriable  # noqa: PLC0415 - see above

    try:
        reader.start(topic, from_beginning=True)
    except Retriable as problem:
        if "UNKNOWN_TOPIC" in str(problem):  # waiting for its first record would be of no use
            raise Fatal(f"there is no topic {topic} on {servers}") from problem
        raise


def _show(records: Iterable[StoredRecord], trial: Trial) -> None:
    from service.core.model import WallTimeMs  # noqa: PLC0415 - see above
    from service.history.trial import HEADING  # noqa: PLC0415

    for record in records:
        if not trial.counts:
            say(HEADING)
        for line in trial.lines(record, WallTimeMs(time.time_ns() // 1_000_000)):
            say(line)
