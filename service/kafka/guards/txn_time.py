"""Guard: a slow txn that looks hung, or fenced.

Seen (librdkafka 2.16): where a quota or a busy cluster made a txn slow, calls counted as hung after 3 s, and each new
producer wrote everything again. Where a txn outlived its timeout, the broker aborted it and librdkafka said "fenced",
which ends the process.
What we do: after each hang in a row the next call gets more time. A txn is given up shortly before its timeout, and
the next one gets a longer timeout.
It can go in part when send_offsets_to_transaction() honours its timeout (librdkafka#5456).
docs/decisions/producer.md, "A quota is not a hang".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from service.kafka.guards import hanging_calls as calls

MORE_PATIENCE: Final = 4
"""After each hang in a row the next call may take this many times longer, so a slow call succeeds in the end."""
MARGIN_S: Final = 5.0
"""We give up a txn that is still open this time before its timeout."""


class TxnTime:
    """How long a txn and its calls may take: more after a cluster or a quota has proved to be slow."""

    def __init__(self, timeouts_ms: tuple[int, ...], monotonic_s: Callable[[], float]) -> None:
        """``timeouts_ms`` are values for transaction.timeout.ms: the usual one, then longer ones for slow clusters."""
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
        """The number of seconds after which a call counts as hung."""
        return float(min(calls.HANG_S * MORE_PATIENCE**self._hangs, self.timeout_ms / 1_000))

    def begin(self) -> None:
        """Note that a txn begins."""
        self._begun_s = self._monotonic_s()

    def committed(self) -> None:
        """Note a commit: the next hang is the first one again."""
        self._hangs = 0

    def hung(self) -> None:
        """Note that a call has hung."""
        self._hangs += 1

    def exceeded(self) -> str | None:
        """If the open txn is about to exceed its timeout, take the next timeout and return one line; else None.

        After the timeout, as in a process that was paused, this returns None and the broker's answer decides: a newer
        instance may have our name by then, and must not be fenced.
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
        """Return to the usual timeout, because the brokers refuse this one; returns False if it was the usual one."""
        grown = self.timeout_ms != self._usual_ms
        self._timeouts_ms = deque([self._usual_ms])
        return grown
