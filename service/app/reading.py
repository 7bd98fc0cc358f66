"""Reads topics for a command: the client, and the wait for its broker."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError

from service.app.clients import construct, reader_config
from service.app.waiting import StoppedWaiting, wait_for_broker
from service.history.records import StoredRecord
from service.kafka.reader import TopicReader
from service.loop.errors import Fatal, Retriable
from service.process.stop import Stop
from service.settings import Settings
from service.wire.decoder import Decoded, Decoder, SchemasPending
from service.wire.records import InRecord

SCHEMA_PAUSE_S: Final = 0.02
"""Between two looks whether the schema registry has answered."""


class CommandReader:
    """Reads topics until the stop; close() when done. ``purpose`` names the client's group, which it never joins."""

    def __init__(self, settings: Settings, stop: Stop, purpose: str) -> None:
        """Construct the client, which connects in the background.

        Raises:
            SettingsError: KAFKA_PROPERTIES has something that the client does not know.
        """
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # the callback gets the same errors
        self._servers = settings.kafka.bootstrap_servers
        self._stop = stop
        self._errors: deque[KafkaError] = deque(maxlen=100)
        self._reader = TopicReader(construct(Consumer, reader_config(settings, purpose, self._errors.append)))
        self.unreachable = False
        """Whether the client has reported an error since the last start; then a topic may exist unseen."""

    def start(
        self,
        topic: str,
        attempt: Callable[[TopicReader], None],
        *,
        waiting: Callable[[str], None] = lambda _: None,
        limit_s: float = math.inf,
    ) -> bool:
        """Repeat the attempt until the broker answers; returns False where the stop comes first.

        ``waiting`` gets a line after each attempt that failed.

        Raises:
            SettingsError: the broker and KAFKA_PROPERTIES do not fit together.
            Retriable: no attempt succeeded within ``limit_s``; the text is the last line.
            Fatal: the broker refuses.
        """
        line = ""

        def failed(why: str) -> None:
            nonlocal line
            line = f"waiting for {topic} on {self._servers}: {why}"
            self.unreachable = bool(self._errors)
            waiting(line)

        try:
            wait_for_broker(lambda: attempt(self._reader), self._stop, self._errors, waiting=failed, limit_s=limit_s)
        except StoppedWaiting:
            return False
        except Retriable as problem:
            raise Retriable(line) from problem
        return True

    def read(self, *, follow: bool = False) -> Iterator[StoredRecord]:
        """Each record, until every partition has been read to its end (with ``follow``: without end), or the stop.

        Raises:
            Fatal: the broker refuses.
        """
        return self._reader.read(follow=follow, keep_going=lambda: not self._stop.asked())

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()


class WaitingDecoder:
    """Waits for schemas, where a command reads a topic and nothing else waits for it."""

    def __init__(self, decoder: Decoder, stop: Stop, limit_s: float) -> None:
        """``limit_s`` is how long to wait for the registry."""
        self._decoder = decoder
        self._stop = stop
        self._limit_s = limit_s

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        """Decode a batch of records. After a stop it is left out as a whole.

        Raises:
            Fatal: the schema registry does not answer.
        """
        end_s = time.monotonic() + self._limit_s
        while True:
            try:
                return self._decoder.decode(records)
            except SchemasPending as pending:
                if time.monotonic() >= end_s:
                    raise Fatal(str(pending)) from None
                if self._stop.event.wait(SCHEMA_PAUSE_S):
                    return Decoded([], {}, dict.fromkeys(range(len(records))))
