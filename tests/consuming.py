"""What the examples of docs/consuming.md are tested with: alerts of the service, an aborted txn and a repeat."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from queue import Empty, Queue
from typing import Final

import pytest
from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce, read_all
from brokerkit.service_process import Names, running, transaction, wait_until

T0: Final = 1_715_392_800_000
AMOUNTS: Final = ("9000.25", "12345678901234567890.123456789", "9000.1")
"""The second one has more digits than a binary float keeps."""
ALERT: Final = re.compile(r"[0-9a-f]{32,} \S+ \S+")
"""A line about an alert; the rest is what the client says."""


def write_alerts(broker: Broker, names: Names) -> list[str]:
    """Let the service write three alerts into one partition; returns the lines that a reader prints.

    Between the first and the second are an aborted alert and the first one again, as a reader could meet them.
    """
    create_topics(broker, names.transactions, names.alerts)
    by_event = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert", "WATERMARK_LATENESS_MS": "0"}
    with running(broker, names, by_event) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, [transaction("tx1", T0, AMOUNTS[0]), transaction("tx0", T0 + 5_000, 1)])
        (first,) = wait_until(lambda: read_all(broker, names.alerts))
        value = first.value()
        assert value is not None
        abort(broker, names.alerts, value.replace(b'"tx1"', b'"aborted"').replace(b'"alert_id":"', b'"alert_id":"0'))
        produce(broker, names.alerts, [(first.key(), value)])
        more = [transaction("tx2", T0 + 10_000, AMOUNTS[1]), transaction("tx3", T0 + 20_000, AMOUNTS[2])]
        produce(broker, names.transactions, [*more, transaction("tx0", T0 + 30_000, 1)])
        written = wait_until(lambda: len(found := read_all(broker, names.alerts)) == 4 and found)
        assert service.stop() == 0
    values = [one.value() for one in written]
    assert values[1] == value
    alerts = [json.loads(one, parse_float=str) for one in (values[0], *values[2:])]
    assert [one["amount"] for one in alerts] == list(AMOUNTS)
    return [f"{one['alert_id']} {one['transaction_id']} {one['amount']}" for one in alerts]


def abort(broker: Broker, topic: str, value: bytes) -> None:
    """Write a record in a txn, and abort it."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": f"{topic}.aborted"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)
    assert any(one.value() == value for one in read_all(broker, topic, "read_uncommitted"))


@contextlib.contextmanager
def printing(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Queue[str | None]]:
    """Run a program for the block; its lines come as it prints them, and None at its end."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    )
    lines: Queue[str | None] = Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def read_like(
    command: Sequence[str],
    expected: Sequence[str],
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> None:
    """Run an example until it has printed so many alerts; what else it says is its client's and of no interest.

    Raises:
        AssertionError: it printed others.
    """
    said: list[str] = []
    found: list[str] = []
    with printing(command, environment) as lines:
        while len(found) < len(expected):
            with contextlib.suppress(Empty):
                line = lines.get(timeout=timeout_s)
                if line is not None:
                    said.append(line)
                    if ALERT.fullmatch(line):
                        found.append(line)
                    continue
            pytest.fail("\n".join(["it printed no further alert, but:", *said]))
    assert found == list(expected), said
