"""The composition root: it puts the service together, and runs it from the first to the last moment."""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

import service
from service.app.acls import needed_acl
from service.app.clients import (
    another_instance,
    check_properties,
    client_config,
    client_id,
    construct,
    consumer_config,
    is_classic,
    offsets_config,
    producer_config,
    txn_timeouts_ms,
)
from service.app.loop_watch import LoopWatch
from service.app.topics import compaction_loses, prepare_topics
from service.app.waiting import wait_for_broker
from service.core.detectors.threshold import Threshold
from service.core.model import WallTimeMs
from service.core.rules import TaskRules
from service.kafka.admin import ClusterAdmin
from service.kafka.background import Background
from service.kafka.classify import classify
from service.kafka.consumer import GroupConsumer
from service.kafka.consumer_status import ConsumerStatus
from service.kafka.guards.dead_owners import DeadOwners, LastCommits, connected
from service.kafka.guards.group_members import GroupMembers
from service.kafka.guards.group_protocol import check_group_protocol
from service.kafka.guards.throttle import Throttle, reasons
from service.kafka.guards.txn_failure import with_reports
from service.kafka.partition_ends import PartitionEnds
from service.kafka.producer import TxnProducer
from service.kafka.start_lookup import StartLookup
from service.loop.errors import Fatal, Misconfigured, Retriable
from service.loop.output_topics import OutputTopics
from service.loop.ports import Probe
from service.loop.worker import Worker
from service.observe import log as logs
from service.observe.http import HttpServer, Pages, authority, why_not
from service.observe.metrics import THROTTLED_CLIENTS, Metrics
from service.observe.status import Status, StatusBoard
from service.process.stderr import dropped_lines
from service.process.stop import FORCED_AFTER_S, Stop, end_at_once
from service.settings import Settings, SettingsError

