"""How fast `rekey` drains a backlog, against the loop that only consumes, in one run.

    .venv/bin/python -m bench.rekey_rate [--records N] [--rounds N]

The figure of docs/rekey.md. Both read the same topic of 4 partitions; `rekey` writes each record again, exactly once.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence

from bench.drain import drain_with_floor, drain_with_service, fill
from brokerkit.broker import Broker


def main() -> int:
    """Print a line for each round, and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    with Broker() as broker:
        size = fill(broker, "backlog", options.records, size=90)
        print(f"{options.records:,} records of {size} bytes, 4 partitions")
        for number in range(options.rounds):
            floor = drain_with_floor(broker, "backlog", options.records, f"floor-{number}")
            target = ["rekey", "--to", f"target-{number}"]
            rekey = drain_with_service(broker, "backlog", options.records, f"rekey-{number}", arguments=target)
            millions = options.records / 1e6
            rows.append(
                (
                    options.records / floor.wall_s,
                    options.records / rekey.wall_s,
                    floor.drain_cpu_s / millions,
                    rekey.drain_cpu_s / millions,
                )
            )
            print(_line(f"round {number + 1}", rows[-1]), flush=True)
    print(_line("median", [statistics.median(column) for column in zip(*rows, strict=True)]))
    return 0


def _line(name: str, row: Sequence[float]) -> str:
    floor_rate, rekey_rate, floor_cpu, rekey_cpu = row
    return (
        f"{name:<10} floor {floor_rate:>11,.0f}/s {floor_cpu:6.2f} CPU-s a million"
        f"   rekey {rekey_rate:>9,.0f}/s {rekey_cpu:6.2f}   CPU {rekey_cpu / floor_cpu:.1f} x"
    )


if __name__ == "__main__":
    sys.exit(main())
