"""Quotas: what brokers say about requests that they hold back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import ThrottleEvent
from structlog.typing import FilteringBoundLogger

AFTERWARDS_S: Final = 2.0
"""So long after its end a throttle still explains why something is slow: the next one is on its way, or the answer."""
SAY_EVERY_S: Final = 60.0


class Throttle:
    """What one client hears of its quotas.

    A broker that throttles answers at once, says for how long it will read nothing more from that connection, and
    keeps to it. Whatever else the client sends there waits as long.
    """

    def __init__(self, client: str, monotonic_s: Callable[[], float], observe: Callable[[float], None]) -> None:
        """Nothing has been heard; ``client`` is its name for people, ``observe`` is given each throttle in seconds."""
        self.client: Final = client
        self._monotonic_s = monotonic_s
        self._observe = observe
        self._until_s = float("-inf")
        self._broker = 0
        self._unsaid = 0
        self._unsaid_s = 0.0
        self._said_s = float("-inf")

    def heard(self, event: ThrottleEvent) -> None:
        """Take note; the client calls this from whatever serves its callbacks, where nothing may be raised."""
        if event.throttle_time <= 0:  # it has ended
            return
        self._until_s = max(self._until_s, self._monotonic_s() + event.throttle_time)
        self._broker = event.broker_id
        self._unsaid += 1
        self._unsaid_s += event.throttle_time
        self._observe(event.throttle_time)

    @property
    def active(self) -> bool:
        """Whether the client may be slow because a broker throttles it."""
        return self._monotonic_s() < self._until_s + AFTERWARDS_S

    @property
    def reason(self) -> str | None:
        """One line for people while it is so, else None."""
        if not self.active:
            return None
        left_s = max(0.0, self._until_s - self._monotonic_s())
        who = "admin client" if self.client == "admin" else self.client
        return f"broker {self._broker} throttles the {who} for {left_s:.1f} s more: a quota is exceeded"

    def say(self, log: FilteringBoundLogger) -> None:
        """Log what has not been logged, once a minute at most."""
        if not self._unsaid or self._monotonic_s() - self._said_s < SAY_EVERY_S:
            return
        log.warning(
            "throttled",
            client=self.client,
            broker=self._broker,
            times=self._unsaid,
            seconds=round(self._unsaid_s, 3),
            error="a broker's quota is exceeded",
        )
        self._unsaid, self._unsaid_s, self._said_s = 0, 0.0, self._monotonic_s()


def reasons(throttles: Iterable[Throttle]) -> str | None:
    """The reasons of those that are active, in one line; None where none is."""
    return "; ".join(reason for one in throttles if (reason := one.reason)) or None
