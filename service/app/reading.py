"""Reads topics for a command: the client, and the wait for its broker."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaError

from service.app.clients import construct, reader_config
from service.app.waiting import StoppedWaiting, wait_for_broker
from service.history.records import StoredRecord
from service.kafka.reader import TopicReader
from service.loop.errors import Retriable
from service.process.stop import Stop
from service.settings import Settings


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
