"""`forward` is killed at each step, life after life: no alert is lost, and each partition's order is kept."""

import json
import random
from collections.abc import Callable, Sequence

import pytest
from confluent_kafka import Message

from brokerkit.broker import Broker
from brokerkit.client import create_topics, read_all
from brokerkit.service_process import Names, ServiceProcess, wait_until
from tests.bad_target import BadTarget, Behaviour, Request, bad_target, status
from tests.forwarding import Write, alert_writer, committed_by, forwarding, settings_of
from tests.integration.killed_forward import POINTS

QUICK = {"KAFKA_PROPERTIES": '{"group.protocol": "classic", "session.timeout.ms": 1000, "heartbeat.interval.ms": 300}'}
"""The group forgets a killed member after a second, and the next life begins."""
IDS = ("tx0", "tx1")
"""One for each partition."""
SOME = ("before the request", "after the answer", "in the write", "between the write and the commit", "in the commit")
KILLED = -9


class History:
    """Lives of `forward` against one target, which refuses every third alert, and what must hold after each."""

    def __init__(self, broker: Broker, names: Names, target: BadTarget) -> None:
        self.broker = broker
        self.names = names
        self.target = target
        self.write: Write = alert_writer(broker, names)
        self.written: dict[str, list[str]] = {one: [] for one in IDS}
        self.answered: set[str] = set()
        self.sent: list[list[str]] = []
        """Of each life, the alerts in the order of its requests."""
        target.behave = self._behave

    def _behave(self, request: Request) -> Behaviour:
        alert = request.headers["idempotency-key"]
        self.sent[-1].append(alert)
        if self.is_refused(alert):
            return status(400)
        self.answered.add(alert)
        return status(200)

    @staticmethod
    def is_refused(alert: str) -> bool:
        return int(alert.split("-")[1]) % 3 == 0

    def live(self, point: str, alerts: int = 6) -> None:
        """One life: it finds more alerts, and ends at that point."""
        for one in IDS:
            self.written[one] += self.write(one, alerts)
        self.sent.append([])
        arguments = [point, "forward", "--to", "here"]
        process = ServiceProcess(
            self.broker,
            self.names,
            {**settings_of(self.target.url), **QUICK},
            module="tests.integration.killed_forward",
            arguments=arguments,
        )
        try:
            assert process.process.wait(60) == KILLED, process.log[-3:]
        finally:
            process.kill()
            process.close_log()
        self.check()

    def end(self) -> None:
        """The last life settles everything."""
        self.sent.append([])
        everything = sum(map(len, self.written.values()))
        with forwarding(self.broker, self.names, self.target) as process:
            wait_until(lambda: sum(committed_by(self.broker, self.names).values()) == everything)
            assert process.stop() == 0
        self.check()

    def check(self) -> None:
        """What is committed is settled, and in each life each partition's alerts go on in their order."""
        undelivered = self.undelivered()
        for partition, one in enumerate(IDS):
            written = self.written[one]
            passed = written[: committed_by(self.broker, self.names).get(partition, 0)]
            lost = [
                alert for alert in passed if alert not in (undelivered if self.is_refused(alert) else self.answered)
            ]
            assert lost == []
            for life in self.sent:
                mine = [alert for alert in life if alert.startswith(one)]
                first = written.index(mine[0]) if mine else 0
                assert mine == written[first : first + len(mine)]
            of_all = [alert for life in self.sent for alert in life if alert.startswith(one)]
            assert list(dict.fromkeys(of_all)) == written[: len(set(of_all))]

    def undelivered(self) -> dict[str, Message]:
        found = read_all(self.broker, self.names.undelivered)
        return {json.loads(message.value() or b"")["alert_id"]: message for message in found}


def play(broker: Broker, unique: Callable[[str], str], points: Sequence[str]) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts, partitions=2)
    create_topics(broker, names.undelivered, partitions=1)
    with bad_target() as target:
        history = History(broker, names, target)
        for point in points:
            history.live(point)
        history.end()
    assert history.answered | set(history.undelivered()) == {
        alert for all_ in history.written.values() for alert in all_
    }


def test_killed_at_each_kind_of_step_it_loses_nothing_and_keeps_the_order(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    play(broker, unique, SOME)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_again_and_again_it_loses_nothing_and_keeps_the_order(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    chance = random.Random(21)  # noqa: S311 - a history that can be played again
    others = [chance.choice(POINTS) for _ in range(4)]
    play(broker, unique, [*POINTS, *others])
