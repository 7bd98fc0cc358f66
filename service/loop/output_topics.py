"""The topics that the loop writes to, with their limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputTopics:
    """Names and limits. An empty name turns an output off; the limits are the topics' ``max.message.bytes``."""

    alerts: str
    aggregates: str
    late: str
    dead_letter: str
    least_max_bytes: int
    late_max_bytes: int
    dead_letter_max_bytes: int
    state: str = ""
    """Where detectors keep what they remember; empty where none does."""
    shadow: str = ""
    """Where alerts of shadow detectors go; empty where there is none."""
    rekeyed: str = ""
    """Where `rekey` writes; empty in the service itself."""
    rekeyed_max_bytes: int = 0
    compacted: tuple[str, ...] = ()
    """The compacted ones of these topics: they lose records."""

    @property
    def names(self) -> list[str]:
        """Every topic that is written to."""
        names = (self.alerts, self.aggregates, self.late, self.dead_letter, self.shadow, self.state, self.rekeyed)
        return [name for name in names if name]
