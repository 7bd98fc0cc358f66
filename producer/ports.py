"""What a session needs of the world: the time, somebody who says stop, and somewhere to send rows."""

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


class Clock(Protocol):
    """The time, and the only way to let it pass."""

    def monotonic_ns(self) -> int:
        """Return a time that never jumps."""
        ...

    def wall_ms(self) -> int:
        """Return the epoch time in ms."""
        ...

    def wait(self, seconds: float) -> None:
        """Let that much time pass, or less if a signal comes."""
        ...

    def going(self) -> bool:
        """Tell whether nobody has asked to stop."""
        ...

    def hurry(self) -> bool:
        """Tell whether somebody has asked twice."""
        ...


@dataclass(frozen=True, slots=True)
class RealClock:
    """The machine's clocks, and the user's patience."""

    stop: Stop

    def monotonic_ns(self) -> int:
        """Return a time that never jumps."""
        return time.monotonic_ns()

    def wall_ms(self) -> int:
        """Return the epoch time in ms."""
        return time.time_ns() // 1_000_000

    def wait(self, seconds: float) -> None:
        """Sleep, less if a signal comes."""
        self.stop.wait(seconds)

    def going(self) -> bool:
        """Tell whether no signal has come."""
        return not self.stop.requested

    def hurry(self) -> bool:
        """Tell whether a second one has."""
        return self.stop.urgent


class Rereadable(Protocol):
    """The input: a pass over its rows, again and again."""

    patience_s: float
    """How long the next chunk may be waited for, where the input is a pipe."""

    def open_pass(self, start_row: int) -> CsvRows:
        """Start a pass."""
        ...

    def grown(self) -> bool:
        """Tell whether somebody has written to the input since the pass began."""
        ...


class TopicState(Enum):
    """What the brokers say about the topic."""

    THERE = auto()
    MISSING = auto()
    NO_ANSWER = auto()


class ConfigError(Exception):
    """The client refuses a property, or the brokers refuse the client; the message is one line."""


class Sink(Protocol):
    """What takes the rows: a `publisher.Publisher`, or nothing at all in a dry run."""

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
        """Rows given up."""
        ...

    @property
    def outstanding(self) -> int:
        """Rows of which nothing is known yet."""
        ...

    @property
    def failures(self) -> Mapping[str, int]:
        """Why rows were given up, and how many for each reason."""
        ...

    @property
    def broken(self) -> bool:
        """Whether more rows would fail too."""
        ...

    def topic_state(self, wait_s: float) -> TopicState:
        """Look for the topic; raises ConfigError where it is of no use to wait."""
        ...

    def send(self, batch: Batch, keep_on: Callable[[], bool]) -> int:
        """Take rows, waiting for room while ``keep_on()``; returns how many were taken.

        Where it raises, `sent` has gone up by as many as were taken all the same.
        """
        ...

    def poll(self) -> None:
        """Serve what has come in, without waiting."""
        ...

    def flush(self, wait_s: float) -> None:
        """Wait for outstanding rows."""
        ...

    def give_up(self) -> None:
        """Count outstanding rows as failed."""
        ...

    def first_failed(self) -> RowId | None:
        """Return the first row that failed."""
        ...

    def take_notices(self) -> list[str]:
        """Return what a person should know by now."""
        ...


class DryRun:
    """Takes rows and forgets them: nothing is sent, no client is made."""

    sent = delivered = failed = outstanding = 0
    broken = False
    failures: Mapping[str, int] = MappingProxyType({})

    def topic_state(self, wait_s: float) -> TopicState:
        """Say that it is there."""
        del wait_s
        return TopicState.THERE

    def send(self, batch: Batch, keep_on: Callable[[], bool]) -> int:
        """Take all."""
        del keep_on
        return len(batch.rows)

    def poll(self) -> None:
        """Do nothing."""

    def flush(self, wait_s: float) -> None:
        """Do nothing."""

    def give_up(self) -> None:
        """Do nothing."""

    def first_failed(self) -> RowId | None:
        """Return none."""
        return None

    def take_notices(self) -> list[str]:
        """Return none."""
        return []