CLOSE_TIMEOUT_S: Final = 3.0
"""Leaving the group may hang (confluent-kafka-python#1667); past this the process ends without it."""
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
        self,
        settings: Settings,
        stop: Stop,
        producer: Callable[[dict[str, Any]], Producer] = Producer,
        consumer: Callable[[dict[str, Any]], Consumer] = Consumer,
    ) -> None:
        """Nothing is connected yet. ``producer`` and ``consumer`` make clients; tests put some that stop at a step."""
        self._settings = settings
        self._stop = stop
        self._producer = producer
        self._consumer = consumer
        self._log: FilteringBoundLogger = logs.get("txwatch")
        self._board = StatusBoard(time.monotonic)
        self._errors: deque[KafkaError] = deque(maxlen=100)
        self._waiting_since_s = 0.0
        self._said_s = float("-inf")
        self._throttles: tuple[Throttle, ...] = ()

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
        metrics = Metrics(registry, self._board, service.__version__, confluent_kafka.libversion()[0], dropped_lines)
        try:
            server = HttpServer(settings.http.host, settings.http.port, Pages(registry, self._board))
        except (OSError, UnicodeError) as error:  # the latter of a name that can be none in DNS
            where = authority(settings.http.host, settings.http.port)
            raise SettingsError(f"HTTP_HOST, HTTP_PORT: {where}: {why_not(error)}") from None
        self._log.info("http_listening", host=settings.http.host, port=server.port)
        watch = LoopWatch(self._board, self._log, end_at_once)
        self._stop.on_tick = watch.look
        self._stop.forced = lambda: self._log.warning("stop_forced", after_s=FORCED_AFTER_S, waits_in=watch.where())
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
        self._log.info("stopped")
        return 0

    def _run(self, metrics: Metrics) -> None:
        writes, reads, asks = self._throttles = tuple(
            Throttle(client, time.monotonic, metrics.throttle.labels(client).observe) for client in THROTTLED_CLIENTS
        )
        self._board.throttled = partial(reasons, self._throttles)
        # The client reports what it logs as errors, too; the wait for the broker says them in one line.
        config = {
            "log_level": 0,
            **client_config(self._settings, "admin", self._errors.append),
            "throttle_cb": asks.heard,
        }
        make_admin = partial(construct, AdminClient, config)
        admin = ClusterAdmin(make_admin())
        topics = self._prepare_topics(admin)
        if topics is None:
            return
        for name in topics.compacted:
            self._log.warning("topic_compacted", topic=name, **compaction_loses(name, self._settings))
        topic = self._settings.topics.transactions
        if not is_classic(self._settings):
            look = partial(self._check_group_protocol, config, topic)
            if not self._wait_for(look, "waiting_for_broker"):
                return
        config = producer_config(self._settings, self._errors.append, topics)
        txn_producer = TxnProducer(
            partial(self._make_producer, {**config, "throttle_cb": writes.heard}),
            self._keep_going,
            partial(admin.missing_topic, topics.names),
            throttled=lambda: writes.active,
            txn_timeouts_ms=txn_timeouts_ms(self._settings),
        )
        if not self._wait_for(txn_producer.initialise, "waiting_for_transaction_coordinator"):
            return
        consumer = self._make_consumer(admin, reads)
        if consumer is None:
            return
        kafka = self._settings.kafka
        stable = construct(Consumer, offsets_config(self._settings, "read_committed"))
        latest = construct(Consumer, offsets_config(self._settings, "read_uncommitted"))
        partition_ends = PartitionEnds(stable, latest)
        members = GroupMembers(make_admin, kafka.group_id)
        dead_owners = DeadOwners(
            members,
            LastCommits(latest),
            instance=kafka.instance_id,
            client_id=client_id,
            make_producer=lambda name: connected(
                construct(self._producer, {**config, **another_instance(kafka, name)}), topics.alerts
            ),
            keep_going=lambda: not self._stop.asked(),  # its thread is not the loop's, and is no sign of life of it
        )
        lookup = StartLookup(
            consumer,
            stable,
            topic,
            topic_id=admin.topic_id,
            edges=partition_ends.edges,
            end_txns=dead_owners.end_their_txns,
        )
        status = ConsumerStatus(
            consumer,
            topic,
            is_member=members.knows,
            partition_count=partial(admin.partition_count, topic),
            is_throttled=lambda: reads.active,
        )
        group_consumer = GroupConsumer(
            consumer, topic, self._errors, lookup=lookup, status=status, instance=kafka.instance_id
        )
        worker = Worker(
            group_consumer,
            txn_producer,
            Probe(
                status=status,
                end_offsets=Background("end_offsets", partial(partition_ends.end_offsets, topic)),
                ends=Background("ends", partial(partition_ends.ends, topic)),
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
                self._say_throttled()
                self._waiting_since_s, self._said_s = 0.0, float("-inf")
        finally:
            self._board.status = Status("stopping")
            worker.abandon()
            self._close(group_consumer)

    @staticmethod
    def _check_group_protocol(config: dict[str, Any], topic: str) -> None:
        verbose = {**config, "debug": "feature", "log_level": 7}
        check_group_protocol(lambda lines: construct(AdminClient, {**verbose, "logger": lines}), topic)

    def _keep_going(self) -> bool:
        """Asked between the attempts of blocking calls: a process that waits for Kafka is alive, but not ready."""
        self._board.beat()
        now_s = time.monotonic()
        self._waiting_since_s = self._waiting_since_s or now_s
        if now_s - self._waiting_since_s > NOT_READY_AFTER_S:
            throttled = self._board.throttled()
            why = "waiting for Kafka" + (f": {throttled}" if throttled else "")
            self._board.status = replace(self._board.status, not_ready=why)
            self._say_throttled()
            if now_s - self._said_s >= SAY_EVERY_S:
                self._said_s = now_s
                self._log.warning("waiting_for_kafka")
        return not self._stop.asked()

    def _say_throttled(self) -> None:
        for throttle in self._throttles:
            throttle.say(self._log)

    def _make_producer(self, config: dict[str, Any], undelivered: list[KafkaError], txn_timeout_ms: int) -> Producer:
        made: Producer = construct(
            self._producer, with_reports({**config, "transaction.timeout.ms": txn_timeout_ms}, undelivered)
        )
        return made

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

    def _prepare_topics(self, admin: ClusterAdmin) -> OutputTopics | None:
        result: list[OutputTopics] = []
        prepared = self._wait_for(lambda: result.append(prepare_topics(admin, self._settings)), "waiting_for_broker")
        return result[0] if prepared else None

    def _make_consumer(self, admin: ClusterAdmin, reads: Throttle) -> Consumer | None:
        topic, brokers = self._settings.topics.transactions, list[int]()
        if not self._wait_for(lambda: brokers.append(admin.brokers(topic)), "waiting_for_broker"):
            return None
        config = consumer_config(self._settings, self._errors.append, brokers[0])
        return cast("Consumer", construct(self._consumer, {**config, "throttle_cb": reads.heard}))

    def _wait_for(self, attempt: Callable[[], None], event: str) -> bool:
        """Attempt it until it works, and log now and then that we wait; returns False where the stop comes first."""
        said_s = float("-inf")

        def beating() -> None:
            self._board.beat()
            attempt()

        def waiting(why: str) -> None:
            nonlocal said_s
            why = self._board.throttled() or why
            for error in self._errors:
                if isinstance(problem := classify(error, "connect"), Fatal):
                    raise problem
            servers = self._settings.kafka.bootstrap_servers
            self._board.status = Status(f"{event.replace('_', ' ')} {servers}: {why}")
            if time.monotonic() - said_s >= SAY_EVERY_S:
                said_s = time.monotonic()
                self._log.warning(event, bootstrap_servers=servers, error=why)

        return wait_for_broker(beating, self._stop, self._errors, waiting=waiting)

    def _close(self, group_consumer: GroupConsumer) -> None:
        """Leave the group, within a deadline."""
        thread = threading.Thread(target=group_consumer.close, name="close", daemon=True)
        thread.start()
        thread.join(CLOSE_TIMEOUT_S)
        if thread.is_alive():
            self._log.warning("close_given_up", after_s=CLOSE_TIMEOUT_S)
