"""Memory and time of a backlog: peak resident size while it is drained, and what its commit takes.

    .venv/bin/python -m bench.backlog [--records N] [--keys N] [--window-ms N] [--aggregates]

Many keys make a large commit; one key makes one aggregate of everything.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bench.drain import cpu_s, environment, fill, records_seen
from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.processes import peak_mib


def entries(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What the service logs."""
    assert process.stderr is not None, "a pipe was asked for"  # noqa: S101
    return map(json.loads, process.stderr)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--window-ms", type=int, default=10_000)
    parser.add_argument("--aggregates", action="store_true")
    options = parser.parse_args()
    with Broker(heap_mib=1024) as broker:
        size = fill(broker, "backlog", options.records, options.keys)
        print(f"{options.records:,} records of {size} bytes, {options.keys:,} keys, 4 partitions", flush=True)
        own = {"WINDOW_SIZE_MS": str(options.window_ms)}
        if options.aggregates:
            create_topics(broker, "aggregates", partitions=4)
            own["TOPICS_AGGREGATES"] = "aggregates"
        command = [sys.executable, "-m", "service"]
        env = {**environment(broker, "backlog", "backlog"), **own}
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
            lines = entries(process)
            port = next(entry["port"] for entry in lines if "port" in entry)
            next(entry for entry in lines if entry["event"] == "started")
            base_mib, began_s, began_cpu_s = peak_mib(process.pid), time.monotonic(), cpu_s(process.pid)
            while records_seen(port) < options.records:
                time.sleep(0.1)
            wall_s, used_s = time.monotonic() - began_s, cpu_s(process.pid) - began_cpu_s
            read_mib = peak_mib(process.pid)
            print(
                f"read in {wall_s:.1f} s: {options.records / wall_s:,.0f} records/s, {used_s:.1f} CPU-s;"
                f" resident at start {base_mib:.0f} MiB, peak {read_mib:.0f} MiB",
                flush=True,
            )
            read_at = datetime.now(UTC)
            for entry in lines:
                if entry["event"] not in {"partitions_assigned", "partition_started"}:
                    print({k: v for k, v in entry.items() if k not in {"level", "timestamp"}}, flush=True)
                if entry["event"] == "checkpoint" and datetime.fromisoformat(entry["timestamp"]) > read_at:
                    break  # nothing of the backlog is open any more
            print(f"peak with the commits {peak_mib(process.pid):.0f} MiB")
            process.terminate()
            process.stderr.read() if process.stderr else None


if __name__ == "__main__":
    main()
