"""Builds the service and runs it from start to end."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Producer
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

import service
from service.app.acls import needed_acl
from service.app.clients import check_properties, is_classic
from service.app.detectors import detail_for
from service.app.ending import leave_group, run_to_the_end
from service.app.from_settings import about, description, judging, task_rules
from service.app.in_force import Detecting, InForce
from service.app.input import make_decoder
from service.app.listening import listen
from service.app.loop_watch import LoopWatch
from service.app.reloading import ConfigFile, Reloading
from service.app.service_wait import ServiceWait
from service.app.topics import prepare_change, prepare_topics, warn_of_compacted
from service.app.wiring import ClientClasses, Wiring, make_throttles
from service.core.model import WallTimeMs
from service.core.rules import TaskRules
from service.kafka.admin import ClusterAdmin
from service.kafka.guards.dead_owners import LastCommits
from service.kafka.guards.throttle import reasons
from service.loop.change import Change
from service.loop.intake import Intake
from service.loop.memories import Memories
from service.loop.output_topics import OutputTopics
from service.loop.worker import Worker
from service.observe import log as logs
from service.observe.http import Pages
from service.observe.live import Live
from service.observe.metrics import Metrics
from service.observe.page_data import PageData
from service.observe.status import Status, StatusBoard
from service.observe.streams import Streams
from service.process.stderr import dropped_lines
from service.process.stop import FORCED_AFTER_S, Stop, end_at_once
from service.settings import Settings
from service.wire.decoder import Decoder

GC_THRESHOLD: Final = 50_000
"""Records make no cycles; with Python's default the collector would run at every other batch."""


