"""A long run at a steady rate: does the service's memory grow?

    .venv/bin/python -m bench.soak [--minutes N] [--rate N] [--keys N]

Samples the resident size every five seconds and prints the slope of a straight line through the second half of them,
with the lag at the end, and one line a minute on the way.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from statistics import linear_regression

from confluent_kafka import Producer

from bench.drain import START_MS, cpu_s, environment
from brokerkit.broker import Broker
from brokerkit.client import create_topics
from service.wire.transactions import encode_transaction

EVERY_S = 5.0


def load(broker: Broker, rate: int, keys: int, stop: threading.Event) -> None:
    """Write `rate` records a second, one in a thousand of them bad."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "partitioner": "murmur2_random"})
    number, began_s = 0, time.monotonic()
    while not stop.is_set():
        while number < (time.monotonic() - began_s) * rate:
            key = f"tx-{number * 7919 % keys}"
            bad = number % 1000 == 0
            value = b"rubbish" if bad else encode_transaction(key, START_MS + number, f"{number % 1_000}.25")
            producer.produce("soak", value, key)
            number += 1
        producer.poll(0)
        stop.wait(0.02)
    producer.flush()


def resident_mib(pid: int) -> float:
    """The resident size now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def lag(port: int) -> int:
    """Records that were not read yet."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status") as response:
        return sum(one["lag"] or 0 for one in json.load(response)["partitions"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--keys", type=int, default=10_000)
    options = parser.parse_args()
    stop = threading.Event()
    with Broker() as broker:
        create_topics(broker, "soak", partitions=4, config={"retention.bytes": 50_000_000})
        threading.Thread(target=load, args=(broker, options.rate, options.keys, stop), daemon=True).start()
        env = environment(broker, "soak", "soak")
        command = [sys.executable, "-m", "service"]
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None, "a pipe was asked for"  # noqa: S101
            port = next(entry["port"] for entry in map(json.loads, process.stderr) if "port" in entry)
            threading.Thread(target=process.stderr.read, daemon=True).start()
            samples: list[tuple[float, float]] = []
            began_s = time.monotonic()
            while (past_s := time.monotonic() - began_s) < options.minutes * 60:
                samples.append((past_s / 3600, resident_mib(process.pid)))
                if len(samples) % 12 == 0:
                    used = f"{samples[-1][1]:6.1f} MiB, {cpu_s(process.pid):.0f} CPU-s"
                    print(f"{past_s / 60:5.1f} min {used}, lag {lag(port)}", flush=True)
                time.sleep(EVERY_S)
            half = samples[len(samples) // 2 :]
            slope = linear_regression([t for t, _ in half], [mib for _, mib in half]).slope
            low, high = min(mib for _, mib in half), max(mib for _, mib in half)
            print(
                f"{options.minutes:.0f} minutes at {options.rate:,} records/s, {options.keys:,} keys: second half"
                f" {low:.1f} to {high:.1f} MiB, slope {slope:+.2f} MiB/hour, lag {lag(port)}"
            )
            stop.set()
            process.terminate()


if __name__ == "__main__":
    main()
