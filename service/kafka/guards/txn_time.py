"""How long a txn and the calls in it may take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from service.kafka.guards import hanging_calls as calls

MORE_PATIENCE: Final = 4
"""After each hang in a row the next call may take so many times longer: what is slow is not replaced for ever."""
MARGIN_S: Final = 5.0
"""A txn that is still open so shortly before its timeout is given up: the broker would abort it, and say "fenced"."""


class TxnTime:
    """Grows with what a slow cluster, or a quota, has shown to be needed."""

    def __init__(self, timeouts_ms: tuple[int, ...], monotonic_s: Callable[[], float]) -> None:
        """``timeouts_ms`` are values of transaction.timeout.ms: the usual one, then those for when it was exceeded."""
        self._usual_ms = timeouts_ms[0]
        self._timeouts_ms = deque(timeouts_ms)
        self._monotonic_s = monotonic_s
        self._begun_s = 0.0
        self._hangs = 0
        """Calls that hung since the last commit."""

    @property
    def timeout_ms(self) -> int:
        """The transaction.timeout.ms of the next producer."""
        return self._timeouts_ms[0]

    @property
    def hang_s(self) -> float:
        """How long a call may take before it counts as one that hangs."""
        return float(min(calls.HANG_S * MORE_PATIENCE**self._hangs, self.timeout_ms / 1_000))

    def begin(self) -> None:
        """A txn begins."""
        self._begun_s = self._monotonic_s()

    def committed(self) -> None:
        """A txn has been committed: the next hang is the first one."""
        self._hangs = 0

    def hung(self) -> None:
        """A call has hung."""
        self._hangs += 1

    def exceeded(self) -> str | None:
        """Say that the open txn is about to exceed its timeout, and take the next timeout; None where it is not.

        Where that moment has passed, as in a process that was stopped, the broker's answer decides: the name may be a
        newer instance's by now, which must not be fenced.
        """
        timeout_s = self.timeout_ms / 1_000
        if not -MARGIN_S <= self._monotonic_s() - self._begun_s - timeout_s < 0:
            return None
        line = f"the txn takes longer than its timeout of {timeout_s:.0f} s"
        if len(self._timeouts_ms) == 1:
            return f"{line}: the brokers, or a quota, are too slow for what one txn holds"
        self._timeouts_ms.popleft()
        return f"{line}, the next one may take {self.timeout_ms / 1_000:.0f} s"

    def too_long(self) -> bool:
        """The brokers refuse the timeout; returns whether the usual one is left to go back to."""
        grown = self.timeout_ms != self._usual_ms
        self._timeouts_ms = deque([self._usual_ms])
        return grown
