"""The idempotent Kafka producer, with an account of every row.

A row counts as *sent* when librdkafka has taken it and as *delivered* when its delivery report has come without an
error. `delivery.report.only.error` keeps the reports of success in C: confluent-kafka still takes each one off the
queue before `len()` goes down, but doesn't build a Message and call Python for it, which would cost a microsecond a
row. So delivered = sent - not yet reported - reported as failed, and exact once nothing is left to be reported.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producer.encode import encode_rows
from producer.ports import ConfigError, TopicState
from producer.properties import Value
from producer.replay import Batch, RowId
from service.process.files import name_file
from service.wire.client import settings_refused

PARTITION_BY_KEY: Final = -1
ROOM_WAIT_S: Final = 0.01
FLUSH_SLICE_S: Final = 0.1
"""Above 0.2 s confluent-kafka 2.16 goes on calling back after a fatal error has been raised, which loses reports."""
_ROW_ONLY: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})
"""Errors of one row: what comes after it may still be delivered."""
_OUTAGES: Final = {
    KafkaError._ALL_BROKERS_DOWN: "no broker answers",  # noqa: SLF001  librdkafka's names of its own errors
    KafkaError._AUTHENTICATION: "authentication failed",  # noqa: SLF001
    KafkaError._SSL: "TLS failed",  # noqa: SLF001
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "not authorised",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "not authorised",
}


def client_config(brokers: str, properties: Mapping[str, Value], linger_ms: int) -> dict[str, object]:
    """Return librdkafka's settings: what may be chosen, then the user's choice, then what the guarantees rest on."""
    return {
        "linger.ms": linger_ms,
        "compression.type": "none",  # some clients cannot read lz4, snappy or zstd as they come
        "client.id": "txwatch-replay",
        "enable.metrics.push": "false",
        "log_level": 0,
        **{name: str(value).lower() if isinstance(value, bool) else value for name, value in properties.items()},
        "bootstrap.servers": brokers,
        "enable.idempotence": "true",
        "acks": "all",
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
    }


class Publisher:
    """Hands rows to librdkafka and keeps count. All methods are for one thread."""

    def __init__(self, topic: str, brokers: str, properties: Mapping[str, Value], linger_ms: int) -> None:
        """Create the client, which connects in the background; raises `ConfigError`.

        Its log is off unless the properties ask for ``debug`` or a ``log_level``: what matters comes as errors.
        """
        self._topic = topic
        self._failed_blocks: list[_Block] = []
        self._refused: list[RowId] = []
        self._last_error = ""
        self._rejected_client = ""
        """Why the brokers will not have this client as it is configured."""
        self._notices: list[str] = []
        self._announced: set[int] = set()
        self._most_delivered = 0
        self.sent = 0
        """Rows that librdkafka has taken, or refused for good."""
        self._all_reported_at = 0
        self.failures: Counter[str] = Counter()
        """Why rows were not delivered, and how many for each reason."""
        self.broken = False
        """A row failed for a reason that will hit the next ones too."""
        config = {**client_config(brokers, properties, linger_ms), "error_cb": self._on_error}
        try:
            shown = not properties.keys().isdisjoint({"debug", "log_level"})
            self._producer = Producer(config, logger=_client_log(shown=shown))
        except KafkaException as error:
            raise ConfigError(name_file(_text(error.args[0]), properties)) from error
        except (TypeError, ValueError) as error:  # what the binding takes for a callback or an object
            raise ConfigError(str(error)) from error

    @property
    def failed(self) -> int:
        """Rows whose delivery failed."""
        return self.failures.total()

    @property
    def outstanding(self) -> int:
        """Rows without a report yet; a little more while other events of the client wait to be served.

        Without a broker there are always new ones. So what was reported once for all that was sent stays reported.
        """
        if self._all_reported_at == self.sent:
            return 0
        outstanding = len(self._producer)
        if not outstanding:
            self._all_reported_at = self.sent
        return outstanding

    @property
    def delivered(self) -> int:
        """Rows that the brokers have acknowledged; exact when nothing is outstanding."""
        return max(self.sent - self.failed - self.outstanding, 0)

    def topic_state(self, wait_s: float) -> TopicState:
        """Ask the brokers for the topic, which makes one that creates topics by itself create it.

        Raises:
            ConfigError: they and the properties do not fit together, so waiting is of no use.
        """
        try:
            metadata = self._producer.list_topics(self._topic, timeout=wait_s)
        except KafkaException:
            self.poll()
            if self._rejected_client:
                raise ConfigError(self._rejected_client) from None
            return TopicState.NO_ANSWER
        return TopicState.THERE if metadata.topics[self._topic].partitions else TopicState.MISSING

    def send(self, batch: Batch, keep_on: Callable[[], bool]) -> int:
        """Hand rows over; a full queue blocks until there is room, while ``keep_on()``. Returns how many were taken."""
        produce, topic = self._producer.produce, self._topic
        on_delivery = _Block(self, batch).on_delivery
        taken = 0
        try:
            for key, value in zip(batch.rows.transaction_ids, encode_rows(batch.rows, batch.shift_ms), strict=True):
                while True:
                    try:
                        produce(topic, value, key, PARTITION_BY_KEY, on_delivery)
                    except BufferError:
                        if keep_on():
                            self._serve(self._producer.poll, ROOM_WAIT_S)
                            continue
                        return taken
                    except KafkaException as error:
                        self._refused.append(RowId(batch.pass_number, batch.rows.numbers[taken]))
                        self._count_failure(error.args[0])
                    break
                taken += 1
        finally:
            self.sent += taken
        return taken

    def poll(self) -> None:
        """Serve delivery reports and errors, without waiting."""
        self._serve(self._producer.poll, 0)

    def flush(self, wait_s: float) -> None:
        """Send what lingers and serve reports until nothing is outstanding or the time is up."""
        for _ in range(max(1, round(wait_s / FLUSH_SLICE_S))):
            self._serve(self._producer.flush, FLUSH_SLICE_S)
            if not self.outstanding:
                break

    def give_up(self) -> None:
        """Count what is still outstanding as failed. Some of it may have reached the brokers all the same."""
        self._producer.purge()
        self.flush(1.0)
        if outstanding := self.outstanding:
            self.failures["no answer in time"] += outstanding
        self._all_reported_at = self.sent

    def _serve(self, call: Callable[[float], int], wait_s: float) -> None:
        """Serve callbacks, by poll() or flush().

        A client that is done for says so by raising here, once. It then reports as failed what it had not delivered.
        """
        try:
            call(wait_s)
        except KafkaException as error:
            self.broken = True
            self._notices.append(f"the client gives up: {_text(error.args[0])}{self._needs(error.args[0])}")

    def _needs(self, error: KafkaError) -> str:
        """What the brokers' administrator has to allow; without it they give the client no producer id either."""
        missing = error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
        return f"; needs ACL WRITE on topic {self._topic}" if missing else ""

    def first_failed(self) -> RowId | None:
        """Return the first row in file order that was not delivered. Of equal records of a batch it is the first."""
        found = [*self._refused, *(row for block in self._failed_blocks for row in block.failed_rows())]
        return min(found, default=None)

    def take_notices(self) -> list[str]:
        """Return what kept the client from the brokers since the last call: each kind once until rows go through."""
        delivered = self.delivered  # too low for a while in the middle of a batch, so that it may go back
        if self._announced and delivered > self._most_delivered:
            self._announced.clear()
            self._notices.append("rows are delivered again")
        self._most_delivered = max(self._most_delivered, delivered)
        notices, self._notices = self._notices, []
        return notices

    def _on_error(self, error: KafkaError) -> None:
        """Keep what librdkafka says of its connections. A callback: never raises."""
        code = error.code()
        if settings_refused(error.name(), error.str()):
            self._rejected_client = _text(error)
        if code not in _OUTAGES:
            self._last_error = _text(error)
        elif code not in self._announced:
            self._announced.add(code)
            self._notices.append(f"{_OUTAGES[code]}, trying on: {self._last_error or _text(error)}")

    def _count_failure(self, error: KafkaError) -> None:
        self.failures[_text(error)] += 1
        self.broken = self.broken or error.code() not in _ROW_ONLY

    def _note_failure(self, block: _Block, error: KafkaError) -> None:
        """Count a report of failure. Part of a callback: never raises."""
        if not block.values:
            self._failed_blocks.append(block)
        self._count_failure(error)


class _Block:
    """A batch's delivery callback: one object for all its rows, looked into only when one fails."""

    __slots__ = ("_batch", "_publisher", "values")

    def __init__(self, publisher: Publisher, batch: Batch) -> None:
        self._publisher = publisher
        self._batch = batch
        self.values: set[bytes] = set()
        """What failed."""

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._publisher._note_failure(self, error)  # noqa: SLF001  the two are one
            self.values.add(message.value() or b"")

    def failed_rows(self) -> Iterator[RowId]:
        rows = self._batch.rows
        for number, value in zip(rows.numbers, encode_rows(rows, self._batch.shift_ms), strict=True):
            if (value if isinstance(value, bytes) else value.encode()) in self.values:
                yield RowId(self._batch.pass_number, number)


def _client_log(*, shown: bool) -> logging.Logger:
    log = logging.getLogger("producer.librdkafka")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.handlers = [logging.StreamHandler() if shown else logging.NullHandler()]
    return log


def _text(error: KafkaError) -> str:
    return " ".join(error.str().split())