def now_ms() -> WallTimeMs:
    """The wall clock."""
    return WallTimeMs(time.time_ns() // 1_000_000)


class Service:
    """One run of the service."""

    line_every_ms: ClassVar[int] = 0
    """There is at most one log line about a checkpoint in this time."""

    def __init__(
        self,
        settings: Settings,
        stop: Stop,
        producer: Callable[[dict[str, Any]], Producer] = Producer,
        consumer: Callable[[dict[str, Any]], Consumer] = Consumer,
        *,
        config: ConfigFile | None = None,
    ) -> None:
        """Connect to nothing yet. ``producer`` and ``consumer`` construct clients; tests pass some that stop.

        While it runs, the settings are read again from ``config``; None where they stay as they are.
        """
        self._settings = settings
        self._config = config
        self._stop = stop
        self._classes = ClientClasses(producer, consumer)
        self._log: FilteringBoundLogger = logs.get("txwatch")
        self._board = StatusBoard(time.monotonic)
        self._in_force = InForce(Detecting(settings, (), None))
        self._target = ""
        """Where `rekey` writes."""

    def run(self) -> int:
        """Run until the stop; returns the exit code.

        1. Serve HTTP, not ready.
        2. Wait for the broker, create missing topics, check the group protocol, fence an older instance of this name.
        3. Run the loop.
        4. Abort what is not committed, and leave the group.

        Raises:
            SettingsError: the service cannot run with these settings.
        """
        settings = self._settings
        check_properties(settings)
        registry = CollectorRegistry()
        detecting = self._configured()
        self._in_force = InForce(detecting)
        decoder = make_decoder(settings)
        client = confluent_kafka.libversion()[0]
        metrics = Metrics(registry, self._board, service.__version__, client, dropped_lines, detecting.shadows)
        live, streams = self._page(metrics)
        server = listen(settings.http, Pages(registry, self._board, streams), self._log)
        watch = LoopWatch(self._board, self._log, end_at_once)
        self._stop.on_tick = watch.look
        self._stop.forced = lambda: self._log.warning("stop_forced", after_s=FORCED_AFTER_S, waits_in=watch.where())
        work = partial(self._run, metrics, decoder, live)
        return run_to_the_end(work, server, self._stop, self._log, self._needed_acl)

    def _page(self, metrics: Metrics) -> tuple[Live | None, Streams | None]:
        """What the page shows, and what sends it; None where HTTP_PAGE is off."""
        if not self._settings.http.page:
            return None, None
        live = Live(about(self._settings, self._in_force.detecting.detectors, self._target))
        return live, Streams(live, PageData(live, self._board, metrics, now_ms))

    def _run(self, metrics: Metrics, decoder: Decoder, live: Live | None) -> None:
        settings, errors = self._settings, deque[KafkaError](maxlen=100)
        throttles = make_throttles(metrics)
        self._board.throttled = partial(reasons, throttles.values())
        wait = ServiceWait(
            settings.kafka.bootstrap_servers, self._stop, errors, throttles.values(), board=self._board, log=self._log
        )
        wiring = Wiring(settings, self._stop, errors, throttles, self._classes)
        admin = wiring.admin()
        prepare = partial(self._prepare, admin, wiring.last_commits())
        topics = wait.until_done(prepare, "waiting_for_broker")
        self._in_force.write_to(topics)
        warn_of_compacted(topics.compacted, settings, self._log)
        if not is_classic(settings):
            wait.until_done(wiring.check_group_protocol, "waiting_for_broker")
        txn_producer = wiring.txn_producer(
            topics, wait.keep_going, lambda: admin.missing_topic(self._in_force.topics.names)
        )
        wait.until_done(txn_producer.initialise, "waiting_for_transaction_coordinator")
        brokers = wait.until_done(partial(admin.brokers, settings.topics.transactions), "waiting_for_broker")
        group_consumer, probe = wiring.input(topics, admin, brokers, self._in_force.make_memory)
        changes = deque[Change](maxlen=1)

        def prepare_other(new: Detecting) -> Change:
            outputs = prepare_change(
                admin, new.settings, new.detectors, wiring.last_commits(), first=topics, log=self._log
            )
            return self._in_force.change(new, outputs, metrics, live, self._log)

        reloading = None if self._config is None else self._reloading(self._config, prepare_other, changes, metrics)
        worker = Worker(
            group_consumer,
            txn_producer,
            probe,
            topics=topics,
            rules=self._task_rules(),
            intake=self._intake(topics, metrics, decoder),
            memories=Memories(self._in_force.make_memory, kept_in_topic=bool(topics.state)),
            clock=now_ms,
            metrics=metrics,
            board=self._board,
            log=self._log,
            line_every_ms=self.line_every_ms,
            live=live,
            changes=changes,
        )
        # Objects of the start stay until the end, so the collector need not visit them again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        self._log.info("started", **description(settings), **judging(settings, self._target))
        try:
            if reloading is not None:
                reloading.start()
            while not self._stop.asked():
                worker.turn()
                wait.turned()
                if reloading is not None:
                    reloading.check()
        finally:
            if reloading is not None:
                reloading.close()
            self._board.status = Status("stopping")
            worker.abandon()
            leave_group(group_consumer.close, self._log)

    def _reloading(
        self, config: ConfigFile, prepare: Callable[[Detecting], Change], changes: deque[Change], metrics: Metrics
    ) -> Reloading:
        return Reloading(
            config,
            self._in_force.detecting,
            asked=self._stop.reread,
            prepare=prepare,
            changes=changes,
            failed=metrics.config_reload_failed.set,
            log=self._log,
        )

    # ---- what a command that runs like the service has otherwise -----------------------------------------------

    def _configured(self) -> Detecting:
        return Detecting.by(self._settings)

    def _prepare(self, admin: ClusterAdmin, last_commits: LastCommits) -> OutputTopics:
        return prepare_topics(admin, self._settings, self._in_force.detecting.detectors, last_commits, self._log)

    def _task_rules(self) -> TaskRules:
        return task_rules(self._settings, detail_for(self._in_force.detecting.detectors))

    def _intake(self, topics: OutputTopics, metrics: Metrics, decoder: Decoder) -> Intake:
        return Intake(self._settings.topics.transactions, topics, metrics, decoder)

    def _needed_acl(self, code: int | None) -> str | None:
        return needed_acl(code, self._settings, self._in_force.detecting.detectors)
