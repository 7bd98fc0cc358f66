"""How fast `backtest` reads: a topic, against the service that drains it, and a CSV, against the replay; in one run.

    .venv/bin/python -m bench.backtest_rate [--records N] [--rounds N]

The figure of docs/backtest.md. The start of the process is not counted: a backtest without a record is subtracted.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from bench.drain import drain_with_service, environment, fill
from brokerkit.broker import Broker
from brokerkit.client import create_topics

FAR_MS = 4_102_444_800_000
FIRST = datetime.fromisoformat("2024-05-11T10:00:00+00:00")


def write_csv(path: Path, rows: int) -> None:
    """Write so many rows of 1,000 ids, 2,000 a second."""
    with path.open("w") as file:
        file.write("transaction_id,timestamp,amount\n")
        for number in range(rows):
            at = FIRST + timedelta(seconds=number // 2_000)
            amount = f"{number % 300 + 1}.{number % 100:02}"
            file.write(f"tx{number * 7919 % 1000},{at:%Y-%m-%d %H:%M:%S},{amount}\n")


def run(module: str, arguments: list[str], env: dict[str, str]) -> tuple[float, dict[str, object]]:
    """Run a program to its end; returns seconds and its JSON."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=env, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - began, json.loads(done.stdout.splitlines()[-1])


def backtest(arguments: list[str], nothing: list[str], env: dict[str, str], records: int) -> float:
    """Records a second."""
    empty_s, _ = run("service", ["backtest", *nothing, "--format", "json"], env)
    took_s, report = run("service", ["backtest", *arguments, "--format", "json"], env)
    if report["records"] != records:
        raise SystemExit(f"the backtest read {report['records']} of {records} records")
    return records / (took_s - empty_s)


def main() -> int:
    """Print a line for each round, and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[float]] = {"service": [], "backtest": [], "replay": [], "backtest of the CSV": []}
    with Broker() as broker, tempfile.TemporaryDirectory() as folder:
        csv, none = Path(folder) / "rows.csv", Path(folder) / "none.csv"
        write_csv(csv, options.records)
        write_csv(none, 0)
        fill(broker, "backlog", options.records, size=90)
        create_topics(broker, "replayed", partitions=4)
        env = environment(broker, "backlog", "backtest")
        for number in range(options.rounds):
            drained = drain_with_service(broker, "backlog", options.records, f"service-{number}")
            found["service"].append(options.records / drained.wall_s)
            found["backtest"].append(backtest(["--from", "0"], ["--from", str(FAR_MS)], env, options.records))
            replay = ["replay", str(csv), "--pace", "max", "--topic", "replayed", "--no-progress"]
            _, summary = run("producer", [*replay, "--bootstrap-servers", broker.bootstrap_servers], env)
            found["replay"].append(float(str(summary["rows_per_second"])))
            arguments = ["--csv", str(csv)], ["--csv", str(none)]
            found["backtest of the CSV"].append(backtest(*arguments, env, options.records))
            print(f"round {number + 1}  " + ", ".join(f"{name} {rates[-1]:,.0f}/s" for name, rates in found.items()))
    for one, other in (("backtest", "service"), ("backtest of the CSV", "replay")):
        ratios = [ours / theirs for ours, theirs in zip(found[one], found[other], strict=True)]
        print(f"{one} ÷ {other}: median {statistics.median(ratios):.2f}, least {min(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
