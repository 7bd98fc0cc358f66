"""The threshold detector: finds sums above a limit."""

from __future__ import annotations

from decimal import Decimal

from service.core.model import Aggregate, Anomaly
from service.core.money import whole_units


class Threshold:
    """An anomaly is a sum strictly greater than the limit. Needs no state."""

    def __init__(self, limit: Decimal) -> None:
        """``limit`` is in the unit of the amounts."""
        self.limit = limit
        self._limit_units = whole_units(limit)

    def judge(self, transaction_id: str, aggregate: Aggregate) -> Anomaly | None:
        """Compare exactly: 80,000 times 0.10 is 8000, which does not exceed a limit of 8000."""
        if aggregate.exceeds(self.limit, self._limit_units):
            return Anomaly("threshold", transaction_id, self.limit)
        return None
