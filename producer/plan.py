"""What to replay, in plain values."""

from __future__ import annotations

from dataclasses import dataclass

from producer.replay import Pace


@dataclass(frozen=True, slots=True)
class Plan:
    """What to replay: pace, passes, and when to start."""

    pace: Pace
    repeat: int
    """Passes over the file. 0: without end."""
    start_row: int
    """The first row of the first pass."""
    align_ms: int | None
    """Start at the next multiple of this time of the wall clock."""
    rebase: bool
    """Shift event times: the first row's becomes the time when it is due."""
    broker_wait_ns: int
    """How long the start waits for a first answer of a broker. After that, rows queue up."""
