"""Figures of time: alert latency under load, start and restart to the first commit."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import Consumer, Producer

from bench.drain import START_MS, drain_with_service, record
from bench.report import Figure
from bench.stand import Stand, service
from brokerkit.client import create_topics
from service.wire.transactions import encode_transaction

WINDOW_MS = 1_000
BURST_S = 0.01
LIMIT, HALF_LIMIT = "1000000000", "500000000"
"""Above every sum of the load, so that only the planted anomalies raise alerts."""
BUSY_RATE, BUSY_S, PARTITIONS = 1_000, 30, (4, 64, 300)
LATENCY = [
    ("p50", "p50, ms", ".0f"),
    ("p99", "p99, ms", ".0f"),
    ("max", "greatest, ms", ".0f"),
    ("floor_p50", "floor p50, ms", ".0f"),
    ("floor_p99", "floor p99, ms", ".0f"),
    ("floor_max", "floor greatest, ms", ".0f"),
]


def latency(stand: Stand) -> Figure:
    """Window end to readable by ``read_committed``: idle, and at 50 % and 80 % of what the service drains."""
    note = (
        "Window of 1 s, one alert a partition and window. Floor: a bare txn of one record, begun at the half second,"
        " while the same load runs. The load's producer shares the cores, too."
    )
    figure = Figure("latency", "Alert latency", LATENCY, note)
    records = stand.records(1_000_000)
    topic = stand.topic(records, size=90)
    run = stand.new("rate")
    stand.say("drain rate")
    rate = records / drain_with_service(stand.broker, topic, records, run, stand.outputs(topic, run)).wall_s
    seconds = 15 if stand.quick else 60
    for share in (0.0, 0.5, 0.8):
        stand.say(f"latency at {share:.0%} of {rate:,.0f} records/s")
        alerts, floors, reached = latencies(stand, Load(int(rate * share), seconds))
        name = (
            "idle"
            if not share
            else f"{share:.0%} of the drain rate (asked {rate * share:,.0f}/s, came {reached:,.0f}/s)"
        )
        row = figure.row(name)
        row.samples = {**spread(alerts, ""), **spread(floors, "floor_")}
    return figure


def partitions(stand: Stand) -> Figure:
    """The same where one partition is busy and all others are silent, by their number."""
    note = (
        f"{BUSY_RATE:,} records/s in one partition; all others are silent, and are asked about every ten seconds."
        " Window of 1 s. Floor: as above. Compare the least of the rounds: each is on shared cores."
    )
    figure = Figure("partitions", "Alert latency by partitions", LATENCY, note)
    for _ in range(stand.rounds):
        for count in PARTITIONS:
            stand.say(f"latency with {count} partitions")
            alerts, floors, _ = latencies(stand, Load(BUSY_RATE, BUSY_S, partitions=count, busy=1))
            found = {**spread(alerts, ""), **spread(floors, "floor_")}
            figure.row(f"{count} partitions").add(**{name: value for name, (value,) in found.items()})
    return figure


def spread(found: list[float], prefix: str) -> dict[str, list[float]]:
    """The columns of LATENCY, one sample each."""
    cuts = statistics.quantiles(found, n=100, method="inclusive")
    return {f"{prefix}p50": [cuts[49]], f"{prefix}p99": [cuts[98]], f"{prefix}max": [max(found)]}


@dataclass
class _Reader:
    """Notes when records become readable."""

    servers: str
    topics: list[str]
    seen: list[tuple[str, float, bytes]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Until it is stopped."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "bench-reader",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe(self.topics)
        while not stop.is_set():
            for message in consumer.consume(100, 0.005):
                if message.error() is None:
                    self.seen.append((message.topic() or "", time.time() * 1_000, message.value() or b""))
        consumer.close()


@dataclass
class Load:
    """What is written while latency is measured."""

    rate: int
    """Records a second."""
    seconds: int
    partitions: int = 4
    busy: int = 4
    """Records go to so many partitions."""
    keys: int = 1_000
    window_ms: int = WINDOW_MS


def latencies(
    stand: Stand, load: Load, settings: dict[str, str] | None = None
) -> tuple[list[float], list[float], float]:
    """Milliseconds from each planted anomaly's window end to its alert, those of bare txns, and records a second.

    ``settings`` must have a detector whose limit is LIMIT; without them it is the default one.
    """
    topic, run = stand.topic(0, partitions=load.partitions), stand.new("latency")
    detectors = {"DETECT_LIMIT": LIMIT} if settings is None else settings
    env = {**stand.outputs(topic, run), "WINDOW_SIZE_MS": str(load.window_ms), **detectors}
    floor_topic = f"{run}.floor"
    create_topics(stand.broker, floor_topic)
    reader = _Reader(stand.broker.bootstrap_servers, [env["TOPICS_ALERTS"], floor_topic])
    stop = threading.Event()
    sizes = map(str, (load.rate, load.seconds, load.busy, load.keys))
    command = [sys.executable, "-m", "bench.timing", topic, *sizes]
    with service(env) as running:
        for _ in range(load.partitions):
            running.wait_for("partition_started")
        threads = [
            threading.Thread(target=reader.run, args=(stop,)),
            threading.Thread(target=_bare_txns, args=(stand, floor_topic, stop)),
        ]
        for thread in threads:
            thread.start()
        try:
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
            time.sleep(2 * load.window_ms / 1_000)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    alerts = [at - json.loads(value)["window"]["end"] for name, at, value in reader.seen if name != floor_topic]
    floors = [at - float(value) for name, at, value in reader.seen if name == floor_topic]
    return alerts[8:], floors[2:], float(done.stdout)  # the first ones find connections cold


def _bare_txns(stand: Stand, topic: str, stop: threading.Event) -> None:
    """One record a second in a txn of its own, at the half second; its value is the time at which it is due."""
    producer = Producer(
        {"bootstrap.servers": stand.broker.bootstrap_servers, "transactional.id": topic, "linger.ms": 5}
    )
    producer.init_transactions()
    while not stop.is_set():
        due_s = int(time.time() + 0.5) + 0.5
        time.sleep(max(0.0, due_s - time.time()))
        producer.begin_transaction()
        producer.produce(topic, str(due_s * 1_000))
        producer.commit_transaction()


def generate(topic: str, rate: int, seconds: int, busy: int, keys: int) -> float:
    """Write ``rate`` records a second, with four anomalies each tenth of one; returns the rate that it came to.

    They go to the first ``busy`` partitions in turn.
    """
    producer = Producer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "compression.type": "lz4",
        }
    )
    ready = [record(number, keys, 90) for number in range(max(keys, 10_000))]
    large = [(f"large-{one}", encode_transaction(f"large-{one}", START_MS, HALF_LIMIT)) for one in range(4)]
    count, began_s, next_large_s = 0, time.monotonic(), 0.0
    while (past_s := time.monotonic() - began_s) < seconds:
        if past_s >= next_large_s:
            next_large_s += 0.1
            for one, (key, value) in enumerate(large):
                producer.produce(topic, value, key, one % busy)
        due = int(past_s * rate)
        for number in range(count, min(due, count + 20_000)):
            key, value = ready[number % len(ready)]
            with contextlib.suppress(BufferError):
                producer.produce(topic, value, key, number % busy)
            count = number + 1
        producer.poll(0)
        time.sleep(BURST_S if count >= due else 0)
    producer.flush()
    return count / (time.monotonic() - began_s)


def start(stand: Stand) -> Figure:
    """From the process's start to its first commit, new and again, beside a bare client that does the same."""
    columns = [
        ("service_s", "service, s", ".2f"),
        ("floor_s", "bare client, s", ".2f"),
        ("import_s", "until listening, s", ".2f"),
    ]
    note = (
        "Window of 100 ms, records waiting. A restart ends the service with SIGTERM and starts it under the same name."
    )
    figure = Figure("start", "Start to first commit", columns, note)
    topic = stand.topic(10_000)
    for number in range(max(3, stand.rounds)):
        stand.say(f"start: round {number + 1}")
        run = stand.new("start")
        env = {**stand.outputs(topic, run), "WINDOW_SIZE_MS": "100"}
        for case in ("start", "restart"):
            if case == "restart":
                stand.refill(topic, 1_000)
            figure.row(case).add(**dict(_first_commit(env)))
        floor = {**env, "KAFKA_GROUP_ID": f"{run}-floor"}
        for case in ("start", "restart"):
            if case == "restart":
                stand.refill(topic, 1_000)
            figure.row(case).add(floor_s=_bare_start_s(floor))
    return figure


def _bare_start_s(env: dict[str, str]) -> float:
    command, began_s = [sys.executable, "-m", "bench.floor_start"], time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None, "a pipe was asked for"  # noqa: S101
        process.stdout.readline()
        return time.monotonic() - began_s


def _first_commit(env: dict[str, str]) -> Iterator[tuple[str, float]]:
    with service(env) as running:
        yield "import_s", time.monotonic() - running.began_s
        running.wait_for("checkpoint")
        yield "service_s", time.monotonic() - running.began_s


if __name__ == "__main__":
    print(generate(sys.argv[1], *map(int, sys.argv[2:6])))
