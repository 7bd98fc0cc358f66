"""Makes the pictures of docs/time.md: the same backlog by each clock.

    .venv/bin/python -m bench.pictures

Ten seconds of records are written while no service runs; then a service of each clock reads them, and `timeline` draws
what each made of them into docs/pictures/.
"""

import os
import random
import subprocess
import sys
import time

from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.service_process import ROOT, Names, running, transaction

START_MS = 1_715_392_800_000
SECONDS = 10
FOLDER = ROOT / "docs" / "pictures"
CLOCKS = {
    "processing": {},
    "ingestion": {"WINDOW_CLOCK": "ingestion"},
    "event": {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert", "WINDOW_EVENT_FLUSH_AFTER_MS": "2000"},
}


def write(broker: Broker, topic: str) -> None:
    """Six keys, a little disorder, and one record in twelve too late."""
    dice = random.Random(3)  # noqa: S311 - no secret
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
    began_s = time.time()
    while (passed_ms := int((time.time() - began_s) * 1000)) < SECONDS * 1000:
        late_ms = 2_500 if dice.random() < 1 / 12 else 0
        event_ms = START_MS + passed_ms - dice.randrange(900) - late_ms
        key, value = transaction(f"tx{dice.randrange(6)}", event_ms, f"{dice.randrange(100, 180_000) / 100:.2f}")
        producer.produce(topic, value, key)
        producer.flush()
        time.sleep(0.03)


def main() -> int:
    """Write, read, draw."""
    FOLDER.mkdir(exist_ok=True)
    with Broker() as broker:
        create_topics(broker, "transactions", config={"message.timestamp.type": "LogAppendTime"})
        print("writing ...", file=sys.stderr)
        write(broker, "transactions")
        for clock, settings in CLOCKS.items():
            names = Names(lambda name, clock=clock: f"{clock}.{name}")  # type: ignore[misc]
            names.transactions = "transactions"
            with running(broker, names, {"WINDOW_SIZE_MS": "1000", **settings}):
                time.sleep(20)  # for all windows to close, also on a busy machine
            environment = {**os.environ, **names.environment(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
            output = FOLDER / f"{clock}.svg"
            command = [sys.executable, "-m", "service", "timeline", "--output", str(output)]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
