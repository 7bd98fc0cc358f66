"""Figures of the replay producer: rows a second against bare loops, and how well it keeps a schedule."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from bench.producer_rate import bare_loop, example, replay
from bench.report import Figure
from bench.stand import Stand
from brokerkit.client import create_topics
from producer.cli import main as replay_main
from producer.stop import Stop

RATE = [
    ("rows", "rows/s", ",.0f"),
    ("of_counting", "÷ loop that counts deliveries", ".2f"),
    ("of_bare", "÷ loop without callback", ".2f"),
]


def producer(stand: Stand) -> Figure:
    """``--pace max`` against the loops, in turns; one round warms up."""
    figure = Figure(
        "producer", "Replay producer, `--pace max`", RATE, "4 partitions, records encoded beforehand in the loops."
    )
    rows = stand.records(500_000)
    topic, servers = stand.new("producer"), stand.broker.bootstrap_servers
    create_topics(stand.broker, topic, partitions=4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        records = example(rows, path)
        for number in range(stand.rounds + 1):
            stand.say(f"producer: round {number}")
            bare = bare_loop(servers, topic, records, counting=False)
            ours = replay(servers, topic, path, rows)
            counting = bare_loop(servers, topic, records, counting=True)
            if number:
                figure.row("loop without callback").add(rows=bare)
                figure.row("loop that counts deliveries").add(rows=counting)
                figure.row("replay").add(rows=ours, of_counting=ours / counting, of_bare=ours / bare)
    return figure


def schedule(stand: Stand) -> Figure:
    """Rows at event-time pace: how far each record's time in Kafka is from when it was due."""
    columns = [
        ("p50", "p50, ms", ".1f"),
        ("p99", "p99, ms", ".1f"),
        ("max", "greatest, ms", ".1f"),
        ("own", "its own greatest, ms", ".1f"),
    ]
    note = "A row's time in Kafka, in whole ms, against the schedule from the first one on; own: what its summary says."
    figure = Figure("schedule", "Replay producer, schedule error", columns, note)
    seconds = 10 if stand.quick else 30
    for rate in (100, 1_000, 10_000):
        stand.say(f"schedule at {rate:,} rows/s")
        topic = stand.new("schedule")
        create_topics(stand.broker, topic)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.csv"
            lines = (f"tx{number % 100},{number * 1_000 // rate},1.5\n" for number in range(rate * seconds))
            path.write_text("transaction_id,timestamp,amount\n" + "".join(lines))
            output = io.StringIO()
            options = ["--timestamp-format", "epoch_ms", "--topic", topic, "--no-progress"]
            with contextlib.redirect_stdout(output):
                replay_main(
                    Stop(), ["replay", str(path), *options, "--bootstrap-servers", stand.broker.bootstrap_servers]
                )
        lags = sorted(_lags(stand, topic, rate * seconds))
        p99 = lags[len(lags) * 99 // 100]
        own = float(json.loads(output.getvalue())["max_schedule_lag_ms"])
        figure.row(f"{rate:,} rows/s").add(p50=lags[len(lags) // 2], p99=p99, max=lags[-1], own=own)
    return figure


def _lags(stand: Stand, topic: str, count: int) -> list[float]:
    consumer = Consumer({"bootstrap.servers": stand.broker.bootstrap_servers, "group.id": "bench-schedule"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    lags: list[float] = []
    while len(lags) < count:
        for message in consumer.consume(1_000, 0.5):
            lags.append(message.timestamp()[1] - json.loads(message.value() or b"")["timestamp"])  # noqa: PERF401
    consumer.close()
    first = min(lags)
    return [lag - first for lag in lags]
