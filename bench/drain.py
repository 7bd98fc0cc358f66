"""CPU a record while a backlog is drained: the service against a loop that only consumes.

    .venv/bin/python -m bench.drain [--records N] [--rounds N]

Both are processes of their own, take turns, and are charged what the kernel says they used from the moment they
subscribe until the last record is read (the service's start and its last commit are shown apart).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.processes import peak_mib
from service.wire.transactions import encode_transaction

KEYS = 1_000
START_MS = 1_715_392_800_000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """One drain: CPU-seconds and wall seconds."""

    start_cpu_s: float
    drain_cpu_s: float
    wall_s: float
    peak_mib: float
    log: list[dict[str, Any]] = field(default_factory=list)
    """What the service logged after its start."""


SHAPES: dict[str, Callable[[str, int, str], bytes]] = {
    "own": encode_transaction,
    "nested": lambda key, at, amount: b'{"after":{"id":"%b","at":%d,"sum":%b}}' % (key.encode(), at, amount.encode()),
    "text": lambda key, at, amount: b'{"id":"%b","at":%d,"sum":"%b"}' % (key.encode(), at, amount.encode()),
    "composite": lambda key, at, amount: (
        b'{"id":"%b","currency":"EUR","at":%d,"sum":%b}' % (key.encode(), at, amount.encode())
    ),
}
"""How a record of id, event time and amount is written."""


def record(number: int, keys: int, size: int, shape: str = "own") -> tuple[str, bytes]:
    """Key and value of a record: a transaction, with a further field where ``size`` bytes leave room for one."""
    key = f"tx-{number * 7919 % keys:06d}"
    value = SHAPES[shape](key, START_MS + number // 100, f"{(number * 31 + 17) % 1_000_000 / 100:.2f}")
    room = size - len(value) - len(b',"note":""')
    return key, value[:-1] + b',"note":"' + b"x" * room + b'"}' if room >= 0 else value


def fill(
    broker: Broker,
    topic: str,
    records: int,
    keys: int = KEYS,
    *,
    partitions: int = 4,
    size: int = 0,
    compression: str = "lz4",
    append_time: bool = False,
    shape: str = "own",
) -> int:
    """Write a backlog; returns the size of its last record in bytes."""
    config = {"message.timestamp.type": "LogAppendTime"} if append_time else {}
    create_topics(broker, topic, partitions=partitions, config=config)
    return write(broker, topic, records, keys, size=size, compression=compression, shape=shape)


def write(
    broker: Broker,
    topic: str,
    records: int,
    keys: int = KEYS,
    *,
    size: int = 0,
    compression: str = "lz4",
    shape: str = "own",
) -> int:
    """Write records to a topic that is there; returns the size of the last one in bytes."""
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
            "compression.type": compression,
        }
    )
    value = b""
    for number in range(records):
        key, value = record(number, keys, size, shape)
        while True:
            try:
                producer.produce(topic, value, key)
            except BufferError:
                producer.poll(0.1)
            else:
                break
        producer.poll(0)
    producer.flush()
    return len(value)


def environment(broker: Broker, topic: str, run: str) -> dict[str, str]:
    """Settings of one run: a group of its own."""
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "KAFKA_GROUP_ID": f"bench-{run}",
        "KAFKA_INSTANCE_ID": run,
        "TOPICS_TRANSACTIONS": topic,
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
        "LOG_FORMAT": "json",
    }


def cpu_s(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def drain_with_floor(broker: Broker, topic: str, records: int, run: str) -> Run:
    """Drain with the loop that only counts."""
    command = [sys.executable, "-m", "bench.floor", str(records)]
    with subprocess.Popen(command, env=environment(broker, topic, run), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "a pipe was asked for"  # noqa: S101
        started = float(process.stdout.readline().split()[1])
        began = time.monotonic()
        done = float(process.stdout.readline().split()[1])
        wall_s, peak = time.monotonic() - began, peak_mib(process.pid)
    return Run(started, done - started, wall_s, peak)


def drain_with_service(
    broker: Broker,
    topic: str,
    records: int,
    run: str,
    env: dict[str, str] | None = None,
    *,
    arguments: Sequence[str] = (),
) -> Run:
    """Drain with the service, exactly once and every check on; ``arguments`` are those of its command line."""
    command = [sys.executable, "-m", "service", *arguments]
    env = env or environment(broker, topic, run)
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None, "a pipe was asked for"  # noqa: S101
        port, start_cpu_s = 0, 0.0
        for line in process.stderr:
            entry = json.loads(line)
            port = entry.get("port", port)
            if entry["event"] == "started":
                start_cpu_s = cpu_s(process.pid)
                break
        began = time.monotonic()
        while (seen := records_seen(port)) < records:
            # A look costs the service 2 ms: seldom at first, often at the end.
            past_s = time.monotonic() - began
            time.sleep(min(0.25, max(0.02, past_s * (records - seen) / max(seen, 1) / 2)))
        wall_s, used_s, peak = time.monotonic() - began, cpu_s(process.pid), peak_mib(process.pid)
        process.terminate()
        log = [json.loads(line) for line in process.stderr]
    return Run(start_cpu_s, used_s - start_cpu_s, wall_s, peak, log)


def records_seen(port: int) -> float:
    """How many records the service has read."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("txwatch_records_total"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=90)
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    with Broker() as broker:
        size = fill(broker, "backlog", options.records, partitions=options.partitions, size=options.size)
        print(f"{options.records} records of {size} bytes, {options.partitions} partitions, {KEYS} keys")
        ratios = []
        for number in range(options.rounds):
            floor = drain_with_floor(broker, "backlog", options.records, f"floor{number}")
            service = drain_with_service(broker, "backlog", options.records, f"service{number}")
            ratios.append(service.drain_cpu_s / floor.drain_cpu_s)
            for name, run in (("floor", floor), ("service", service)):
                print(
                    f"{name:8} {run.drain_cpu_s / options.records * 1e6:5.2f} CPU-s/M"
                    f" {options.records / run.wall_s:10,.0f} records/s {run.peak_mib:6.0f} MiB,"
                    f" start {run.start_cpu_s:.2f} CPU-s"
                )
            print(f"ratio    {ratios[-1]:5.2f}")
        print(f"median ratio {statistics.median(ratios):.2f} (least {min(ratios):.2f}, greatest {max(ratios):.2f})")


if __name__ == "__main__":
    main()
