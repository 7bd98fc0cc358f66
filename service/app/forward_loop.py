"""The loop of `forward`: takes alerts, sends each one to the target, and commits what is settled."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Mapping
from typing import Final

from confluent_kafka import KafkaError, Message, Producer
from structlog.typing import FilteringBoundLogger

from service.app.forward_health import ForwardHealth
from service.app.topics import LARGEST_SET_ASIDE
from service.forward.lane import Lane, Step
from service.forward.metrics import ForwardMetrics
from service.forward.sender import Ended, Sender
from service.forward.templates import TEMPLATES, Context
from service.forward.undelivered import undelivered_record
from service.forward.verdicts import Breaker, Limits
from service.kafka.alert_lanes import AlertLanes
from service.kafka.threads import NO_THREAD
from service.loop.errors import Fatal
from service.observe.status import StatusBoard
from service.process.stop import Stop
from service.settings import Settings
from service.settings.forward import ForwardSettings

POLL_S: Final = 0.1
BUSY_POLL_S: Final = 0.02
COMMIT_EVERY_S: Final = 1.0
SETTLE_S: Final = 3.0
"""At a stop or a rebalance, requests under way are awaited for so long. One that takes longer is sent again later."""


class ForwardLoop:
    """One turn at a time. It waits for Kafka alone: each request has a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        target: ForwardSettings,
        headers: Mapping[str, str],
        *,
        sender: Sender,
        producer: Producer,
        metrics: ForwardMetrics,
        board: StatusBoard,
        stop: Stop,
        log: FilteringBoundLogger,
    ) -> None:
        """``headers`` are the target's, with their values; ``producer`` writes to TOPICS_UNDELIVERED."""
        self._topics = settings.topics
        self._forget_after_ms = settings.detect.forget_after_ms
        self._target = target
        self._headers = headers
        self._sender = sender
        self._producer = producer
        self._metrics = metrics
        self._board = board
        self._stop = stop
        self._log = log
        self._limits = Limits(target.max_age_ms, target.give_up_after_ms)
        self._breaker = Breaker(target.give_up_after_ms)
        self._write_error: KafkaError | None = None
        self._committed_s = 0.0
        self._ended = False

    def run(self, lanes: AlertLanes, health: ForwardHealth) -> None:
        """Turn until the stop; then wait a moment for what is under way. Closing the lanes commits.

        Raises:
            Fatal: the broker refuses, or the process cannot start a thread.
        """
        self._lanes = lanes
        while not self._stop.asked():
            self._turn()
            self._show(health)
        self.settle(lanes.all())
        self._ended = True  # leaving the group gives all lanes back: they have had their time

    def _turn(self) -> None:
        """Take alerts, take answers, begin what each lane needs, commit."""
        self._lanes.poll(BUSY_POLL_S if self._sender.under_way else POLL_S)
        self._take_results()
        if (error := self._write_error) is not None:
            raise Fatal(f"write to {self._topics.undelivered}: {error.str()}", error.code())
        if self._sender.bug is not None:
            raise self._sender.bug
        # The lane whose last request is the oldest goes first: else busy partitions could hold back all others.
        now_ms = _now_ms()
        for lane in sorted(self._lanes.all(), key=lambda lane: lane.sent_ms):
            step = lane.step(now_ms, self._breaker, self._limits)
            if step is Step.WRITE:
                self._write(lane)
            elif step is Step.SEND and not self._sender.full:
                self._send(lane, now_ms)
        if time.monotonic() - self._committed_s >= COMMIT_EVERY_S:
            self._committed_s = time.monotonic()
            self._lanes.commit()

    def _take_results(self) -> None:
        """Take the results of requests and writes; never raises."""
        self._board.beat()
        self._producer.poll(0)
        for ended in self._sender.ended():
            self._take(ended)

    def _send(self, lane: Lane, now_ms: int) -> None:
        if (forwarded := lane.first.forwarded) is None:
            raise TypeError("a record that is no alert is never sent")
        context = Context(now_ms, self._forget_after_ms, self._headers)
        body = TEMPLATES[self._target.template](forwarded, context)
        try:
            self._sender.send(lane, body, forwarded.alert.alert_id)
        except RuntimeError as error:
            raise Fatal(f"request: {error}: {NO_THREAD}") from None
        lane.sent(now_ms)
        self._breaker.sent()

    def _take(self, ended: Ended) -> None:
        """Take an answer. One for a lane that was revoked says something of the target only."""
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
        first, reason = lane.first, str(lane.reason)
        record = undelivered_record(self._topics.undelivered, self._topics.alerts, lane, int(LARGEST_SET_ASIDE))

        def written(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self._write_error = error  # the next turn raises it
            elif self._lanes.has(lane):
                lane.written()
                self._metrics.alerts.labels(reason).inc()

        try:
            self._producer.produce(record.topic, record.value, record.key, headers=record.headers, on_delivery=written)
        except BufferError:
            return  # the next turn tries again
        lane.writing()
        alert_id = first.forwarded.alert.alert_id if first.forwarded else None
        self._log.warning("alert_undelivered", alert_id=alert_id, reason=reason, answer=lane.answer)

    def settle(self, lanes: Collection[Lane]) -> None:
        """Wait a moment for what is under way in lanes that must be given back; never raises.

        The next owner of their partitions sends again what is not settled. A request that is still under way then
        could reach the target behind later alerts of its key.
        """
        deadline_s = time.monotonic() + SETTLE_S
        while any(lane.busy for lane in lanes) and not self._ended and time.monotonic() < deadline_s:
            time.sleep(BUSY_POLL_S)
            self._take_results()

    def _show(self, health: ForwardHealth) -> None:
        now_ms = _now_ms()
        waiting = [lane.first.alert_ms for lane in self._lanes.all() if lane.queue]
        oldest_ms = max(0, min(waiting, default=now_ms))  # a foreign record may hold any number
        self._metrics.oldest_seconds.set(max(0, now_ms - oldest_ms) / 1000)
        why = self._breaker.why
        self._metrics.breaker_open.set(why is not None)
        fails = None if why is None else f"the target {self._target.name} does not take alerts: {why}"
        health.look(joined=self._lanes.joined, target_fails=fails)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
