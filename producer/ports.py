"""What a session needs from outside: a clock, the input, a sink for rows, and a way to print lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Protocol

from producer.reading.csv_rows import CsvRows
from producer.replay import Batch, RowId
from producer.stop import Stop

Say = Callable[[str], None]
"""Prints one line for people, to standard error."""


class Clock(Protocol):
    """The time, the only way to wait, and the requests to stop."""

    def monotonic_ns(self) -> int:
        """Return a time that never jumps."""
        ...

    def wall_ms(self) -> int:
        """Return the epoch time in ms."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait for that time, or less if a signal comes."""
        ...

    def going(self) -> bool:
        """Whether no stop was requested."""
        ...

    def hurry(self) -> bool:
        """Whether a stop was requested twice."""
        ...


@dataclass(frozen=True, slots=True)
class RealClock:
    """The machine's clocks and signals."""

    stop: Stop

    def monotonic_ns(self) -> int:
        """Return a time that never jumps."""
        return time.monotonic_ns()

    def wall_ms(self) -> int:
        """Return the epoch time in ms."""
        return time.time_ns() // 1_000_000

    def wait(self, seconds: float) -> None:
        """Sleep for that time, or less if a signal comes."""
        self.stop.wait(seconds)

    def going(self) -> bool:
        """Whether no signal has come."""
        return not self.stop.requested

    def hurry(self) -> bool:
        """Whether a second signal has come."""
        return self.stop.urgent


class Rereadable(Protocol):
    """The input, which can be read several times."""

    patience_s: float
    """How long to wait for the next chunk of a pipe."""

    def open_pass(self, start_row: int) -> CsvRows:
        """Start a pass."""
        ...

    def grown(self) -> bool:
        """Whether the input has changed its size since the pass began."""
        ...


class TopicState(Enum):
    """What the brokers answer about the topic."""

    EXISTS = auto()
    MISSING = auto()
    NO_ANSWER = auto()


class ConfigError(Exception):
    """The client refuses a property, or the brokers refuse the client; the message is one line."""


class Sink(Protocol):
    """Takes the rows: a `publisher.Publisher`, or a `DryRun`."""

    @property
    def sent(self) -> int:
        """Rows taken."""
        ...

    @property
    def delivered(self) -> int:
        """Rows acknowledged by the brokers."""
        ...

    @property
    def failed(self) -> int:
        """Rows that were not delivered and will not be."""
        ...

    @property
    def outstanding(self) -> int:
        """Rows that are neither delivered nor failed yet."""
        ...

    @property
    def failures(self) -> Mapping[str, int]:
        """How many rows failed, for each reason."""
        ...

    @property
    def broken(self) -> bool:
        """Whether the next rows would fail, too."""
        ...

    def topic_state(self, wait_s: float) -> TopicState:
        """Ask the brokers about the topic; raises ConfigError where waiting does not help."""
        ...

    def send(self, batch: Batch, keep_on: Callable[[], bool]) -> int:
        """Take rows, and wait for room while ``keep_on()``; returns how many were taken.

        If it raises, `sent` still counts the rows that were taken.
        """
        ...

    def poll(self) -> None:
        """Serve reports and errors, without waiting."""
        ...

    def flush(self, wait_s: float) -> None:
        """Wait for outstanding rows."""
        ...

    def purge(self) -> None:
        """Report outstanding rows as failed. It may be called from another thread."""
        ...

    def give_up(self) -> None:
        """Count outstanding rows as failed."""
        ...

    def first_failed(self) -> RowId | None:
        """Return the first row that failed, or None."""
        ...

    def take_notices(self) -> list[str]:
        """Return lines for people since the last call."""
        ...


class DryRun:
    """Drops the rows: nothing is sent, and there is no client."""

    sent = delivered = failed = outstanding = 0
    broken = False
    failures: Mapping[str, int] = MappingProxyType({})

    def topic_state(self, wait_s: float) -> TopicState:
        """Return that the topic exists."""
        del wait_s
        return TopicState.EXISTS

    def send(self, batch: Batch, keep_on: Callable[[], bool]) -> int:
        """Take all rows of the batch."""
        del keep_on
        return len(batch.rows)

    def poll(self) -> None:
        """Do nothing."""

    def flush(self, wait_s: float) -> None:
        """Do nothing."""

    def purge(self) -> None:
        """Do nothing."""

    def give_up(self) -> None:
        """Do nothing."""

    def first_failed(self) -> RowId | None:
        """Return none."""
        return None

    def take_notices(self) -> list[str]:
        """Return none."""
        return []
