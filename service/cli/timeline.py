"""`txwatch timeline`: draws records, watermark and windows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from service.cli.common import FAILED, OK, Moment, common_options, complain, say, servers_option
from service.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from service.app.reading import CommandReader
    from service.history.records import StoredRecord
    from service.kafka.reader import TopicReader

REACH_S: Final = 15.0
"""How long to wait for a broker."""
SAY_EVERY_S: Final = 1.0


@click.command()
@common_options
@click.option(
    "--from", "from_ms", type=Moment(), default=0, help="The first record's time in Kafka. Default: the oldest."
)
@click.option("--to", "to_ms", type=Moment(), default=2**63 - 1, help="The last record's time. Default: the newest.")
@click.option("--max-records", "most", type=click.IntRange(min=1), default=200_000, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="FILE.svg, .png or .pdf")
@servers_option
@click.pass_obj
def timeline(
    outer: Path | None,
    config: Path | None,
    *,
    from_ms: int,
    to_ms: int,
    most: int,
    output: Path,
    servers: str | None,
) -> int:
    """Draw records, watermark and windows over time. Needs the extra txwatch[timeline]."""
    # Late, so that --help and a wrong option answer at once.
    from service.app.input import make_decoder  # noqa: PLC0415
    from service.app.reading import CommandReader  # noqa: PLC0415
    from service.history.timeline.collect import Span, collect  # noqa: PLC0415
    from service.loop.errors import KafkaProblem  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    settings = load(config or outer, servers=servers).settings
    with stopped_by_signals() as stop:
        try:
            from service.history.timeline.draw import FORMATS, draw  # noqa: PLC0415 - an extra
        except ImportError:
            raise SettingsError("timeline needs matplotlib: pip install 'txwatch[timeline]'") from None
        if output.suffix not in FORMATS:
            raise SettingsError(f"--output {output}: its name must end with one of {', '.join(FORMATS)}")
        decoder = make_decoder(settings)
        reader = CommandReader(settings, stop, "timeline")
        try:
            picture = collect(
                _Reads(reader).read,
                Span(from_ms, to_ms, most),
                decoder,
                transactions=settings.topics.transactions,
                results={topic: anomalous for topic, anomalous in _results(settings) if topic},
                lateness_ms=settings.watermark.lateness_ms,
            )
            if stop.asked():
                return OK
            if not picture.points:
                return complain(f"topic {settings.topics.transactions} has no transactions in that span", FAILED)
            draw(picture, output)
            say(f"{output}: {len(picture.points)} transactions, {len(picture.bars)} windows")
        except (KafkaProblem, OSError) as problem:
            return complain(str(problem), FAILED)
        finally:
            reader.close()
    return OK


def _results(settings: Settings) -> list[tuple[str, bool]]:
    """The topics of results. Alerts come last: where a window is in both, its alert is drawn."""
    return [(settings.topics.aggregates, False), (settings.topics.alerts, True)]


class _Reads:
    """Reads one topic after the other, and shows the progress on a terminal."""

    def __init__(self, reader: CommandReader) -> None:
        self._reader = reader
        self._said_s = time.monotonic()

    def read(self, topic: str, from_ms: int) -> Iterator[StoredRecord]:
        from service.loop.errors import Fatal, Retriable  # noqa: PLC0415 - see above

        def start(reader: TopicReader) -> None:
            try:
                reader.start_at(topic, from_ms)
            except Retriable as problem:
                if "UNKNOWN_TOPIC" in str(problem):  # waiting for its first record would be of no use
                    raise Fatal(str(problem)) from problem
                raise

        if not self._reader.start(topic, start, limit_s=REACH_S):
            return
        for number, record in enumerate(self._reader.read(), 1):
            self._say(topic, number)
            yield record

    def _say(self, topic: str, number: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._said_s >= SAY_EVERY_S:
            self._said_s = time.monotonic()
            click.echo(f"{topic}: {number} records read", err=True)
