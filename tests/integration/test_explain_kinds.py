"""`explain` by each window clock and for each kind of alert, over one topic that three services have read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from brokerkit.service_process import Names, payloads, running, transaction, wait_until
from service.app.explaining import Explainer
from service.history.explain import Explanation
from service.process.stop import Stop
from service.settings import load
from tests.unit.onnx_files import adding, saved
from tests.unit.settings_files import NO_FILE

CLOCKS = ("processing", "ingestion", "event")
SIZE_MS = 1_000


def detectors(model: Path) -> list[dict[str, Any]]:
    """One of each kind."""
    found: list[dict[str, Any]] = [
        {"name": "high", "type": "threshold", "limit": 500},
        {"name": "small", "type": "threshold", "of": "min", "limit": 3, "direction": "below", "mode": "shadow"},
        {"name": "episode", "type": "threshold", "of": "max", "limit": 400, "resolve_after": 1},
        {"name": "odd", "type": "deviation", "min_windows": 3, "resolve_after": 2},
        {"name": "added", "type": "model", "file": str(model), "features": ["sum", "late_share"], "limit": 550},
        {"name": "based", "type": "model", "file": str(model), "features": ["sum", "baseline_windows"], "limit": 555},
        {"name": "silent", "type": "inactivity", "after_ms": 2_500},
    ]
    silent = {"type": "inactivity", "after_ms": 2_500, "mode": "shadow"}
    return [*found, *({**silent, "name": scope, "scope": scope} for scope in ("partition", "topic"))]


class Read:
    """What the services wrote, and how it is explained."""

    def __init__(self, broker: Broker, names: Mapping[str, Names], settings: Mapping[str, dict[str, str]]) -> None:
        """Begin when they have ended."""
        self.broker = broker
        self.names = names
        self.settings = settings
        self.alerts = {
            clock: [*payloads(broker, one.alerts), *payloads(broker, one.shadow)] for clock, one in names.items()
        }

    def explain(self, clock: str, alert: Mapping[str, Any], **changed: str) -> Explanation:
        """As the command does, with some settings changed."""
        environment = {
            **self.names[clock].environment(),
            **self.settings[clock],
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            **changed,
        }
        explainer = Explainer(load(NO_FILE, environment).settings, Stop())
        try:
            found = explainer.find(alert["alert_id"])
            assert found is not None
            return explainer.explain(found)
        finally:
            explainer.close()

    def one(self, clock: str, detector: str, status: str | None = None) -> dict[str, Any]:
        """The first alert of a detector."""
        found: dict[str, Any] = next(
            one for one in self.alerts[clock] if (one["detector"], one.get("status")) == (detector, status)
        )
        return found

    def other(self, clock: str, detector: str, /, **fields: Any) -> dict[str, str]:  # noqa: ANN401
        """The settings with other fields of one detector."""
        tables = json.loads(self.settings[clock]["DETECTORS"])
        return {"DETECTORS": json.dumps([{**one, **fields} if one["name"] == detector else one for one in tables])}


def found(broker: Broker, topic: str, status: str | None = None) -> set[str]:
    """The detectors whose alerts of this status are there."""
    return {one["detector"] for one in payloads(broker, topic) if one.get("status") == status}


def send(broker: Broker, topic: str) -> None:
    """Eight windows; one of them has what each detector finds, a late record among it."""
    for number in range(8):
        time.sleep(SIZE_MS / 1000 - time.time() % (SIZE_MS / 1000) + 0.1)
        now_ms = time.time_ns() // 1_000_000
        records = [transaction("a", now_ms, 20 + number % 2)]
        if number == 0:
            records += [transaction("once", now_ms, 7)]
        if number == 5:
            records += [transaction("a", now_ms + 1, "600.25"), transaction("a", now_ms - 200, "0.5")]
            records += [transaction("a", now_ms - 1_700, "2.25")]  # late
        produce(broker, topic, records)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """One topic in two partitions, and a service by each clock."""
    model = saved(tmp_path_factory.mktemp("model"), adding(2))
    with Broker() as broker:
        names = {clock: Names(lambda name, clock=clock: f"explained.{clock}.{name}") for clock in CLOCKS}  # type: ignore[misc]
        topic = names["event"].transactions
        settings = {}
        for clock in CLOCKS:
            names[clock].transactions = topic
            settings[clock] = {
                "WINDOW_CLOCK": clock,
                "WINDOW_SIZE_MS": str(SIZE_MS),
                "LATE_POLICY": "include" if clock == "processing" else "divert",
                "DETECTORS": json.dumps(detectors(model)),
            }
        create_topics(broker, topic, partitions=2, config={"message.timestamp.type": "LogAppendTime"})
        with ExitStack() as services:
            started = [services.enter_context(running(broker, names[clock], settings[clock])) for clock in CLOCKS]
            for one in started:
                one.wait_ready(2, timeout_s=90)
            send(broker, topic)
            shadows = [one.shadow for one in names.values()]
            wait_until(
                lambda: all({"partition", "topic"} <= found(broker, one) for one in shadows), 40, name="silences"
            )
            # By event time the last windows close only now.
            far = time.time_ns() // 1_000_000
            for later_ms in (0, 1_100, 2_200):
                produce(broker, topic, [transaction(one, far + later_ms, 20) for one in ("a", "once")])
                time.sleep(1.1)
            alerts = [one.alerts for one in names.values()]
            ended = "resolved"
            wait_until(lambda: all({"episode", "odd"} <= found(broker, one, ended) for one in alerts), 40, name=ended)
        yield Read(broker, names, settings)


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_alert_of_each_kind_comes_out_the_same(read: Read, clock: str) -> None:
    seen = {(one["detector"], one.get("status")) for one in read.alerts[clock]}
    assert seen >= {
        *(("high", None), ("small", None), ("added", None), ("based", None), ("silent", None)),
        *((name, None) for name in ("partition", "topic")),
        *((name, status) for name in ("episode", "odd") for status in ("open", "resolved")),
    }
    for one in read.alerts[clock]:
        found = read.explain(clock, one)
        assert found.reproduced, (one, list(found.lines()))


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_verdict_is_that_of_todays_settings(read: Read, clock: str) -> None:
    high = read.one(clock, "high")
    lower = read.explain(clock, high, **read.other(clock, "high", limit=450.5))
    assert lower.reproduced
    assert "The limit in the settings is 450.5 today. The limit of the alert was 500.0." in "\n".join(lower.lines())
    higher = read.explain(clock, high, **read.other(clock, "high", limit=5_000))
    assert (higher.reproduced, higher.sums_agree) == (False, True)
    assert "The detector of the settings finds no anomaly in it." in "\n".join(higher.lines())
    renamed = read.explain(clock, high, **read.other(clock, "high", name="another"))
    assert renamed.reproduced
    assert "no detector high: judged by the alert's own limit" in "\n".join(renamed.lines())
    other = read.explain(clock, high, **read.other(clock, "high", of="count", limit=3))
    assert "looks at another value now (count)" in "\n".join(other.lines())
    default = {"DETECTORS": "[]", "DETECT_LIMIT": "1"}
    assert "those of DETECT_LIMIT" in "\n".join(read.explain(clock, high, **default).lines())
    scored = read.explain(clock, read.one(clock, "added"), **read.other(clock, "added", limit=100_000))
    assert not scored.reproduced
    silent = read.one(clock, "silent")
    longer = read.explain(clock, silent, **read.other(clock, "silent", after_ms=3_600_000))
    assert (longer.reproduced, longer.broken_by is not None) == (False, True)
    topic = read.one(clock, "topic")
    longer = read.explain(clock, topic, **read.other(clock, "topic", after_ms=3_600_000))
    assert not longer.reproduced
    if clock != "processing":
        odd = read.explain(clock, read.one(clock, "odd", "open"), **read.other(clock, "odd", sigmas=100_000.0))
        assert (odd.reproduced, odd.refuted) == (False, True), "it was said to be reproduced by its own limit"


def test_records_that_have_expired_are_said(read: Read) -> None:
    gone = TopicPartition(read.names["event"].transactions, 0, 8)
    admin = AdminClient({"bootstrap.servers": read.broker.bootstrap_servers})
    admin.delete_records([gone])[gone].result(30)
    for clock in CLOCKS:
        for name, status in (("high", None), ("added", None), ("odd", "open"), ("episode", "open")):
            found = read.explain(clock, read.one(clock, name, status))
            assert (found.reproduced, found.expired) == (False, True)
            assert "have expired" in "\n".join(found.lines())
        baseline = read.explain(clock, read.one(clock, "odd", "resolved"))
        assert baseline.sums_agree
