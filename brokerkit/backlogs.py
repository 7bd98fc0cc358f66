"""Backlogs of a known compressibility, in batches of up to a megabyte before compression."""

import base64
import random
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Producer

from brokerkit.client import HasBootstrapServers, create_topics

NOW_MS: Final = 1_715_392_800_000
KEYS: Final = 16
"""Of each partition."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """So many megabytes of records of one size; ``noise`` is the share of a record that no codec compresses."""

    megabytes: int
    record_bytes: int = 1_000
    partitions: int = 4
    codec: str = "zstd"
    noise: float = 0.0
    batch_bytes: int = 1_000_000

    @property
    def records(self) -> int:
        """How many there are."""
        return self.megabytes * 1_000_000 // self.record_bytes

    def write(self, broker: HasBootstrapServers, topic: str) -> None:
        """Create the topic and fill it, batch by batch, one partition after the other."""
        create_topics(broker, topic, partitions=self.partitions, config={"max.message.bytes": 10_000_000})
        producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "linger.ms": 200,
                "batch.size": self.batch_bytes,
                "batch.num.messages": 1_000_000,
                "message.max.bytes": max(1_000_000, self.batch_bytes),
                "queue.buffering.max.kbytes": 400_000,
                "compression.type": self.codec,
            }
        )
        chance = random.Random(1)  # noqa: S311 - the same each time
        pool = base64.b64encode(chance.randbytes(1_500_000))
        in_batch = max(1, self.batch_bytes // self.record_bytes)
        for number in range(self.records):
            partition = number // in_batch % self.partitions
            key = f"tx{partition}-{number % KEYS}"
            head = b'{"transaction_id":"%s","timestamp":%d,"amount":%d.25,"note":"'
            value = head % (key.encode(), NOW_MS + number // 100, number % 8)
            room = max(0, self.record_bytes - len(value) - 2)
            noisy = int(room * self.noise)
            at = chance.randrange(len(pool) - noisy) if noisy else 0
            value += pool[at : at + noisy] + b"x" * (room - noisy) + b'"}'
            while True:
                try:
                    producer.produce(topic, value, key, partition=partition)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
            if number % 100 == 0:
                producer.poll(0)
        producer.flush()
