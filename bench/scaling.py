"""How the service scales: the same backlog, drained by 1, 2 and 4 instances of one group.

    .venv/bin/python -m bench.scaling [--records N] [--instances 1 2 4] [--rounds N]

The instances join and share the partitions while there is nothing to read, stand still while the backlog is written,
and go on together. What they and the broker used of the processor tells what bounds them: on a machine where both
together keep every core busy, more instances cannot be faster.
"""

import argparse
import contextlib
import os
import signal
import statistics
import time
from dataclasses import dataclass
from itertools import count
from typing import Final

from bench.drain import cpu_s, environment, records_seen, write
from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.service_process import Names, ServiceProcess, wait_until

PARTITIONS: Final = 4
SESSION_MS: Final = 60_000
"""They pause for longer than a session of the tests' broker."""
PATIENCE_S: Final = 180.0

_number = count(1)


@dataclass(frozen=True, slots=True)
class Drain:
    """One backlog, drained: seconds of the wall clock and of the processor."""

    instances: int
    records: int
    wall_s: float
    service_cpu_s: float
    broker_cpu_s: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.wall_s

    @property
    def cores(self) -> float:
        """Kept busy by the services and the broker, on average."""
        return (self.service_cpu_s + self.broker_cpu_s) / self.wall_s


def start_broker() -> Broker:
    """The broker of all measurements; not started yet."""
    return Broker(heap_mib=1024, properties={"group.consumer.session.timeout.ms": SESSION_MS})


def measure(broker: Broker, instances: int, records: int) -> Drain:
    """Drain a backlog of a topic of its own.

    Raises:
        TimeoutError: the group did not form, or not all was read.
    """
    topic = f"scaling-{next(_number)}"
    create_topics(broker, topic, partitions=PARTITIONS)
    names = Names(lambda name: topic if name == "transactions" else f"{topic}.{name}")
    with contextlib.ExitStack() as stack:
        services = [_start(stack, broker, names, topic, f"instance-{number}") for number in range(instances)]
        wait_until(lambda: _is_shared(services), PATIENCE_S, name="the partitions are shared")
        for service in services:
            service.process.send_signal(signal.SIGSTOP)
        write(broker, topic, records)
        ports = [service.wait_for_event("http_listening")["port"] for service in services]
        before = [cpu_s(service.process.pid) for service in services], cpu_s(broker.pid)
        began_s = time.monotonic()
        for service in services:
            service.process.send_signal(signal.SIGCONT)
        wait_until(lambda: sum(map(records_seen, ports)) >= records, PATIENCE_S, name="all is read")
        wall_s = time.monotonic() - began_s
        after = [cpu_s(service.process.pid) for service in services], cpu_s(broker.pid)
        if (seen := sum(map(records_seen, ports))) != records:
            raise TimeoutError(f"{seen} records were read, not {records}: partitions moved meanwhile")
        return Drain(instances, records, wall_s, sum(after[0]) - sum(before[0]), after[1] - before[1])


def _start(stack: contextlib.ExitStack, broker: Broker, names: Names, topic: str, name: str) -> ServiceProcess:
    settings = {**environment(broker, topic, name), **names.environment(), "TOPICS_AGGREGATES": ""}
    service = ServiceProcess(broker, names, {**settings, "KAFKA_INSTANCE_ID": name, "WINDOW_SIZE_MS": "10000"})
    stack.callback(_end, service)
    return service


def _end(service: ServiceProcess) -> None:
    service.process.send_signal(signal.SIGCONT)
    service.stop()
    service.close_log()


def _is_shared(services: list[ServiceProcess]) -> bool:
    counts = [len(service.status()["partitions"]) for service in services if service.get("/readyz")[0] == 200]  # noqa: PLR2004
    fair = PARTITIONS // len(services)
    return len(counts) == len(services) and sum(counts) == PARTITIONS and min(counts) >= fair


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--instances", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.records:,} records, {PARTITIONS} partitions, {os.cpu_count()} cores, {options.rounds} rounds")
    with start_broker() as broker:
        measure(broker, 1, options.records // 4)  # warms up the broker
        found: dict[int, list[Drain]] = {instances: [] for instances in options.instances}
        for _ in range(options.rounds):
            for instances, drains in found.items():
                drains.append(measure(broker, instances, options.records))
                last = drains[-1]
                print(f"  {instances}: {last.rate:,.0f} records/s, {last.cores:.2f} cores busy", flush=True)
    for instances, drains in found.items():
        millions = options.records / 1e6
        print(
            f"{instances} instances: median {statistics.median(d.rate for d in drains):,.0f} records/s,"
            f" greatest {max(d.rate for d in drains):,.0f};"
            f" CPU-seconds a million: services {statistics.median(d.service_cpu_s for d in drains) / millions:.2f},"
            f" broker {statistics.median(d.broker_cpu_s for d in drains) / millions:.2f};"
            f" {statistics.median(d.cores for d in drains):.2f} cores busy"
        )


if __name__ == "__main__":
    main()
