"""The composition root: the only place that constructs clients, and the run from the first to the last moment."""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

import service
from service import log as logs
from service.acls import needed_acl
from service.clients import (
    another_instance,
    check_properties,
    client_config,
    client_id,
    construct,
    consumer_config,
    is_classic,
    offsets_config,
    producer_config,
    with_reports,
)
from service.core.detectors.threshold import Threshold
from service.core.model import WallTimeMs
from service.core.rules import TaskRules
from service.http import HttpServer, Pages
from service.intake import Topics
from service.kafka.admin import ClusterAdmin
from service.kafka.background import Background
from service.kafka.dead_owners import DeadOwners, LastCommits, connected
from service.kafka.errors import Fatal, Misconfigured, Retriable, refused, sort
from service.kafka.group_protocol import check_group_protocol
from service.kafka.sink import TransactionalSink
from service.kafka.source import PartitionSource
from service.kafka.starting import Starting
from service.metrics import Metrics
from service.ports import Probe
from service.runtime import Worker
from service.settings import Settings, SettingsError
from service.status import Status, StatusBoard
from service.stop import Stop, end_process
from service.topics import prepare_topics

STOP_TIMEOUT_S: Final = 10.0
"""From the signal to the end, whatever Kafka's client is doing."""
CLOSE_TIMEOUT_S: Final = 3.0
"""Leaving the group may hang (confluent-kafka-python#1667); past this the process ends without it."""
WAIT_S: Final = 0.25
NOT_READY_AFTER_S: Final = 1.5
GC_THRESHOLD: Final = 50_000
"""Records make no cycles; Python's default would look for some at every other batch."""
SAY_EVERY_S: Final = 5.0


