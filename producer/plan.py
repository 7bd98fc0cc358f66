"""The plan of a replay, in plain values: pace, passes, and when to start."""

from __future__ import annotations

from dataclasses import dataclass

from producer.replay import Pace


@dataclass(frozen=True, slots=True)
class Plan:
    """What to replay, how often, how fast, and from when on."""

    pace: Pace
    repeat: int
    """Passes over the file. 0: without end."""
    start_row: int
    """The first row of the first pass."""
    align_ms: int | None
    """Start at the next multiple of this time of the wall clock."""
    rebase: bool
    """Whether to shift event times: that of the first row becomes the time when the row is due."""
    broker_wait_ns: int
    """How long the start waits for a first answer of a broker. After that, rows queue up."""
