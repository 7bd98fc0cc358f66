"""Random transactions, some of them bad or late, written while things happen to the service and its broker."""

import logging
import random
import threading
import time
from typing import Any, Final, Self

from confluent_kafka import KafkaError, Message, Producer

from brokerkit.client import HasBootstrapServers
from brokerkit.service_process import transaction
from histories.oracle import Place

START_MS: Final = 1_715_392_800_000
BAD: Final = (b"rubbish", b"", b'{"transaction_id":"x"}', b'{"transaction_id":"x","timestamp":5,"amount":1}')
ABORTED: Final = 0.3
RATE: Final = 1_500
SLEEP_RECORDS: Final = 1_500
"""While so many records are written, a key of SLEEPERS has none: 15 s by event time, about 1 s by the clock."""
SLEEPERS: Final = 4


class Load:
    """A producer on a thread of its own. It knows each record that the broker took, with its partition and offset.

    Args:
        broker: where to write.
        topic: what to write to.
        seed: of all that is random in it.
        rate: records per second, about.
        keys: how many different transaction ids.
        bad: the share of records that belong into the dead-letter topic.
        transactional: write in txns and abort some of them; then the topic ends with a txn's marker.
    """

    def __init__(
        self,
        broker: HasBootstrapServers,
        topic: str,
        seed: str,
        *,
        rate: int = RATE,
        keys: int = 20,
        bad: float = 0.01,
        transactional: bool = False,
    ) -> None:
        self._transactional = transactional
        self._producer = Producer(
            {
                **({"transactional.id": topic} if transactional else {}),
                "bootstrap.servers": broker.bootstrap_servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.timeout.ms": 0,  # a record that the client gives up might still be in the topic
                "reconnect.backoff.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 1_000,
            },
            logger=_quiet(),
        )
        self._topic = topic
        self._dice: Final = random.Random(seed)  # noqa: S311 - no secret
        self._rate, self._keys, self._bad = rate, keys, bad
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._number = 0
        self._txn: dict[Place, tuple[bytes | None, bytes | None]] = {}
        self.inputs: dict[Place, tuple[bytes | None, bytes | None]] = {}
        """Key and value of each record, by partition and offset."""
        self.unplaced: list[tuple[bytes | None, bytes | None]] = []
        """Key and value of each record that a broker says it had already, without saying where."""
        self.stopped = False
        self.lost: list[str] = []
        """What the broker did not take, by its error."""

    def _run(self) -> None:
        if self._transactional:
            self._producer.init_transactions(30)
        due_s = time.monotonic()
        while not self._stop.is_set():
            batch = self._dice.randrange(1, 100)
            if self._transactional:
                self._producer.begin_transaction()
            for _ in range(batch):
                self._send(*self._one())
            if self._transactional:
                self._end_txn()
            due_s = max(due_s + batch / self._rate, time.monotonic() - 1)
            self._producer.poll(0)
            self._stop.wait(max(0.0, due_s - time.monotonic()))

    def _end_txn(self) -> None:
        self._producer.flush(30)
        if self._dice.random() < ABORTED:
            self._producer.abort_transaction(30)
        else:
            self._producer.commit_transaction(30)
            self.inputs.update(self._txn)
        self._txn = {}

    def _send(self, key: str, value: str | bytes) -> None:
        self._produce(value, key)

    def _produce(self, value: str | bytes, key: str, **more: Any) -> None:  # noqa: ANN401 - as the client has it
        while not self._stop.is_set():
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._delivered, **more)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        record = message.key(), message.value()
        if error is not None or partition is None:
            self.lost.append(str(error))
        elif offset is None:
            self.unplaced.append(record)
        else:
            books = self._txn if self._transactional else self.inputs
            books[partition, offset] = record

    def _one(self) -> tuple[str, str | bytes]:
        self._number += 1
        key = f"tx{self._awake()}"
        if self._dice.random() < self._bad:
            return key, self._dice.choice(BAD)
        jitter = self._dice.randrange(-3000, 1000)
        return transaction(key, START_MS + self._number * 10 + jitter, f"{self._dice.randrange(1, 200_000) / 100:.2f}")

    def _awake(self) -> int:
        """A key. A quarter of them sleeps, another quarter each second, so that detectors see silences."""
        asleep = self._number // SLEEP_RECORDS % SLEEPERS
        while True:
            key = self._dice.randrange(self._keys)
            if key % SLEEPERS != asleep:
                return key

    def next_offsets(self) -> dict[int, int]:
        """The offset behind the last record of each partition."""
        ends: dict[int, int] = {}
        for partition, offset in self.inputs.copy():
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        return ends

    def bad_places(self) -> set[Place]:
        """The records that belong into the dead-letter topic."""
        return {place for place, (_, value) in self.inputs.items() if value in BAD}

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def stop(self, timeout_s: float = 90) -> None:
        """Stop writing, and wait until the broker has acknowledged everything."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.stopped = True
        left = self._producer.flush(timeout_s)
        if left or self.lost:
            raise AssertionError(f"the load itself lost records: {left} not delivered, {self.lost[:3]}")


def _quiet() -> logging.Logger:
    """A logger that drops its lines: in a history, a missing broker is no news."""
    logger = logging.getLogger("histories.load")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
