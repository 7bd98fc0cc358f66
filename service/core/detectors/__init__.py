"""Detectors are folds: from a key's state and a closed window of that key to a new state, and a finding or None.

A detector reads no clock and keeps nothing: the task holds the states (service.core.memory) and passes time as an
argument. So the same detector serves the service, a shadow run and a test, and an abort has nothing to undo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import msgspec

from service.core.model import Aggregate, EventTimeMs, Offset, TumblingWindow

DAY_MS: Final = 86_400_000
StateT = TypeVar("StateT")
RowT = TypeVar("RowT")
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Of(StrEnum):
    """What of a key's window a detector looks at."""

    SUM = "sum"
    COUNT = "count"
    MAX = "max"
    MIN = "min"
    MEAN = "mean"


class Direction(StrEnum):
    """On which side of its limit a value is an anomaly."""

    ABOVE = "above"
    BELOW = "below"
    BOTH = "both"


class KeyWindow(msgspec.Struct, frozen=True, gc=False):
    """A closed window of one key."""

    transaction_id: str
    aggregate: Aggregate
    window: TumblingWindow
    watermark_ms: EventTimeMs
    """The partition's watermark when the window closed."""


class Finding(msgspec.Struct, frozen=True, gc=False):
    """An anomaly in one window of one key."""

    limit: Decimal | float
    """The limit that was crossed; the alert's ``limit``."""
    value: Decimal | float | None = None
    """What the detector looked at; None stands for the sum."""
    score: float | None = None
    """How far it is from the usual, for detectors that know that."""
    fields: Mapping[str, Any] = NOTHING
    """What else the alert says, by its name in JSON."""


class Silence(msgspec.Struct, frozen=True, gc=False):
    """A deadline has passed without an event. All times in epoch milliseconds."""

    after_ms: int
    start_ms: int
    """When the silence began; it lasts at least ``after_ms``."""
    event_ms: EventTimeMs | None
    """The event time of the last record; None where there is none."""
    offset: Offset | None
    """Where that record is in its partition."""
    clock: str
    """``event`` or ``wall``."""


class Detector(Protocol[StateT]):
    """The interface of a detector."""

    @property
    def state_type(self) -> type[StateT] | None:
        """A msgspec Struct with ``array_like=True, gc=False``: what is remembered of a key. None: nothing."""

    @property
    def state_kind(self) -> str:
        """What a state means. A state that was kept under another kind is forgotten, e.g. when ``of`` has changed."""

    def judge(self, state: StateT | None, window: KeyWindow) -> tuple[StateT | None, Finding | None]:
        """Return the new state, and the finding or None. ``state`` is None at a key's first window.

        Pure: the same arguments give the same result, and ``state`` is not changed.
        """


class BatchDetector(Protocol[StateT, RowT]):
    """A detector that judges many windows in one call."""

    @property
    def state_type(self) -> type[StateT] | None:
        """As in Detector."""

    @property
    def state_kind(self) -> str:
        """As in Detector."""

    def prepare(self, state: StateT | None, window: KeyWindow) -> tuple[StateT | None, RowT]:
        """Return the new state and what judge_all() needs of this window."""

    def judge_all(self, rows: Sequence[RowT]) -> Sequence[Finding | None]:
        """Return the finding of each row, in their order."""


@dataclass(frozen=True, slots=True)
class ConfiguredDetector:
    """A detector with its name, and what happens to its findings."""

    name: str
    detector: Any
    """A Detector, a BatchDetector or an Inactivity."""
    of: Of = Of.SUM
    direction: Direction = Direction.ABOVE
    shadow: bool = False
    """Whether findings go to the shadow topic only."""
    resolve_after: int = 0
    """An episode ends after so many windows without a finding; 0: each finding is an alert."""
    resolve_after_ms: int = DAY_MS
    """An episode ends this time after its last finding, by the watermark."""
