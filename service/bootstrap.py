"""The composition root: the only place that constructs clients, and the run from the first to the last moment."""

from __future__ import annotations

import gc
import logging
import os
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
from service.clients import (
    another_instance,
    check_properties,
    client_config,
    client_id,
    construct,
    consumer_config,
    offsets_config,
    producer_config,
    transactional_id,
)
from service.core.detectors.threshold import Threshold
from service.core.model import ClockName, LatePolicy, WallTimeMs
from service.core.rules import TaskRules
from service.http import HttpServer, Pages
from service.intake import Topics
from service.kafka.admin import ClusterAdmin, WantedTopic
from service.kafka.dead_owners import DeadOwners, LastCommits
from service.kafka.errors import Fatal, Misconfigured, Retriable, refused, sort
from service.kafka.sink import TransactionalSink
from service.kafka.source import PartitionSource
from service.metrics import Metrics
from service.runtime import Worker
from service.settings import Settings, SettingsError
from service.status import Status, StatusBoard
from service.stop import Stop

STOP_TIMEOUT_S: Final = 10.0
"""From the signal to the end, whatever Kafka's client is doing."""
CLOSE_TIMEOUT_S: Final = 3.0
"""Leaving the group may hang (confluent-kafka-python#1667); past this the process ends without it."""
WAIT_S: Final = 0.25
NOT_READY_AFTER_S: Final = 1.5
GC_THRESHOLD: Final = 50_000
"""Records make no cycles; Python's default would look for some at every other batch."""
SAY_EVERY_S: Final = 5.0
LARGEST_ALERT_BYTES: Final = 300_000
"""With the longest id, in its longest JSON form, as key and in the value."""
TIMESTAMP_TYPE: Final = "message.timestamp.type"
LOG_APPEND_TIME: Final = "LogAppendTime"


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
        self._ended = threading.Event()
        self.hung = False
        """Kafka did not answer at the end: librdkafka's threads would hold up the interpreter's end as well."""

    def run(self) -> int:
        """Run until told to stop; returns the exit code.

        1. Serve HTTP, not ready.
        2. Wait for the broker, create missing topics, fence an older instance of this name.
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
            needs = {"needs": acl} if (acl := self._needed_acl(problem.code)) else {}
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
        config["allow.auto.create.topics"] = "false"  # to ask for a topic that was deleted is not to want it
        admin = ClusterAdmin(partial(construct, AdminClient, config))
        topics = self._prepare_topics(admin)
        if topics is None:
            return
        config = producer_config(self._settings, self._errors.append, topics)
        sink = TransactionalSink(partial(construct, self._producer, config), self._keep_going)
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
            make_producer=lambda name: construct(self._producer, {**config, **another_instance(kafka, name)}),
            keep_going=self._keep_going,
        )
        source = PartitionSource(
            consumer,
            self._settings.topics.transactions,
            self._errors,
            is_member=partial(admin.is_member, kafka.group_id),
            ends=admin.end_offsets,
            end_txns=dead_owners.end_their_txns,
            topic_id=admin.topic_id,
            instance=kafka.instance_id,
        )
        worker = Worker(
            source,
            sink,
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
                self._waiting_since_s = 0.0
        finally:
            self._board.status = Status("stopping")
            self.hung = not worker.abandon() or sink.hung
            self._close(source)

    def _end_in_time(self) -> None:
        """See to it that a stop is a stop: calls with a timeout of 1 s were seen to block for 20 without a broker.

        What is cut off here was not committed, so the next owner reads it again.
        """
        self._stop.event.wait()
        if not self._ended.wait(STOP_TIMEOUT_S):
            self._log.warning("stop_forced", after_s=STOP_TIMEOUT_S)
            logging.shutdown()
            os._exit(0)

    def _keep_going(self) -> bool:
        """Asked between the attempts of blocking calls: a process that waits for Kafka is alive, but not ready."""
        self._board.beat()
        now_s = time.monotonic()
        self._waiting_since_s = self._waiting_since_s or now_s
        if now_s - self._waiting_since_s > NOT_READY_AFTER_S:
            self._board.status = replace(self._board.status, not_ready="a commit waits for Kafka")
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

    def _needed_acl(self, code: int | None) -> str | None:
        """What the broker's administrator has to allow, where that is what is wrong; docs/security.md has all of it."""
        settings = self._settings
        group, own = settings.kafka.group_id, transactional_id(settings.kafka, settings.kafka.instance_id)
        topics = settings.topics
        outputs = " ".join(filter(None, (topics.alerts, topics.aggregates, topics.late, topics.dead_letter)))
        read = "READ and DESCRIBE_CONFIGS" if settings.window.clock is ClockName.INGESTION else "READ"
        return {
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: f"ACL WRITE on transactional id {own}",
            KafkaError.GROUP_AUTHORIZATION_FAILED: f"ACL READ on group {group}",
            KafkaError.TOPIC_AUTHORIZATION_FAILED: (
                f"ACL {read} on topic {topics.transactions}, WRITE and DESCRIBE_CONFIGS on topics {outputs}"
            ),
            KafkaError.CLUSTER_AUTHORIZATION_FAILED: "ACL CREATE on the cluster, or the topics made beforehand",
        }.get(code or 0)

    def _prepare_topics(self, admin: ClusterAdmin) -> Topics | None:
        """Create what is missing and learn how large a record each output takes; None when told to stop."""
        names = self._settings.topics
        divert = self._settings.late.policy is LatePolicy.DIVERT
        by_append_time = self._settings.window.clock is ClockName.INGESTION
        wanted = [WantedTopic(names.transactions, {TIMESTAMP_TYPE: LOG_APPEND_TIME} if by_append_time else {})]
        wanted += [WantedTopic(name) for name in (names.alerts, names.aggregates) if name]
        # Room for the headers that are added to a record of the greatest usual size.
        wanted += [WantedTopic(name, {"max.message.bytes": "2097152"}) for name in (names.late, names.dead_letter)]
        result: list[dict[str, int]] = []

        def prepare() -> None:
            admin.ensure(wanted, names.partitions, names.replication, create=names.create)
            if by_append_time and (found := admin.timestamp_type(names.transactions)) != LOG_APPEND_TIME:
                raise Misconfigured(self._how_to_set_append_time(found))
            result.append(admin.max_message_bytes([topic.name for topic in wanted[1:]]))

        if not self._wait_for(prepare, "waiting_for_broker"):
            return None
        limits = result[0]
        for name in filter(None, (names.alerts, names.aggregates)):
            if limits[name] < LARGEST_ALERT_BYTES:
                raise Misconfigured(
                    f"topic {name}: max.message.bytes is {limits[name]}, an alert may take {LARGEST_ALERT_BYTES}"
                )
        return Topics(
            alerts=names.alerts,
            aggregates=names.aggregates,
            late=names.late if divert else "",
            dead_letter=names.dead_letter,
            least_max_bytes=min(limits.values()),
            late_max_bytes=limits[names.late],
            dead_letter_max_bytes=limits[names.dead_letter],
        )

    def _how_to_set_append_time(self, found: str) -> str:
        settings = self._settings
        return (
            f"WINDOW_CLOCK is ingestion, but topic {settings.topics.transactions} has {TIMESTAMP_TYPE}={found}; change"
            f" it with: kafka-configs.sh --bootstrap-server {settings.kafka.bootstrap_servers} --alter"
            f" --entity-type topics --entity-name {settings.topics.transactions}"
            f" --add-config {TIMESTAMP_TYPE}={LOG_APPEND_TIME}"
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
            self.hung = True
            self._log.warning("close_given_up", after_s=CLOSE_TIMEOUT_S)
