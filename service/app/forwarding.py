"""`forward`: sends the alerts of a topic to one target. Builds its parts, and runs them from start to end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from service.app.clients import check_properties, client_config, construct, consumer_config
from service.app.ending import leave_group, run_to_the_end
from service.app.forward_health import ForwardHealth
from service.app.forward_loop import ForwardLoop
from service.app.listening import listen
from service.app.loop_watch import LoopWatch
from service.app.service_wait import ServiceWait
from service.app.topics import LARGEST_SET_ASIDE
from service.forward.http_client import HttpTarget
from service.forward.metrics import ForwardMetrics
from service.forward.sender import Sender, Target
from service.forward.templates import ROUTING_KEY
from service.kafka.admin import ClusterAdmin, WantedTopic
from service.kafka.alert_lanes import AlertLanes, Heard
from service.kafka.background import Background
from service.kafka.consumer_status import ConsumerStatus
from service.kafka.guards.group_members import GroupMembers
from service.observe import log as logs
from service.observe.http import Pages
from service.observe.status import Status, StatusBoard
from service.process.stop import FORCED_AFTER_S, Stop, end_at_once
from service.settings import Settings, SettingsError
from service.settings.forward import ForwardSettings


def target_named(settings: Settings, name: str) -> ForwardSettings:
    """The target of that name.

    Raises:
        SettingsError: there is none.
    """
    for one in settings.forward:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in settings.forward) or "none"
    raise SettingsError(f"--to: there is no [[forward]] named {name!a}; there are: {names}")


class Forwarding:
    """One run of `forward`."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        stop: Stop,
        *,
        target: Callable[[str, Mapping[str, str], float], Target] = HttpTarget,
        producer: Callable[[dict[str, Any]], Producer] = Producer,
        consumer: Callable[[dict[str, Any]], Consumer] = Consumer,
    ) -> None:
        """Connect to nothing yet. The last three construct clients; tests pass some that end the process.

        Raises:
            SettingsError: there is no such target, or it cannot be used.
        """
        self._settings = settings
        self._target = target_named(settings, name)
        url, self._headers = self._target.secrets()
        try:
            self._sender = Sender(target(url, self._headers, self._target.timeout_ms / 1000))
        except ValueError as error:
            raise SettingsError(f"forward {name}: url: {error}") from None
        if self._target.template == "pagerduty" and not any(
            one.lower() == ROUTING_KEY.lower() for one in self._headers
        ):
            raise SettingsError(f"forward {name}: headers: the template pagerduty needs {ROUTING_KEY}")
        self._stop = stop
        self._make_producer = producer
        self._make_consumer = consumer
        self._group = f"{settings.kafka.group_id}-forward-{name}"
        self._log = logs.get("txwatch")
        self._board = StatusBoard(time.monotonic)

    def run(self) -> int:
        """Run until the stop; returns the exit code.

        1. Serve HTTP, not ready.
        2. Wait for the broker, and create missing topics.
        3. Read alerts, send them, commit.
        4. Wait a moment for answers, commit, and leave the group.

        Raises:
            SettingsError: it cannot run with these settings.
        """
        settings = self._settings
        check_properties(settings)
        registry = CollectorRegistry()
        metrics = ForwardMetrics(registry)
        server = listen(settings.http, Pages(registry, self._board), self._log)
        watch = LoopWatch(self._board, self._log, end_at_once)
        self._stop.on_tick = watch.look
        self._stop.forced = lambda: self._log.warning("stop_forced", after_s=FORCED_AFTER_S, waits_in=watch.where())
        return run_to_the_end(partial(self._run, metrics), server, self._stop, self._log, self._needed_acl)

    def _run(self, metrics: ForwardMetrics) -> None:
        settings, heard = self._settings, Heard(deque(maxlen=100))
        servers, topics = settings.kafka.bootstrap_servers, settings.topics
        wait = ServiceWait(servers, self._stop, heard.errors, (), board=self._board, log=self._log)
        admin_config = {"log_level": 0, **client_config(settings, "admin", heard.errors.append)}
        admin = ClusterAdmin(construct(AdminClient, admin_config))
        large = {"max.message.bytes": LARGEST_SET_ASIDE}
        wanted = [WantedTopic(topics.alerts), WantedTopic(topics.undelivered, large)]
        prepare = partial(admin.ensure, wanted, topics.partitions, topics.replication, create=topics.create)
        wait.until_done(prepare, "waiting_for_broker")
        consumer, producer = self._consumer(heard), self._producer(heard)
        members = GroupMembers(partial(construct, AdminClient, admin_config), self._group)
        health = ForwardHealth(
            ConsumerStatus(consumer, topics.alerts, is_member=members.knows),
            Background("reach", lambda _: admin.reach(topics.alerts)),
            metrics=metrics,
            board=self._board,
            log=self._log,
        )
        loop = ForwardLoop(
            settings,
            self._target,
            self._headers,
            sender=self._sender,
            producer=producer,
            metrics=metrics,
            board=self._board,
            stop=self._stop,
            log=self._log,
        )
        lanes = AlertLanes(
            consumer, topics.alerts, heard, trouble=health.report_trouble, settle=loop.settle
        )  # fmt: skip
        self._log.info(
            "forwarding",
            target=self._target.name,
            template=self._target.template,
            topic=topics.alerts,
            group=self._group,
        )
        try:
            loop.run(lanes, health)
        finally:
            self._board.status = Status("stopping")
            leave_group(lanes.close, self._log)

    def _consumer(self, heard: Heard) -> Consumer:
        return construct(  # type: ignore[no-any-return]
            self._make_consumer,
            {
                **consumer_config(self._settings, heard.errors.append),
                "group.id": self._group,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": False,
                "on_commit": heard.on_commit,
            },
        )

    def _producer(self, heard: Heard) -> Producer:
        return construct(  # type: ignore[no-any-return]
            self._make_producer,
            {
                **client_config(self._settings, "producer", heard.errors.append),
                "enable.idempotence": True,
                "message.max.bytes": LARGEST_SET_ASIDE,
            },
        )

    def _needed_acl(self, code: int | None) -> str | None:
        topics = self._settings.topics
        return {
            KafkaError.GROUP_AUTHORIZATION_FAILED: f"ACL READ on group {self._group}",
            KafkaError.TOPIC_AUTHORIZATION_FAILED: (
                f"ACL READ on topic {topics.alerts}, WRITE on topic {topics.undelivered}"
            ),
            KafkaError.CLUSTER_AUTHORIZATION_FAILED: "ACL CREATE on the cluster, or create the topics beforehand",
        }.get(code or 0)
