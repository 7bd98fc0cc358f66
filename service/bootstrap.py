"""The composition root: the only place that constructs clients, and the run from the first to the last moment."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from types import FrameType
from typing import Any, Final

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

import service
from service import log as logs
from service.core.detectors.threshold import Threshold
from service.core.model import LatePolicy, WallTimeMs
from service.core.task import TaskRules
from service.http import HttpServer, Pages
from service.kafka.admin import TopicAdmin, WantedTopic
from service.kafka.alerts import AlertsReader
from service.kafka.errors import Fatal, KafkaProblem, Misconfigured, Retriable, kafka_error, sort
from service.kafka.sink import TransactionalSink
from service.kafka.source import PartitionSource
from service.metrics import Metrics
from service.runtime import Topics, Worker
from service.settings import Settings, SettingsError
from service.status import Status, StatusBoard
from service.wire import AlertPayload

CLOSE_TIMEOUT_S: Final = 3.0
"""Leaving the group may hang (confluent-kafka-python#1667); past this the process ends without it."""
WAIT_S: Final = 1.0
SAY_EVERY_S: Final = 5.0


def now_ms() -> WallTimeMs:
    """The wall clock."""
    return WallTimeMs(time.time_ns() // 1_000_000)


@dataclass(slots=True)
class Stop:
    """Set by a signal; looked at by everything that waits."""

    event: threading.Event = field(default_factory=threading.Event)

    def asked(self) -> bool:
        """Whether it is time to stop."""
        return self.event.is_set()


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """SIGTERM and SIGINT set the flag and nothing else: an exception there could cost a fetched batch."""
    stop = Stop()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.event.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- clients ------------------------------------------------------------------------------------------------

_CONSUMER_ONLY: Final = (
    "auto.commit.", "auto.offset.", "check.crcs", "fetch.", "group.", "heartbeat.", "max.partition.fetch.", "max.poll.",
    "queued.", "session.",
)  # fmt: skip
_PRODUCER_ONLY: Final = (
    "batch.", "compression.", "linger.", "max.in.flight", "message.send.", "queue.buffering.", "retries", "retry.",
    "sticky.",
)  # fmt: skip


def client_config(settings: Settings, kind: str, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """What every client of ours has in common, with the user's properties that concern this kind of it."""
    others = {"consumer": _PRODUCER_ONLY, "producer": _CONSUMER_ONLY, "admin": _CONSUMER_ONLY + _PRODUCER_ONLY}[kind]
    return {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": f"txwatch-{settings.kafka.instance_id}",
        "logger": logging.getLogger("librdkafka"),
        "error_cb": errors,
        **{
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in settings.kafka.properties.items()
            if not name.startswith(others)
        },
    }


def consumer_config(settings: Settings, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """The input consumer. What a user's property may override stands before the common part."""
    classic = str(settings.kafka.properties.get("group.protocol", "")).lower() == "classic"
    return {
        "group.protocol": "consumer",
        # A backlog is drained without standing still, and within a bound whatever the number of partitions.
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
        "fetch.message.max.bytes": 1_048_576,
        # A partition that is sought is fetched anew only when the pending fetch returns.
        "fetch.wait.max.ms": 100,
        **client_config(settings, "consumer", errors),
        **({"partition.assignment.strategy": "cooperative-sticky"} if classic else {}),
        "group.id": settings.kafka.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }


def producer_config(settings: Settings, errors: Callable[[KafkaError], None], topics: Topics) -> dict[str, Any]:
    """The transactional producer; it makes no batch that one of the topics would not take."""
    return {
        "linger.ms": 5,
        "compression.type": "lz4",
        "queue.buffering.max.kbytes": 65_536,
        **client_config(settings, "producer", errors),
        "transactional.id": f"{settings.kafka.group_id}-{settings.kafka.instance_id}",
        # Long enough for a txn that a flood of bad records began at the start of a window.
        "transaction.timeout.ms": min(900_000, settings.window.size_ms + 20_000),
        "message.max.bytes": max(topics.late_max_bytes, topics.dead_letter_max_bytes),
        "batch.size": min(1_000_000, topics.least_max_bytes),
        "partitioner": "murmur2_random",
    }


def construct(make: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> Any:  # noqa: ANN401
    """Construct a client, or say which property it does not like.

    Raises:
        SettingsError: KAFKA_PROPERTIES or KAFKA_BOOTSTRAP_SERVERS holds something librdkafka does not know.
    """
    try:
        return make(config)
    except KafkaException as exception:
        raise SettingsError(f"KAFKA_PROPERTIES: {kafka_error(exception).str()}") from None
    except (ValueError, TypeError) as error:
        raise SettingsError(f"KAFKA_PROPERTIES: {error}") from None


# ---- the run ------------------------------------------------------------------------------------------------


class Service:
    """One run of the service."""

    def __init__(self, settings: Settings, stop: Stop) -> None:
        """Nothing is connected yet."""
        self._settings = settings
        self._stop = stop
        self._log: FilteringBoundLogger = logs.get("txwatch")
        self._board = StatusBoard(time.monotonic)
        self._errors: deque[KafkaError] = deque(maxlen=100)
        self.hung = False
        """Leaving the group did not end in time: librdkafka's threads would hold up the interpreter's end as well."""

    def run(self) -> int:
        """Run until told to stop; returns the exit code.

        1. Serve HTTP, not ready.
        2. Wait for the broker, create missing topics, fence an older instance of this name.
        3. Turn the loop.
        4. Give up what is not committed, and leave the group.
        """
        settings = self._settings
        registry = CollectorRegistry()
        metrics = Metrics(registry, self._board, service.__version__, confluent_kafka.libversion()[0])
        try:
            server = HttpServer(settings.http.host, settings.http.port, Pages(registry, self._board))
        except OSError as error:
            raise SettingsError(f"HTTP_HOST, HTTP_PORT: {settings.http.host}:{settings.http.port}: {error}") from None
        self._log.info("http_listening", host=settings.http.host, port=server.port)
        try:
            self._run(metrics)
        except Retriable as problem:
            if not self._stop.asked():
                raise
            self._log.warning("stopped_while_waiting", error=str(problem))
        except Misconfigured as problem:
            raise SettingsError(str(problem)) from None
        except Fatal as problem:
            self._log.critical("fatal", error=str(problem))
            return 1
        finally:
            server.close()
        self._log.info("stopped")
        return 0

    def _run(self, metrics: Metrics) -> None:
        topics = self._prepare_topics()
        if topics is None:
            return
        producer = construct(Producer, producer_config(self._settings, self._errors.append, topics))
        sink = TransactionalSink(producer, self._keep_going)
        if not self._wait_for(sink.initialise, "waiting_for_transaction_coordinator"):
            return
        consumer = construct(Consumer, consumer_config(self._settings, self._errors.append))
        source = PartitionSource(consumer, self._settings.topics.transactions, self._errors)
        worker = Worker(source, sink, topics, self._rules(), now_ms, metrics, self._board, self._log)
        # What start-up made lives to the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self._log.info("started", **self._describe())
        try:
            while not self._stop.asked():
                worker.turn()
        finally:
            self._board.status = Status("stopping")
            worker.abandon()
            self._close(source)

    def _keep_going(self) -> bool:
        """Asked between the attempts of blocking calls."""
        self._board.beat()
        return not self._stop.asked()

    def _rules(self) -> TaskRules:
        settings = self._settings
        return TaskRules(
            window_size_ms=settings.window.size_ms,
            lateness_ms=settings.watermark.lateness_ms,
            idle_after_ms=settings.watermark.idle_after_ms,
            max_future_ms=settings.watermark.max_future_ms,
            late_policy=settings.late.policy,
            detectors=(Threshold(settings.detect.limit),),
        )

    def _describe(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "version": service.__version__,
            "bootstrap_servers": settings.kafka.bootstrap_servers,
            "group": settings.kafka.group_id,
            "instance": settings.kafka.instance_id,
            "topic": settings.topics.transactions,
            "window_ms": settings.window.size_ms,
            "lateness_ms": settings.watermark.lateness_ms,
            "limit": str(settings.detect.limit),
        }

    def _prepare_topics(self) -> Topics | None:
        """Create what is missing and learn how large a record each output takes; None when told to stop."""
        names = self._settings.topics
        divert = self._settings.late.policy is LatePolicy.DIVERT
        plain = [names.transactions, names.alerts, *([names.aggregates] if names.aggregates else [])]
        admin = TopicAdmin(construct(AdminClient, client_config(self._settings, "admin", self._errors.append)))
        wanted = [WantedTopic(name) for name in plain]
        # Room for the headers that are added to a record of the greatest usual size.
        wanted += [WantedTopic(name, {"max.message.bytes": "2097152"}) for name in (names.late, names.dead_letter)]
        result: list[dict[str, int]] = []

        def prepare() -> None:
            admin.ensure(wanted, names.partitions, names.replication, create=names.create)
            result.append(admin.max_message_bytes([topic.name for topic in wanted[1:]]))

        if not self._wait_for(prepare, "waiting_for_broker"):
            return None
        limits = result[0]
        return Topics(
            alerts=names.alerts,
            aggregates=names.aggregates,
            late=names.late if divert else "",
            dead_letter=names.dead_letter,
            least_max_bytes=min(limits.values()),
            late_max_bytes=limits[names.late],
            dead_letter_max_bytes=limits[names.dead_letter],
        )

    def _wait_for(self, attempt: Callable[[], None], event: str) -> bool:
        """Try until it works, saying so now and then; returns False when told to stop."""
        said_s = float("-inf")
        while not self._stop.asked():
            self._board.beat()
            try:
                attempt()
            except Retriable as problem:
                for error in self._errors:
                    if isinstance(hopeless := sort(error, "connect"), Fatal):
                        raise hopeless from None
                # The clients' own complaints say more: "connection refused" rather than "timed out".
                why = self._errors[-1].str() if self._errors else str(problem)
                self._board.status = Status(f"{event.replace('_', ' ')} {self._settings.kafka.bootstrap_servers}: {why}")
                if time.monotonic() - said_s >= SAY_EVERY_S:
                    said_s = time.monotonic()
                    self._log.warning(event, bootstrap_servers=self._settings.kafka.bootstrap_servers, error=why)
                self._stop.event.wait(WAIT_S / 4)
            else:
                self._errors.clear()
                return True
        return False

    def _close(self, source: PartitionSource) -> None:
        """Leave the group, within a deadline."""
        thread = threading.Thread(target=source.close, name="close", daemon=True)
        thread.start()
        thread.join(CLOSE_TIMEOUT_S)
        if thread.is_alive():
            self.hung = True
            self._log.warning("close_given_up", after_s=CLOSE_TIMEOUT_S)


# ---- the alerts reader --------------------------------------------------------------------------------------

REACH_S: Final = 15.0
"""Without --follow there is no point in waiting for ever for a broker."""


def print_alerts(
    settings: Settings, stop: Stop, *, follow: bool, from_beginning: bool, maximum: int | None, form: str
) -> int:
    """Print alerts to standard output, one a line; returns the exit code."""
    errors: deque[KafkaError] = deque(maxlen=100)
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    config = {
        **client_config(settings, "consumer", errors.append),
        "group.id": f"{settings.kafka.group_id}-alerts",  # never joined
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
    }
    for name in ("group.protocol", "session.timeout.ms", "heartbeat.interval.ms"):
        config.pop(name, None)
    reader = AlertsReader(construct(Consumer, config), settings.topics.alerts)
    try:
        _start_reading(reader, settings, stop, errors, follow=follow, from_beginning=from_beginning)
        values = reader.read(follow=follow, keep_going=lambda: not stop.asked())
        for value in islice(values, maximum):
            line = value.decode() if form == "json" else AlertPayload.model_validate_json(value).text()
            print(line, flush=True)  # noqa: T201 - this is what the command is for
    except KafkaProblem as problem:
        print(f"txwatch: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        reader.close()
    return 0


def _start_reading(
    reader: AlertsReader, settings: Settings, stop: Stop, errors: deque[KafkaError], *, follow: bool, from_beginning: bool
) -> None:
    began_s = said_s = time.monotonic()
    while not stop.asked():
        try:
            reader.start(from_beginning=from_beginning)
        except Retriable as problem:
            why = errors[-1].str() if errors else str(problem)
            line = f"waiting for {settings.topics.alerts} on {settings.kafka.bootstrap_servers}: {why}"
            if not follow and time.monotonic() - began_s > REACH_S:
                raise Retriable(line) from problem
            if time.monotonic() - said_s >= SAY_EVERY_S:
                said_s = time.monotonic()
                print(f"txwatch: {line}", file=sys.stderr)  # noqa: T201
            # A topic that does not exist yet will hold only what comes from now on.
            from_beginning = from_beginning or not errors
            stop.event.wait(WAIT_S / 4)
        else:
            return
