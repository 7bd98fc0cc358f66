"""Composition root: builds the parts of a replay from its options, runs it, reports, and chooses the exit code."""

from __future__ import annotations

import gc
import sys
from typing import Final

from producer.disorder import FileOrder, Shuffled
from producer.display import Bar, Display, Lines, View, print_last
from producer.metrics import MetricsPortError, ReplayCollector, serve
from producer.options import Options
from producer.plan import Plan
from producer.ports import ConfigError, DryRun, RealClock, Sink
from producer.publisher import Publisher
from producer.reading.errors import InputFileError
from producer.reading.source import Source
from producer.registered import Encode, Registration, RegistryFault, encoder
from producer.rejects import Rejects, RejectsFile, RejectsFileError, ShownRejects
from producer.replay import NS_PER_MS, AsFast, ByEventTime, Replay
from producer.report import order_line, summary_json, times_line
from producer.session import Session
from producer.stop import Stop
from producer.topic import TopicMissingError
from producer.unforeseen import one_line
from service.process.limits import LimitError, try_threads

LINGER_MS: Final = {"event-time": 1, "rate": 5, "max": 50}
"""How long a row may wait for a batch: short where latency matters, long where throughput does."""
BROKER_WAIT_MS: Final = 30_000
"""How long the start waits for a first answer of a broker, unless rows expire before."""
THREADS: Final = 16
"""More than a replay with a few brokers starts: the client's, the metrics page's and our own."""
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


class StartError(Exception):
    """The replay cannot start with these options; the message is one line that says why."""


def replay(options: Options, stop: Stop) -> int:
    """Run a replay to its end and print the summary, the last line of standard output; returns the exit code.

    Raises:
        StartError: configuration or input file are wrong; nothing was sent.
    """
    sink = _sink(options)
    stop.release = sink.purge
    source = Source(options.file, stop.wait_readable, options.layout)
    shown = sys.stderr.isatty() if options.progress is None else options.progress
    display: Display = Bar(source.name, options.zone) if shown else Lines()
    schedule = _replay(options)
    clock = RealClock(stop)
    session = Session(
        _plan(options),
        source=source,
        replay=schedule,
        sink=sink,
        clock=clock,
        rejects=_rejects(options, display),
        say=display.say,
        on_tick=lambda: display.show(_view(session, source, options.repeat, clock.monotonic_ns())),
    )
    try:
        _serve_metrics(options, session, display)
        gc.freeze()  # these objects stay until the end, so the collector need not visit them again
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
    unsaid = _report(options, session, schedule, display)
    if problem is not None:
        return EXIT_USAGE
    tally = session.tally
    none_good = tally.rejected and tally.read == tally.rejected + tally.skipped_empty and not stop.requested
    failed = sink.failed or sink.broken or unsaid or session.failure or (options.strict and tally.rejected)
    return EXIT_FAILED if failed or none_good else EXIT_OK


def _report(options: Options, session: Session, schedule: Replay, display: Display) -> str | None:
    """Print lines for people and the summary; returns why the summary cannot be written, or None."""
    tally, sink = session.tally, session.sink
    if session.failure is not None:
        display.say(f"{one_line(session.failure)}; resume with --start-row and the summary's next_row")
    for reason, rows in sink.failures.items():
        display.say(f"{rows} rows undelivered: {reason}")
    times, order = times_line(tally, schedule.span_ns, options.zone), order_line(tally)
    if order is not None:
        display.say(order if options.dry_run else f"{times}; {order}")
    summary = summary_json(tally, sink, session.elapsed_ns, session.next_row)
    unsaid = print_last(f"{times}\n{summary}" if options.dry_run and times else summary)
    if unsaid is not None:
        display.say(unsaid)
    return unsaid


def _rejects(options: Options, display: Display) -> Rejects:
    if options.rejects is None:
        return ShownRejects(display.say)
    return RejectsFile(options.rejects, options.file, append=options.start_row > 1)


def _sink(options: Options) -> Sink:
    if options.dry_run:
        return DryRun()
    extra = options.layout.extra
    encode: Encode | None = None
    try:
        try_threads(THREADS)
        if options.form != "json":
            registry = Registration(options.topic, options.registry_url, options.registry_properties)
            encode = encoder(options.form, registry, options.schema, extra)
        linger_ms = LINGER_MS[options.pace_name]
        return Publisher(options.topic, options.brokers, options.properties, linger_ms, extra, encode=encode)
    except RegistryFault as fault:
        raise StartError(str(fault)) from fault
    except ConfigError as error:
        raise StartError(f"KAFKA_PROPERTIES: {error}") from error
    except LimitError as error:
        raise StartError(str(error)) from error


def _plan(options: Options) -> Plan:
    lifetime_ms = options.properties.get("message.timeout.ms", options.properties.get("delivery.timeout.ms"))
    try:
        wait_ms = min(int(lifetime_ms or BROKER_WAIT_MS), BROKER_WAIT_MS)
    except ValueError:
        wait_ms = BROKER_WAIT_MS  # the client itself refuses a wrong value
    return Plan(
        pace=AsFast() if options.dry_run else options.pace,
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
    return Replay(options.pace, order, continues=continues, at_once=options.dry_run)


def _serve_metrics(options: Options, session: Session, display: Display) -> None:
    if options.metrics_port is None:
        return
    try:
        port = serve(ReplayCollector(session.tally, session.sink), options.metrics_host, options.metrics_port)
    except MetricsPortError as error:
        raise StartError(f"--metrics-port: {error}") from error
    display.say(f"metrics at http://{options.metrics_host}:{port}/metrics")


def _view(session: Session, source: Source, repeat: int, now_ns: int) -> View:
    tally = session.tally
    return View(
        now_ns=now_ns,
        elapsed_ns=session.elapsed_ns,
        position=source.position,
        total=source.size * repeat if source.size and repeat else None,
        rows=tally.read,
        event_time_ms=tally.event_time_ms,
        lag_ns=tally.lag_ns,
        waits=session.waits(),
    )
