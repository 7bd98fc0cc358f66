"""What tests of `forward` share: alerts written into the topic, the process, and what has become of the alerts."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from confluent_kafka import KafkaException, Producer

from brokerkit.client import HasBootstrapServers, committed
from brokerkit.service_process import Names, ServiceProcess, running
from tests.bad_target import BadTarget, Behaviour, Request, status

Write = Callable[..., list[str]]


def alert_writer(broker: HasBootstrapServers, names: Names) -> Write:
    """Writes alerts of an id, into the partition of its number, of two; returns their alert_ids."""
    producer, numbers = Producer({"bootstrap.servers": broker.bootstrap_servers}), count()

    def written(identifier: str, how_many: int = 1, **other: object) -> list[str]:
        ids = [f"{identifier}-{next(numbers)}" for _ in range(how_many)]
        for alert_id in ids:
            fields = {
                "alert_id": alert_id, "detector": "threshold", "transaction_id": identifier, "timestamp": 1,
                "amount": 9000.1, "watermark": 0, "limit": 8000.0, "count": 1, "late_count": 0, "max_timestamp": 1,
                "window": {"start": 0, "end": 10_000, "clock": "event"},
                "source": {"topic": "t", "partition": 0, "first_offset": 0, "last_offset": 0},
                "detected_at": int(time.time() * 1000), **other,
            }  # fmt: skip
            partition = int(identifier[-1]) % 2
            producer.produce(names.alerts, json.dumps(fields), identifier, partition, headers=[("ce_id", alert_id)])
        producer.flush(10)
        return ids

    return written


def settings_of(url: str, **other: object) -> dict[str, str]:
    """One target named `here`, with a short timeout."""
    return {"FORWARD": json.dumps([{"name": "here", "url": url, "timeout_ms": 500, **other}])}


@contextlib.contextmanager
def forwarding(
    broker: HasBootstrapServers, names: Names, target: BadTarget, **other: object
) -> Iterator[ServiceProcess]:
    """Runs `forward` for the block."""
    with running(broker, names, settings_of(target.url, **other), arguments=["forward", "--to", "here"]) as process:
        yield process


def ids_of(requests: Sequence[Request]) -> list[str]:
    """Of each request, the alert."""
    return [request.headers["idempotency-key"] for request in requests]


def in_turn(*behaviours: Behaviour) -> Callable[[Request], Behaviour]:
    """Does each once, then answers well."""
    left = list(behaviours)
    return lambda _: left.pop(0) if left else status(200)


def committed_by(broker: HasBootstrapServers, names: Names) -> dict[int, int]:
    """By partition, how many alerts the group has committed past."""
    try:
        found = committed(broker, f"{names.group}-forward-here", names.alerts)
    except KafkaException:  # a new broker knows no coordinator yet
        return {}
    return {each.partition: max(0, each.offset) for each in found}


def done(broker: HasBootstrapServers, names: Names) -> int:
    """How many alerts the group has committed past, in all."""
    return sum(committed_by(broker, names).values())
