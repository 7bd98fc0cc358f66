"""One file a detector; each looks at one key of one closed window and says whether it is an anomaly."""

from __future__ import annotations

from typing import Protocol

from service.core.model import Aggregate, Anomaly


class Detector(Protocol):
    """What every detector does."""

    def judge(self, transaction_id: str, aggregate: Aggregate) -> Anomaly | None:
        """Look at what a closed window holds of one key."""
        ...
