"""How fast `--pace max` is against its floors, on a real broker, in one run.

The floors are a bare ``produce()`` loop over the same records, encoded beforehand, with the same librdkafka settings:
once with a Python callback that counts each delivery report, once without any callback. Rounds alternate, since a
shared machine's speed changes within seconds; the table gives medians, and ratios are medians of each round's own.

    python -m bench.producer_rate [--rows N] [--rounds N] [--bootstrap-servers HOST:PORT]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from brokerkit.broker import Broker
from producer.app import LINGER_MS
from producer.cli import main as replay_main
from producer.client import client_config
from producer.stop import Stop
from service.wire.transactions import encode_transaction

Record = tuple[str, bytes]
PARTITIONS: Final = 4
KEYS: Final = 1000
ROWS_PER_SECOND: Final = 100
FIRST: Final = datetime(2024, 5, 11, 10, tzinfo=UTC)


def example(rows: int, path: Path) -> list[Record]:
    """Write a CSV of so many rows; returns the records that they should become."""
    records = []
    with path.open("w") as file:
        file.write("transaction_id,timestamp,amount\n")
        for number in range(rows):
            when = FIRST + timedelta(seconds=number // ROWS_PER_SECOND)
            key, amount = f"tx{number % KEYS}", f"{number % 9000}.{number % 100:02}"
            file.write(f"{key},{when:%Y-%m-%d %H:%M:%S},{amount}\n")
            records.append((key, encode_transaction(key, int(when.timestamp() * 1000), amount)))
    return records


def bare_loop(brokers: str, topic: str, records: list[Record], *, counting: bool) -> float:
    """Produce all records; returns records per second, from the first produce() to the end of flush()."""
    settings = client_config(brokers, {}, LINGER_MS["max"])
    del settings["delivery.report.only.error"]
    client = Producer(settings)
    client.list_topics(topic)
    delivered = 0

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        nonlocal delivered
        if error is None:
            delivered += 1

    callback = on_delivery if counting else None
    produce, poll = client.produce, client.poll
    began_s = time.perf_counter()
    for number, (key, value) in enumerate(records):
        while True:
            try:
                produce(topic, value, key, -1, callback)
            except BufferError:
                poll(0.01)
            else:
                break
        if not number % 512:
            poll(0)
    left = client.flush()
    seconds = time.perf_counter() - began_s
    if left or (counting and delivered != len(records)):
        raise SystemExit(f"the bare loop delivered {delivered} of {len(records)}")
    return len(records) / seconds


def replay(brokers: str, topic: str, path: Path, rows: int) -> float:
    """Replay the CSV; returns rows per second."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = replay_main(
            Stop(),
            ["replay", str(path), "--pace", "max", "--topic", topic, "--bootstrap-servers", brokers, "--no-progress"],
        )
    summary = json.loads(output.getvalue())
    if code or summary["delivered"] != rows:
        raise SystemExit(f"exit {code}: {summary}")
    return rows / float(summary["seconds"])


@contextlib.contextmanager
def brokers_at(given: str | None) -> Iterator[str]:
    """Give the brokers named, or one of our own."""
    if given:
        yield given
        return
    with Broker() as broker:
        yield broker.bootstrap_servers


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bootstrap-servers")
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"bare, no callback": [], "bare, counting callback": [], "replay --pace max": []}
    with tempfile.TemporaryDirectory() as folder, brokers_at(arguments.bootstrap_servers) as brokers:
        path = Path(folder) / "rows.csv"
        records = example(arguments.rows, path)
        topic = f"bench.producer-rate.{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": brokers})
        admin.create_topics([NewTopic(topic, PARTITIONS)], operation_timeout=10)[topic].result()
        for number in range(arguments.rounds + 1):
            measured = {
                "bare, no callback": bare_loop(brokers, topic, records, counting=False),
                "replay --pace max": replay(brokers, topic, path, arguments.rows),
                "bare, counting callback": bare_loop(brokers, topic, records, counting=True),
            }
            if number:  # the first round warms the broker
                for name, rate in measured.items():
                    rates[name].append(rate)
        admin.delete_topics([topic])[topic].result()
    ours = rates["replay --pace max"]
    print(f"{arguments.rows:,} rows, {arguments.rounds} rounds, one broker, {PARTITIONS} partitions\n")
    print("| what | rows/s, median | least | greatest | replay ÷ this |")
    print("|---|---|---|---|---|")
    for name, each in rates.items():
        ratio = statistics.median(our / floor for our, floor in zip(ours, each, strict=True))
        print(f"| {name} | {statistics.median(each):,.0f} | {min(each):,.0f} | {max(each):,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
