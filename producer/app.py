"""Composition root: makes the parts of a replay from its options, runs it, reports and chooses the exit code."""

from __future__ import annotations

import gc
import sys
from typing import Final

from producer.csv_split import InputFileError
from producer.disorder import FileOrder, Shuffled
from producer.display import Bar, Display, Lines, View, print_last
from producer.metrics import MetricsPortError, ReplayCollector, serve
from producer.options import Options
from producer.ports import DryRun, RealClock, Sink
from producer.publisher import ConfigError, Publisher
from producer.replay import NS_PER_MS, ByEventTime, Replay
from producer.report import RejectsFile, RejectsFileError, ShownRejects, summary_json
from producer.session import Plan, Session
from producer.source import Source
from producer.stop import Stop
from producer.topic import TopicMissingError
from service.limits import LimitError, try_threads

LINGER_MS: Final = {"event-time": 1, "rate": 5, "max": 50}
"""How long a row may wait for company: little where latency matters, long where throughput does."""
BROKER_WAIT_MS: Final = 30_000
"""How long the schedule waits for a first answer of a broker, if rows may live that long."""
THREADS: Final = 16
"""More than the client and the metrics page of a replay start with a few brokers."""
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


class StartError(Exception):
    """The replay can't start as asked; the message is the one line that says why."""


def replay(options: Options, stop: Stop) -> int:
    """Run a replay to its end and print the summary, the last line of standard output; returns the exit code.

    Raises:
        StartError: configuration or input file, before anything was sent.
    """
    sink = _sink(options)
    source = Source(options.file, stop.wait_readable, options.timestamps, options.columns, options.delimiter)
    shown = sys.stderr.isatty() if options.progress is None else options.progress
    display: Display = Bar(source.name, options.zone) if shown else Lines()
    session = Session(
        _plan(options),
        source=source,
        replay=_replay(options),
        sink=sink,
        clock=RealClock(stop),
        rejects=ShownRejects(display.say) if options.rejects is None else RejectsFile(options.rejects, options.file),
        say=display.say,
        on_tick=lambda: display.show(_view(session, source, options.repeat)),
    )
    try:
        _serve_metrics(options, session, display)
        gc.freeze()  # what is there now stays: collections need not look at it again
        problem = session.run()
    except TopicMissingError as error:
        raise StartError(f"--topic {options.topic}: {error}") from error
    except ConfigError as error:
        raise StartError(f"KAFKA_PROPERTIES: {error}") from error
    except (InputFileError, RejectsFileError) as error:
        raise StartError(str(error)) from error
    finally:
        display.close()
    if problem is not None:
        display.say(problem)
    for reason, rows in sink.failures.items():
        display.say(f"{rows} rows undelivered: {reason}")
    unsaid = print_last(summary_json(session.tally, sink, session.elapsed_ns, session.next_row))
    if unsaid is not None:
        display.say(unsaid)
    if problem is not None:
        return EXIT_USAGE
    failed = sink.failed or sink.broken or unsaid or (options.strict and session.tally.rejected)
    return EXIT_FAILED if failed else EXIT_OK


def _sink(options: Options) -> Sink:
    if options.dry_run:
        return DryRun()
    try:
        try_threads(THREADS)
        return Publisher(options.topic, options.brokers, options.properties, LINGER_MS[options.pace_name])
    except ConfigError as error:
        raise StartError(f"KAFKA_PROPERTIES: {error}") from error
    except LimitError as error:
        raise StartError(str(error)) from error


def _plan(options: Options) -> Plan:
    lifetime_ms = options.properties.get("message.timeout.ms", options.properties.get("delivery.timeout.ms"))
    try:
        wait_ms = min(int(lifetime_ms or BROKER_WAIT_MS), BROKER_WAIT_MS)
    except ValueError:
        wait_ms = BROKER_WAIT_MS  # the client has the last word on its values
    return Plan(
        pace=options.pace,
        repeat=options.repeat,
        start_row=options.start_row,
        align_ms=options.align_ms,
        rebase=options.rebase,
        broker_wait_ns=wait_ms * NS_PER_MS,
    )


def _replay(options: Options) -> Replay:
    scheduled = isinstance(options.pace, ByEventTime)
    order = FileOrder(places=scheduled) if options.shuffle_ms is None else Shuffled(options.shuffle_ms, options.seed)
    continues = options.repeat != 1 and (options.rebase or scheduled)
    return Replay(options.pace, order, continues=continues)


def _serve_metrics(options: Options, session: Session, display: Display) -> None:
    if options.metrics_port is None:
        return
    try:
        port = serve(ReplayCollector(session.tally, session.sink), options.metrics_host, options.metrics_port)
    except MetricsPortError as error:
        raise StartError(f"--metrics-port: {error}") from error
    display.say(f"metrics at http://{options.metrics_host}:{port}/metrics")


def _view(session: Session, source: Source, repeat: int) -> View:
    total = source.size * repeat if source.size and repeat else None
    tally = session.tally
    return View(session.elapsed_ns, source.position, total, tally.read, tally.event_time_ms, tally.lag_ns)
