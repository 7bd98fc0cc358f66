"""Makes a clock from its name. The task and the loop never look at the name."""

from __future__ import annotations

from typing import assert_never

from service.core.clocks import WindowClock
from service.core.clocks.event import EventClock
from service.core.clocks.ingestion import IngestionClock
from service.core.clocks.processing import ProcessingClock
from service.core.model import ClockName, ReadAhead
from service.core.rules import TaskRules
from service.core.watermark import BoundedOutOfOrderness


def clock_for(rules: TaskRules, watermark: BoundedOutOfOrderness, ahead: ReadAhead | None = None) -> WindowClock:
    """Make the clock that the rules name; ``ahead`` is what an earlier owner with the same clock committed."""
    match rules.clock:
        case ClockName.PROCESSING:
            return ProcessingClock(rules, watermark)
        case ClockName.INGESTION:
            return IngestionClock(rules, watermark, ahead)
        case ClockName.EVENT:
            return EventClock(rules, watermark, ahead)
        case _:
            assert_never(rules.clock)
