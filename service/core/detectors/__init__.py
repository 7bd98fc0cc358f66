"""The detectors, one file each: a detector decides whether one key of one closed window is an anomaly."""

from __future__ import annotations

from typing import Protocol

from service.core.model import Aggregate, Anomaly


class Detector(Protocol):
    """The interface of a detector."""

    def judge(self, transaction_id: str, aggregate: Aggregate) -> Anomaly | None:
        """Return the anomaly of one key in a closed window, or None."""
        ...
