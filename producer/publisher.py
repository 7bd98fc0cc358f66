"""The idempotent Kafka producer, which counts every row.

A row is *sent* when librdkafka has taken it, and *delivered* when its delivery report has come without an error.
`delivery.report.only.error` keeps reports of success in C, which saves a microsecond a row. So delivered = sent -
not yet reported - reported as failed. This is exact once no report is missing (docs/decisions/speed.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producer.client import client_config, client_log, text_of
from producer.encode import encode_rows
from producer.outages import Outages
from producer.ports import ConfigError, TopicState
from producer.properties import Value
from producer.registered import Encode, RowError
from producer.replay import Batch, RowId
from service.process.files import name_file

PARTITION_BY_KEY: Final = -1
ROOM_WAIT_S: Final = 0.01
FLUSH_SLICE_S: Final = 0.1
"""Above 0.2 s, confluent-kafka 2.16 goes on calling back after a fatal error was raised, which loses reports."""
_ROW_ONLY: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})
"""Errors of one row: the next rows may still be delivered."""


class Publisher:
    """Hands rows to librdkafka and counts them. All methods but `purge` are for one thread."""

    def __init__(
        self,
        topic: str,
        brokers: str,
        properties: Mapping[str, Value],
        linger_ms: int,
        extra: Sequence[str] = (),
        *,
        encode: Encode | None = None,
    ) -> None:
        """Create the client, which connects in the background; raises `ConfigError`.

        ``extra`` are the names of further fields, one for each further column of the rows. ``encode`` makes records of
        another format than JSON.
        """
        self._topic = topic
        self._encode: Encode = encode or partial(encode_rows, extra=extra)
        self._outages = Outages(topic)
        self._failed_blocks: list[_Block] = []
        self._refused: list[RowId] = []
        self.sent = 0
        """Rows that librdkafka has accepted, or refused permanently."""
        self._all_reported_at = 0
        self.failures: Counter[str] = Counter()
        """How many rows were not delivered, for each reason."""
        self.broken = False
        """Whether the next rows would fail, too."""
        try:
            config = {**client_config(brokers, properties, linger_ms), "error_cb": self._outages.note}
            self._producer = Producer(config, logger=client_log(properties))
        except KafkaException as error:
            raise ConfigError(name_file(text_of(error.args[0]), properties)) from error
        except (TypeError, ValueError) as error:  # a property that confluent-kafka wants as a function or an object
            raise ConfigError(str(error)) from error

    @property
    def failed(self) -> int:
        """Rows whose delivery failed."""
        return self.failures.total()

    @property
    def outstanding(self) -> int:
        """Rows without a report. It is a little too high while other events of the client wait to be served.

        Without a broker there are always such events, so once it was 0 for all that was sent, it stays 0.
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
        """Ask the brokers about the topic. Brokers that create topics automatically create it then.

        Raises:
            ConfigError: they and the properties do not fit together, so waiting does not help.
        """
        try:
            metadata = self._producer.list_topics(self._topic, timeout=wait_s)
        except KafkaException:
            self.poll()
            if self._outages.refusal:
                raise ConfigError(self._outages.refusal) from None
            return TopicState.NO_ANSWER
        return TopicState.EXISTS if metadata.topics[self._topic].partitions else TopicState.MISSING

    def send(self, batch: Batch, keep_on: Callable[[], bool]) -> int:
        """Hand rows over; returns how many were taken. If the queue is full, wait for room while ``keep_on()``."""
        produce, topic = self._producer.produce, self._topic
        on_delivery = _Block(self, batch).on_delivery
        taken = 0
        try:
            for key, value in zip(batch.rows.transaction_ids, self.encoded(batch), strict=True):
                while True:
                    try:
                        produce(topic, value, key, PARTITION_BY_KEY, on_delivery)  # type: ignore[arg-type]
                    except BufferError:
                        if keep_on():
                            self._serve(self._producer.poll, ROOM_WAIT_S)
                            continue
                        return taken
                    except KafkaException as error:
                        self._refused.append(RowId(batch.pass_number, batch.rows.numbers[taken]))
                        self._count_failure(error.args[0])
                    except TypeError:  # the client takes no RowError; to look for one would cost each row
                        if not isinstance(value, RowError):
                            raise
                        self._refused.append(RowId(batch.pass_number, batch.rows.numbers[taken]))
                        self.failures[str(value)] += 1
                    break
                taken += 1
        finally:
            self.sent += taken
        return taken

    def encoded(self, batch: Batch) -> Sequence[str | bytes | RowError]:
        """The values of a batch's rows."""
        return self._encode(batch.rows, batch.shift_ms)

    def poll(self) -> None:
        """Serve delivery reports and errors, without waiting."""
        self._serve(self._producer.poll, 0)

    def flush(self, wait_s: float) -> None:
        """Send without lingering, and serve reports until nothing is outstanding or the time is over."""
        for _ in range(max(1, round(wait_s / FLUSH_SLICE_S))):
            self._serve(self._producer.flush, FLUSH_SLICE_S)
            if not self.outstanding:
                break

    def purge(self) -> None:
        """Make the client report every outstanding row as failed. Other threads may call this.

        The reports also end a wait of the client that hangs because the wall clock was set back.
        """
        self._producer.purge()

    def give_up(self) -> None:
        """Count outstanding rows as failed. The brokers may have some of them nevertheless."""
        self.purge()
        self.flush(1.0)
        if outstanding := self.outstanding:
            self.failures["no answer in time"] += outstanding
        self._all_reported_at = self.sent

    def _serve(self, call: Callable[[float], int], wait_s: float) -> None:
        """Serve callbacks, by poll() or flush().

        After a fatal error, the client raises it here once, and then reports all undelivered rows as failed.
        """
        try:
            call(wait_s)
        except KafkaException as error:
            self.broken = True
            self._outages.note_fatal(error.args[0])

    def first_failed(self) -> RowId | None:
        """Return the first row in file order that was not delivered. Of equal records in a batch it is the first."""
        found = [*self._refused, *(row for block in self._failed_blocks for row in block.failed_rows())]
        return min(found, default=None)

    def take_notices(self) -> list[str]:
        """Return lines about the client's connections since the last call.

        Before the first row, a refusal says all in one line: that of the error that topic_state() raises.
        """
        if self._outages.refusal and not self.sent and not self.broken:
            return []
        return self._outages.take(self.delivered)

    def _count_failure(self, error: KafkaError) -> None:
        self.failures[text_of(error)] += 1
        self.broken = self.broken or error.code() not in _ROW_ONLY

    def _note_failure(self, block: _Block, error: KafkaError) -> None:
        """Count a report of failure. Part of a callback: never raises."""
        if not block.values:
            self._failed_blocks.append(block)
        self._count_failure(error)


class _Block:
    """A batch's delivery callback: one object for all its rows, because few batches have a failed row."""

    __slots__ = ("_batch", "_publisher", "values")

    def __init__(self, publisher: Publisher, batch: Batch) -> None:
        self._publisher = publisher
        self._batch = batch
        self.values: set[bytes] = set()
        """The values of the failed rows."""

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._publisher._note_failure(self, error)  # noqa: SLF001  a part of the publisher
            self.values.add(message.value() or b"")

    def failed_rows(self) -> Iterator[RowId]:
        rows = self._batch.rows
        for number, value in zip(rows.numbers, self._publisher.encoded(self._batch), strict=True):
            if (
                not isinstance(value, RowError)
                and (value if isinstance(value, bytes) else value.encode()) in self.values
            ):
                yield RowId(self._batch.pass_number, number)
