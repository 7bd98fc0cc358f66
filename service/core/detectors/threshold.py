"""The threshold detector: finds values beyond a limit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from service.core.detectors import Direction, Finding, KeyWindow, Of
from service.core.detectors.limits import LimitsById, limit_for
from service.core.detectors.looked_at import number_of, value_of

NO_LIMITS: Final[Mapping[str, Decimal]] = MappingProxyType({})
_NOTHING: Final = (None, None)


class Threshold:
    """An anomaly is strictly beyond the limit: a value of exactly the limit is none. Needs no state."""

    state_type = None
    state_kind = ""

    def __init__(
        self,
        limit: Decimal | None,
        *,
        of: Of = Of.SUM,
        direction: Direction = Direction.ABOVE,
        limits: Mapping[str, Decimal] = NO_LIMITS,
    ) -> None:
        """Limits are in the unit of what is looked at.

        ``limits`` has ids, and prefixes that end with ``*``: an id's own limit applies, else the one of its longest
        prefix, else ``limit``. Without ``limit``, ``limits`` must have ``*``.

        Raises:
            ValueError: an id would have no limit, or the direction is ``both``.
        """
        self._of = of
        default = None if limit is None else limit_for(of, direction, limit)
        self._by_id = LimitsById({name: limit_for(of, direction, value) for name, value in limits.items()}, default)
        self._only = None if limits else default

    def judge(self, state: None, window: KeyWindow) -> tuple[None, Finding | None]:
        """Compare exactly: 80,000 times 0.10 is 8000, which does not exceed a limit of 8000."""
        del state
        limit = self._only
        if limit is None:
            limit = self._by_id.of(window.transaction_id)
        if not limit.crossed_by(window.aggregate):
            return _NOTHING
        return None, Finding(limit.value, None if self._of is Of.SUM else value_of(self._of, window.aggregate))

    def score(self, state: None, window: KeyWindow) -> float:
        """What is compared with the limit, as the nearest float."""
        del state
        return number_of(self._of, window.aggregate)
