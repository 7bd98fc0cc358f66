"""The loop of `forward` and its health: every partition gets its turn, and the status says what is wrong."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from service.app.forward_health import ForwardHealth
from service.app.forward_loop import ForwardLoop
from service.app.topics import LARGEST_SET_ASIDE
from service.forward.lane import Lane, Waiting
from service.forward.metrics import ForwardMetrics
from service.forward.sender import REQUESTS_MAX, Sender
from service.forward.templates import Body
from service.forward.verdicts import Answer
from service.kafka.background import Background
from service.loop.errors import Fatal, Retriable
from service.observe.status import StatusBoard
from service.process.stop import Stop
from service.settings import load
from service.wire.records import Headers
from tests.unit.forwarded import alert
from tests.unit.settings_files import NO_FILE

TURNS = 30


class Quick:
    """A target that takes everything at once."""

    def send(self, body: Body, idempotency_key: str) -> Answer:
        del body, idempotency_key
        return Answer(200, "200 OK")


class FullLanes:
    """More lanes than requests may run, each with more alerts than can be sent."""

    joined = True

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._turns = 0
        self.lanes = [Lane(number) for number in range(2 * REQUESTS_MAX)]
        for lane in self.lanes:
            for offset in range(TURNS):
                one = alert(detected_at=time.time_ns() // 1_000_000)
                lane.add(Waiting(offset, b"k", one.value, [], one.alert.detected_at, one))

    def poll(self, wait_s: float) -> None:
        time.sleep(min(wait_s, 0.02))
        self._turns += 1
        if self._turns == TURNS:
            self._stop.event.set()

    def all(self) -> list[Lane]:
        return list(self.lanes)

    def has(self, lane: Lane) -> bool:
        return lane in self.lanes

    def commit(self) -> None:
        pass


def loop_of(stop: Stop, producer: object) -> ForwardLoop:
    settings = load(NO_FILE, {"FORWARD": '[{"name": "here", "url": "http://127.0.0.1:9"}]'}).settings
    return ForwardLoop(
        settings,
        settings.forward[0],
        {},
        sender=Sender(Quick()),
        producer=cast("Any", producer),
        metrics=ForwardMetrics(CollectorRegistry()),
        board=StatusBoard(time.monotonic),
        stop=stop,
        log=structlog.get_logger(),
    )


def run(loop: ForwardLoop, lanes: FullLanes) -> None:
    loop.run(cast("Any", lanes), cast("Any", SimpleNamespace(look=lambda **_: None)))


def test_no_partition_is_held_back_by_others_that_are_always_busy() -> None:
    stop = Stop()
    lanes = FullLanes(stop)
    run(loop_of(stop, SimpleNamespace(poll=lambda _: 0)), lanes)
    settled = [lane.next_offset or 0 for lane in lanes.lanes]
    assert min(settled) > 0
    assert max(settled) - min(settled) <= 2


def test_no_thread_left_for_a_request_ends_the_process_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    stop = Stop()
    lanes = FullLanes(stop)
    monkeypatch.setattr(Thread, "start", refusing)
    with pytest.raises(Fatal, match=r"^request: can't start new thread: the limit of processes"):
        run(loop_of(stop, SimpleNamespace(poll=lambda _: 0)), lanes)
    assert not any(lane.busy for lane in lanes.lanes), "the end waits for no request"


class Writing:
    """Hands records to the real client, which refuses those that are too large; no broker is there."""

    def __init__(self, stop: Stop) -> None:
        config = {"bootstrap.servers": "127.0.0.1:1", "message.max.bytes": LARGEST_SET_ASIDE, "log_level": 0}
        self._client: Any = Producer(config)
        self.poll = self._client.poll
        self._stop = stop
        self.headers: dict[str, bytes] = {}

    def produce(self, *record: Any, headers: Headers, **other: Any) -> None:  # noqa: ANN401 - the client's
        self._stop.event.set()
        self._client.produce(*record, headers=headers, **other)
        self.headers = {name: value for name, value in headers if isinstance(value, bytes)}


@pytest.mark.parametrize(
    ("value", "headers", "note"),
    [
        (b"x" * 3_000_000, [], ("txwatch.truncated_from", b"3000000")),
        (b"x", [("large", b"x" * 3_000_000)], ("txwatch.headers_dropped", b"1")),
    ],
)
def test_a_record_too_large_for_the_topic_is_cut_and_not_tried_for_ever(
    value: bytes, headers: Headers, note: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.app.forward_loop.SETTLE_S", 0)
    stop = Stop()
    lanes, producer = FullLanes(stop), Writing(stop)
    lanes.lanes = [Lane(0)]
    lanes.lanes[0].add(Waiting(7, b"k", value, headers, 1, None))
    run(loop_of(stop, producer), lanes)
    assert lanes.lanes[0].busy
    assert note[1] == producer.headers[note[0]]
    assert b"refused" == producer.headers["txwatch.reason"]


class Kafka:
    """What the group and the broker answer."""

    def __init__(self) -> None:
        self.is_member = False
        self.problem: str | None = None
        self.said = structlog.testing.LogCapture()
        self.metrics = ForwardMetrics(CollectorRegistry())
        self.board = StatusBoard(time.monotonic)
        self.status = SimpleNamespace(joined=False, ask_membership=self._ask_membership)
        self.health = ForwardHealth(
            cast("Any", self.status),
            Background[None, bool]("reach", self._reach),
            metrics=self.metrics,
            board=self.board,
            log=structlog.wrap_logger(None, processors=[self.said]),
        )

    def _ask_membership(self) -> None:
        self.status.joined = self.is_member

    def _reach(self, _: None) -> bool:
        if self.problem is not None:
            raise Retriable(self.problem)
        return True

    def look(self, *, target_fails: str | None = None, joined: bool = False) -> str | None:
        self.health.look(joined=joined, target_fails=target_fails)
        return self.board.status.not_ready

    def until(self, expected: str | None, look: Callable[[], str | None]) -> None:
        deadline_s = time.monotonic() + 10
        while look() != expected and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert expected == look()


def test_a_member_without_partitions_is_ready_once_the_group_has_it() -> None:
    kafka = Kafka()
    assert kafka.look() == "waiting to join the consumer group"
    kafka.is_member = True
    kafka.look()
    assert kafka.look() is None


@pytest.mark.parametrize("joined", [True, False])
def test_a_broker_that_does_not_answer_is_no_ready_instance_until_it_answers(joined: bool) -> None:  # noqa: FBT001
    kafka = Kafka()
    kafka.look(joined=joined)
    kafka.problem = "reach the broker: timed out"
    kafka.health.report_trouble("Kafka client: all brokers are down")
    kafka.health.report_trouble("Kafka client: connection refused")
    before = "Kafka does not answer" if joined else "waiting to join the consumer group"
    kafka.until(f"{before}: reach the broker: timed out", kafka.look)
    assert kafka.metrics.ready._value.get() == 0
    kafka.problem, kafka.is_member = None, True
    kafka.until(None, kafka.look)
    assert ["kafka_trouble", "kafka_well_again"] == [entry["event"] for entry in kafka.said.entries]


def test_a_target_that_fails_is_the_reason_beside_a_kafka_that_works() -> None:
    kafka = Kafka()
    assert kafka.look(joined=True, target_fails="the target x does not take alerts: 404") == (
        "the target x does not take alerts: 404"
    )
    assert kafka.look() is None
