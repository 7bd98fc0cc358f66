"""Does a broker strand offsets? Kill it between a txn's offsets and its commit, and ask the group how far it is.

    .venv/bin/python -m bench.stranded [--kafka VERSION ...] [--rounds N] [--patience-s N]

In each round a txn has sent its output and its offsets; the only broker is killed with SIGKILL and started again on its
data; the same transactional.id is initialised again, which aborts the txn. Prints how long it takes until the group
answers with its committed offset, which must be that of the round before, and whether a reader of committed records
sees the output.
VERSION is one that brokerkit/kafka-jars.lock has.
"""

import argparse
import logging
import sys
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce, read_all
from brokerkit.jars import KAFKA_VERSION, group_protocol

ASK_S = 1.0


@dataclass(frozen=True)
class Answer:
    """What the group said after one kill."""

    took_s: float
    offset: int | None
    """None if the group did not answer in time."""
    right: bool
    """Whether it is the committed one, and readers do not see the output of the txn that did not commit."""


def quiet() -> logging.Logger:
    """A logger that drops its lines: here a missing broker is no news."""
    logger = logging.getLogger("bench.stranded")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def producer_of(broker: Broker) -> Producer:
    """A producer of the one name, initialised."""
    config: dict[str, str | int | float | bool] = {
        "bootstrap.servers": broker.bootstrap_servers,
        "transactional.id": "one",
        "reconnect.backoff.max.ms": 200,
    }
    producer = Producer(config, logger=quiet())
    producer.init_transactions(60)
    return producer


def answered_after_s(consumer: Consumer, patience_s: float) -> tuple[float, int | None]:
    """How long until the group answers with its committed offset, and that offset; None without an answer in time."""
    began_s = time.monotonic()
    while (past_s := time.monotonic() - began_s) < patience_s:
        try:
            (found,) = consumer.committed([TopicPartition("input", 0)], ASK_S)
        except KafkaException:
            continue
        if found.error is None:
            return time.monotonic() - began_s, found.offset
    return past_s, None


def one_round(broker: Broker, consumer: Consumer, number: int, patience_s: float) -> tuple[float, int | None]:
    """Commit offset `number`; then send the next one, kill the broker before its commit, and ask."""
    producer = producer_of(broker)
    consumer.consume(1, ASK_S)
    for offset in (number, number + 1):
        producer.begin_transaction()
        producer.produce("output", f"{offset}".encode())
        producer.flush(30)
        group = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction([TopicPartition("input", 0, offset)], group, 30)
        if offset == number:
            producer.commit_transaction(30)
    broker.kill()
    broker.restart()
    producer_of(broker)
    return answered_after_s(consumer, patience_s)


def measure(version: str, rounds: int, patience_s: float) -> list[Answer]:
    """All rounds with one version."""
    answers = []
    with Broker(version=version) as broker:
        create_topics(broker, "input", "output")
        produce(broker, "input", [(None, b"x")] * (2 * rounds + 2))
        config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "one",
            "group.protocol": group_protocol(version),
            "enable.auto.commit": False,
            "reconnect.backoff.max.ms": 200,
        }
        consumer = Consumer(config, logger=quiet())
        consumer.subscribe(["input"])
        while not consumer.assignment():
            consumer.consume(1, 0.1)
        for number in range(1, 2 * rounds, 2):
            took_s, found = one_round(broker, consumer, number, patience_s)
            seen = [int(message.value() or b"") for message in read_all(broker, "output")]
            right = found == number and number + 1 not in seen
            answers.append(Answer(took_s, found, right))
            said = f"offset {found} after {took_s:5.1f} s" if found is not None else f"no answer in {took_s:.0f} s"
            print(f"Kafka {version}: {said}, expected {number}; {'right' if right else 'WRONG'}", flush=True)
        consumer.close()
    return answers


def main() -> int:
    """Measure; returns 1 if an answer was missing or not right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kafka", action="append", metavar="VERSION", help=f"default: {KAFKA_VERSION}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience-s", type=float, default=60.0)
    options = parser.parse_args()
    versions = options.kafka or [KAFKA_VERSION]
    answers = [each for version in versions for each in measure(version, options.rounds, options.patience_s)]
    return 0 if all(answer.right for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
