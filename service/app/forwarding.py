"""`forward`: reads the alerts topic, sends each alert to a target, and commits behind what is done with."""

from __future__ import annotations

import random
import time
from collections import deque
from functools import partial
from threading import Thread
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from service.app.clients import check_properties, client_config, construct, consumer_config
from service.app.ending import run_to_the_end
from service.app.listening import listen
from service.app.service_wait import ServiceWait
from service.app.topics import LARGEST_SET_ASIDE
from service.forward.http_client import HttpTarget
from service.forward.lane import Lane, Step
from service.forward.metrics import ForwardMetrics
from service.forward.sender import Ended, Sender
from service.forward.templates import ROUTING_KEY, TEMPLATES, Context
from service.forward.undelivered import undelivered_record
from service.forward.verdicts import Breaker, Limits
from service.kafka.admin import ClusterAdmin, WantedTopic
from service.kafka.alert_lanes import AlertLanes
from service.loop.errors import Fatal
from service.observe import log as logs
from service.observe.http import Pages
from service.observe.status import Status, StatusBoard
from service.process.stop import Stop
from service.settings import Settings, SettingsError
from service.settings.forward import ForwardSettings

POLL_S: Final = 0.1
BUSY_POLL_S: Final = 0.02
COMMIT_EVERY_S: Final = 1.0
STOP_WAIT_S: Final = 3.0
"""At the stop, answers are awaited for so long: what is not answered then is sent again by the next start."""


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
    """One run of `forward`. Its loop waits for Kafka alone; each request has a thread of its own."""

    def __init__(self, settings: Settings, name: str, stop: Stop) -> None:
        """Connect to nothing yet.

        Raises:
            SettingsError: there is no such target, or it cannot be used.
        """
        self._settings = settings
        self._target = target_named(settings, name)
        url, self._headers = self._target.secrets()
        try:
            self._sender = Sender(HttpTarget(url, self._headers, self._target.timeout_ms / 1000))
        except ValueError as error:
            raise SettingsError(f"forward {name}: url: {error}") from None
        if self._target.template == "pagerduty" and not any(
            one.lower() == ROUTING_KEY.lower() for one in self._headers
        ):
            raise SettingsError(f"forward {name}: headers: the template pagerduty needs {ROUTING_KEY}")
        self._stop = stop
        self._limits = Limits(self._target.max_age_ms, self._target.give_up_after_ms)
        self._group = f"{settings.kafka.group_id}-forward-{name}"
        self._log = logs.get("txwatch")
        self._board = StatusBoard(time.monotonic)
        self._breaker = Breaker()
        self._write_error: KafkaError | None = None
        self._committed_s = 0.0

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
        self._metrics = ForwardMetrics(registry)
        server = listen(settings.http, Pages(registry, self._board), self._log)
        return run_to_the_end(self._run, server, self._stop, self._log, self._needed_acl)

    def _run(self) -> None:
        settings, errors = self._settings, deque[KafkaError](maxlen=100)
        wait = ServiceWait(settings.kafka.bootstrap_servers, self._stop, errors, (), board=self._board, log=self._log)
        quiet = {"log_level": 0}
        admin = ClusterAdmin(construct(AdminClient, {**quiet, **client_config(settings, "admin", errors.append)}))
        topics = settings.topics
        large = {"max.message.bytes": LARGEST_SET_ASIDE}
        wanted = [WantedTopic(topics.alerts), WantedTopic(topics.undelivered, large)]
        prepare = partial(admin.ensure, wanted, topics.partitions, topics.replication, create=topics.create)
        wait.until_done(prepare, "waiting_for_broker")
        consumer = construct(
            Consumer,
            {
                **consumer_config(settings, errors.append),
                "group.id": self._group,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": False,
            },
        )
        self._producer = construct(
            Producer,
            {
                **client_config(settings, "producer", errors.append),
                "enable.idempotence": True,
                "message.max.bytes": LARGEST_SET_ASIDE,
            },
        )
        self._lanes = AlertLanes(consumer, topics.alerts, self._log)
        self._log.info(
            "forwarding",
            target=self._target.name,
            template=self._target.template,
            topic=topics.alerts,
            group=self._group,
        )
        try:
            while not self._stop.asked():
                self._turn()
            self._finish()
        finally:
            self._board.status = Status("stopping")
            closing = Thread(target=self._lanes.close, name="close", daemon=True)
            closing.start()
            closing.join(STOP_WAIT_S)

    def _turn(self) -> None:
        """One pass: take records, take answers, send what is due, commit."""
        self._board.beat()
        self._lanes.poll(BUSY_POLL_S if self._sender.under_way else POLL_S)
        self._producer.poll(0)
        if (error := self._write_error) is not None:
            raise Fatal(f"write to {self._settings.topics.undelivered}: {error.str()}", error.code())
        for ended in self._sender.ended():
            self._take(ended)
        if not self._stop.asked():
            self._go_on()
        if time.monotonic() - self._committed_s >= COMMIT_EVERY_S:
            self._commit()
        self._show()

    def _go_on(self) -> None:
        """Begin what each lane needs next."""
        now_ms = _now_ms()
        for lane in self._lanes.all():
            step = lane.step(now_ms, self._breaker, self._limits)
            if step is Step.WRITE:
                self._write(lane)
            elif step is Step.SEND and not self._sender.full:
                self._send(lane, now_ms)

    def _send(self, lane: Lane, now_ms: int) -> None:
        if (forwarded := lane.first.forwarded) is None:
            raise TypeError("a record that is no alert is never sent")
        context = Context(now_ms, self._settings.detect.forget_after_ms, self._headers)
        body = TEMPLATES[self._target.template](forwarded, context)
        lane.sent(now_ms)
        self._breaker.sent()
        self._sender.send(lane, body, forwarded.alert.alert_id)

    def _take(self, ended: Ended) -> None:
        """Take an answer. One for a lane that was revoked is counted, and changes nothing else."""
        answer, lane, now_ms, chance = ended.answer, ended.lane, _now_ms(), random.random()  # noqa: S311 - of a wait
        self._metrics.requests.labels("none" if answer.status is None else f"{answer.status // 100}xx").inc()
        self._metrics.request_seconds.observe(ended.took_s)
        was = self._breaker.why
        self._breaker.answered(answer, now_ms, chance)
        if self._breaker.why is not None and was is None:
            self._log.warning("forward_target_fails", target=self._target.name, answer=answer.text)
        elif self._breaker.why is None and was is not None:
            self._log.info("forward_target_works_again", target=self._target.name)
        if self._lanes.has(lane) and lane.answered(answer, now_ms, chance):
            self._metrics.alerts.labels("delivered").inc()

    def _write(self, lane: Lane) -> None:
        """Hand the first alert of a lane to the producer, for TOPICS_UNDELIVERED."""
        topics, first, reason = self._settings.topics, lane.first, str(lane.reason)
        record = undelivered_record(topics.undelivered, topics.alerts, lane)

        def written(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self._write_error = error  # the turn raises it
            elif self._lanes.has(lane):
                lane.written()
                self._metrics.alerts.labels(reason).inc()

        try:
            self._producer.produce(record.topic, record.value, record.key, headers=record.headers, on_delivery=written)
        except BufferError:
            return  # the next turn does it
        lane.writing()
        alert_id = first.forwarded.alert.alert_id if first.forwarded else None
        self._log.warning("alert_undelivered", alert_id=alert_id, reason=reason, answer=lane.answer)

    def _commit(self) -> None:
        self._committed_s = time.monotonic()
        self._lanes.commit()

    def _finish(self) -> None:
        """Wait a moment for answers and writes that are under way, and commit."""
        deadline_s = time.monotonic() + STOP_WAIT_S
        while any(lane.busy for lane in self._lanes.all()) and time.monotonic() < deadline_s:
            self._turn()
        self._commit()

    def _show(self) -> None:
        now_ms = _now_ms()
        waiting = [lane.first.alert_ms for lane in self._lanes.all() if lane.queue]
        self._metrics.oldest_seconds.set(max(0, now_ms - min(waiting, default=now_ms)) / 1000)
        self._metrics.breaker_open.set(self._breaker.why is not None)
        why = None if self._lanes.joined else "waiting to join the consumer group"
        if self._breaker.why is not None:
            why = f"the target {self._target.name} does not take alerts: {self._breaker.why}"
        self._metrics.ready.set(why is None)
        self._board.status = Status(why)

    def _needed_acl(self, code: int | None) -> str | None:
        topics = self._settings.topics
        return {
            KafkaError.GROUP_AUTHORIZATION_FAILED: f"ACL READ on group {self._group}",
            KafkaError.TOPIC_AUTHORIZATION_FAILED: (
                f"ACL READ on topic {topics.alerts}, WRITE on topic {topics.undelivered}"
            ),
            KafkaError.CLUSTER_AUTHORIZATION_FAILED: "ACL CREATE on the cluster, or create the topics beforehand",
        }.get(code or 0)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
