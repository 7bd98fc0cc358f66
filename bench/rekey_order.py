"""What `rekey` does to the order of event times: how far back they jump in its target, live and from a backlog.

    .venv/bin/python -m bench.rekey_order

The figures of docs/rekey.md. The input has 4 partitions, each in the order of event time.
"""

import functools
import sys
import time
from collections import defaultdict
from typing import Final

from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import Rec, create_topics, produce, read_all
from brokerkit.service_process import Names, loads, running, transaction, wait_until

PARTITIONS: Final = 4
RATE: Final = 200
"""Records per second of event time."""
LIVE_S: Final = 20
BACKLOG_S: Final = 600
LATENESS_MS: Final = (0, 250, 1_000, 5_000, 60_000)


def record(number: int, event_ms: int) -> Rec:
    """A record whose partition has nothing to do with its id."""
    return Rec(f"shop{number}", transaction(f"tx{number % 97}", event_ms, "1.00")[1], (), number % PARTITIONS)


def live(broker: Broker, names: Names) -> None:
    """Write at the pace of event time, ten times a second, while `rekey` runs."""
    producer, due_s = Producer({"bootstrap.servers": broker.bootstrap_servers}), time.time()
    for number in range(0, LIVE_S * RATE, RATE // 10):
        for one in range(number, number + RATE // 10):
            key, value, _, partition, _ = record(one, int(due_s * 1000 + (one - number) * 1000 / RATE))
            producer.produce(names.transactions, value, key, partition)
        producer.flush(10)
        due_s += 0.1
        time.sleep(max(0.0, due_s - time.time()))


def jumps(broker: Broker, topic: str) -> list[int]:
    """For each record of a topic, by how many ms its event time is below the greatest one before it."""
    greatest: dict[int | None, int] = defaultdict(int)
    found = []
    for message in read_all(broker, topic):
        event_ms = loads(message)["timestamp"]
        found.append(max(0, greatest[message.partition()] - event_ms))
        greatest[message.partition()] = max(greatest[message.partition()], event_ms)
    return found


def written(broker: Broker, names: Names, *, backlog: bool) -> str:
    """Let `rekey` read records that come, or that are there; returns its target."""
    target = f"{names.transactions}.by-id"
    create_topics(broker, names.transactions, partitions=PARTITIONS)
    count = (BACKLOG_S if backlog else LIVE_S) * RATE
    if backlog:
        began_ms = int(time.time() * 1000) - BACKLOG_S * 1000
        produce(broker, names.transactions, (record(n, began_ms + n * 1000 // RATE) for n in range(count)))
    with running(broker, names, arguments=["rekey", "--to", target]) as rekey:
        rekey.wait_ready(PARTITIONS)
        if not backlog:
            live(broker, names)
        wait_until(lambda: len(read_all(broker, target)) == count, 120, every_s=0.5)
        rekey.stop()
    return target


def main() -> int:
    """Print a line for the input and for the target, of both cases."""
    late = "".join(f"{f'> {each} ms':>12}" for each in LATENESS_MS)
    print(f"{'':24}{'records':>9}{'greatest ms':>13}{late}")
    with Broker() as broker:
        for case in ("live", "backlog"):
            names = Names(functools.partial("{}.{}".format, case))
            target = written(broker, names, backlog=case == "backlog")
            for what, topic in (("input", names.transactions), ("target", target)):
                found = jumps(broker, topic)
                shares = "".join(f"{sum(one > each for one in found) / len(found):>12.2%}" for each in LATENESS_MS)
                print(f"{f'{case}, {what}':24}{len(found):>9,}{max(found):>13,}{shares}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
