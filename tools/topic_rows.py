"""What is on the transactions topic, read the way any other consumer would."""

import datetime as dt
import json
import os
import time
import zoneinfo
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, TopicPartition

TOPIC: Final = "transactions"
TIMEOUT_S: Final = 30.0


def window_size_ms() -> int:
    """The window's length, as the service takes it from its environment."""
    return int(os.environ.get("WINDOW_SIZE_MS", "10000"))


def lateness_ms() -> int:
    """How far the watermark is behind the newest event time, as the service takes it from its environment."""
    return int(os.environ.get("WATERMARK_LATENESS_MS", "1000"))


def next_boundary_ms() -> int:
    """When the wall clock's present window ends."""
    return (int(time.time() * 1000) // window_size_ms() + 1) * window_size_ms()


@dataclass(frozen=True, slots=True)
class Row:
    """One transaction, as text."""

    transaction_id: str
    amount: str
    event_time: str


class TopicRows:
    """Reads the topic's records as they come.

    Args:
        bootstrap_servers: where the broker is.
        timezone: in which event times are shown.
    """

    def __init__(self, bootstrap_servers: str, timezone: str) -> None:
        self._zone = zoneinfo.ZoneInfo(timezone)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "never-joined",
                "enable.auto.commit": False,
                "log_level": 0,  # the demo itself says when the broker is gone
            }
        )
        partitions = self._consumer.list_topics(TOPIC, timeout=TIMEOUT_S).topics[TOPIC].partitions
        self._consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in partitions])

    def read(self, timeout_s: float) -> list[Row]:
        """The next rows; waits at most this time for the first one."""
        rows = []
        for message in self._consumer.consume(1000, timeout_s):
            if message.error() is None:
                record = json.loads(message.value() or b"{}", parse_float=str, parse_int=str)
                event_time = self.local_time(float(record["timestamp"]))
                rows.append(Row(record["transaction_id"], record["amount"], event_time))
        return rows

    def local_time(self, epoch_ms: float) -> str:
        """A point of event time as people there write it, with milliseconds where it has some."""
        time = dt.datetime.fromtimestamp(epoch_ms / 1000, self._zone)
        return f"{time:%Y-%m-%d %H:%M:%S}" + (f".{time.microsecond // 1000:03d}" if time.microsecond else "")

    def close(self) -> None:
        """Leaves the broker."""
        self._consumer.close()