def now_ms() -> WallTimeMs:
    """The wall clock."""
    return WallTimeMs(time.time_ns() // 1_000_000)


class Service:
    """One run of the service."""

    def __init__(
        self, settings: Settings, stop: Stop, producer: Callable[[dict[str, Any]], Producer] = Producer
    ) -> None:
        """Nothing is connected yet. ``producer`` makes one; tests put one that stops at a chosen step."""
        self._settings = settings
        self._stop = stop
        self._producer = producer
        self._log: FilteringBoundLogger = logs.get("txwatch")
        self._board = StatusBoard(time.monotonic)
        self._errors: deque[KafkaError] = deque(maxlen=100)
        self._waiting_since_s = 0.0
        self._said_s = float("-inf")
        self._ended = threading.Event()

    def run(self) -> int:
        """Run until told to stop; returns the exit code.

        1. Serve HTTP, not ready.
        2. Wait for the broker, create missing topics, check the group protocol, fence an older instance of this name.
        3. Turn the loop.
        4. Give up what is not committed, and leave the group.
        """
        settings = self._settings
        check_properties(settings)
        registry = CollectorRegistry()
        metrics = Metrics(registry, self._board, service.__version__, confluent_kafka.libversion()[0])
        try:
            server = HttpServer(settings.http.host, settings.http.port, Pages(registry, self._board))
        except OSError as error:
            raise SettingsError(f"HTTP_HOST, HTTP_PORT: {settings.http.host}:{settings.http.port}: {error}") from None
        self._log.info("http_listening", host=settings.http.host, port=server.port)
        threading.Thread(target=self._end_in_time, name="deadline", daemon=True).start()
        try:
            self._run(metrics)
        except Retriable as problem:
            if not self._stop.asked():
                raise
            self._log.warning("stopped_while_waiting", error=str(problem))
        except Misconfigured as problem:
            raise SettingsError(str(problem)) from None
        except Fatal as problem:
            needs = {"needs": acl} if (acl := needed_acl(problem.code, self._settings)) else {}
            self._log.critical("fatal", error=str(problem), **needs)
            return 1
        finally:
            server.close()
            self._ended.set()
        self._log.info("stopped")
        return 0

    def _run(self, metrics: Metrics) -> None:
        # What its log says comes as errors, too, and is told in one line by whoever waits.
        config = {"log_level": 0, **client_config(self._settings, "admin", self._errors.append)}
        admin = ClusterAdmin(partial(construct, AdminClient, config))
        topics = self._prepare_topics(admin)
        if topics is None:
            return
        topic = self._settings.topics.transactions
        if not is_classic(self._settings):
            look = partial(self._check_group_protocol, config, topic)
            if not self._wait_for(look, "waiting_for_broker"):
                return
        config = producer_config(self._settings, self._errors.append, topics)
        sink = TransactionalSink(
            lambda undelivered: construct(self._producer, with_reports(config, undelivered)),
            self._keep_going,
            partial(admin.lost_topic, topics.names),
        )
        if not self._wait_for(sink.initialise, "waiting_for_transaction_coordinator"):
            return
        consumer = construct(Consumer, consumer_config(self._settings, self._errors.append))
        kafka = self._settings.kafka
        dead_owners = DeadOwners(
            admin,
            LastCommits(construct(Consumer, offsets_config(self._settings, lambda _: None))),
            group=kafka.group_id,
            instance=kafka.instance_id,
            client_id=client_id,
            make_producer=lambda name: connected(
                construct(self._producer, {**config, **another_instance(kafka, name)}), topics.alerts
            ),
            keep_going=lambda: not self._stop.asked(),  # its thread is not the loop's, and is no sign of life of it
        )
        starting = Starting(
            consumer, topic, topic_id=admin.topic_id, edges=admin.edges, end_txns=dead_owners.end_their_txns
        )
        source = PartitionSource(
            consumer,
            topic,
            self._errors,
            starting=starting,
            is_member=partial(admin.is_member, kafka.group_id),
            instance=kafka.instance_id,
        )
        worker = Worker(
            source,
            sink,
            Probe(
                end_offsets=Background("end_offsets", partial(admin.end_offsets, topic)),
                ends=Background("ends", partial(admin.ends, topic)),
                reach=Background("reach", lambda _: admin.reach(topic)),
            ),
            topics=topics,
            rules=self._rules(),
            clock=now_ms,
            metrics=metrics,
            board=self._board,
            log=self._log,
        )
        # What start-up made lives to the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        self._log.info("started", **self._describe())
        try:
            while not self._stop.asked():
                worker.turn()
                self._waiting_since_s, self._said_s = 0.0, float("-inf")
        finally:
            self._board.status = Status("stopping")
            worker.abandon()
            self._close(source)

    @staticmethod
    def _check_group_protocol(config: dict[str, Any], topic: str) -> None:
        verbose = {**config, "debug": "feature", "log_level": 7}
        check_group_protocol(lambda lines: construct(AdminClient, {**verbose, "logger": lines}), topic)

    def _end_in_time(self) -> None:
        """See to it that a stop is a stop: calls with a timeout of 1 s were seen to block for 20 without a broker.

        What is cut off here was not committed, so the next owner reads it again.
        """
        self._stop.event.wait()
        if not self._ended.wait(STOP_TIMEOUT_S):
            self._log.warning("stop_forced", after_s=STOP_TIMEOUT_S)
            end_process(0)

    def _keep_going(self) -> bool:
        """Asked between the attempts of blocking calls: a process that waits for Kafka is alive, but not ready."""
        self._board.beat()
        now_s = time.monotonic()
        self._waiting_since_s = self._waiting_since_s or now_s
        if now_s - self._waiting_since_s > NOT_READY_AFTER_S:
            self._board.status = replace(self._board.status, not_ready="waiting for Kafka")
            if now_s - self._said_s >= SAY_EVERY_S:
                self._said_s = now_s
                self._log.warning("waiting_for_kafka")
        return not self._stop.asked()

    def _rules(self) -> TaskRules:
        settings = self._settings
        return TaskRules(
            clock=settings.window.clock,
            window_size_ms=settings.window.size_ms,
            lateness_ms=settings.watermark.lateness_ms,
            idle_after_ms=settings.watermark.idle_after_ms,
            max_future_ms=settings.watermark.max_future_ms,
            late_policy=settings.late.policy,
            margin_ms=settings.window.ingestion_margin_ms,
            flush_after_ms=settings.window.event_flush_after_ms,
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
            "window_clock": settings.window.clock.value,
            "lateness_ms": settings.watermark.lateness_ms,
            "limit": str(settings.detect.limit),
        }

    def _prepare_topics(self, admin: ClusterAdmin) -> Topics | None:
        result: list[Topics] = []
        prepared = self._wait_for(lambda: result.append(prepare_topics(admin, self._settings)), "waiting_for_broker")
        return result[0] if prepared else None

    def _wait_for(self, attempt: Callable[[], None], event: str) -> bool:
        """Try until it works, saying so now and then; returns False when told to stop."""
        said_s = float("-inf")
        while not self._stop.asked():
            self._board.beat()
            try:
                attempt()
            except Retriable as problem:
                for error in self._errors:
                    if refused(error):
                        raise Misconfigured(f"KAFKA_PROPERTIES: {error.str()}") from None
                    if isinstance(hopeless := sort(error, "connect"), Fatal):
                        raise hopeless from None
                # The clients' own complaints say more: "connection refused" rather than "timed out".
                why = self._errors[-1].str() if self._errors else str(problem)
                self._board.status = Status(
                    f"{event.replace('_', ' ')} {self._settings.kafka.bootstrap_servers}: {why}"
                )
                if time.monotonic() - said_s >= SAY_EVERY_S:
                    said_s = time.monotonic()
                    self._log.warning(event, bootstrap_servers=self._settings.kafka.bootstrap_servers, error=why)
                self._stop.event.wait(WAIT_S)
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
            self._log.warning("close_given_up", after_s=CLOSE_TIMEOUT_S)
