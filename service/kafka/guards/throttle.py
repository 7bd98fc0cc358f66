"""Guard: requests that a broker's quota delays look like faults.

Seen (librdkafka 2.16): a broker that throttles answers at once, and then reads nothing from that connection for the
time it named. What else the client sends there waits as long: a commit looked hung, a partition stuck, a broker silent.
What we do: the client's throttle callback keeps that time. While it lasts, slow answers count as no fault.
It can go when the client does not count that time in its own timeouts.
docs/decisions/producer.md, "A quota is not a hang".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import ThrottleEvent
from structlog.typing import FilteringBoundLogger

AFTERWARDS_S: Final = 2.0
"""A throttle still explains a slow answer this time after its end: an answer or the next throttle is on its way."""
SAY_EVERY_S: Final = 60.0


class Throttle:
    """The throttle of one client, as brokers report it."""

    def __init__(self, client: str, monotonic_s: Callable[[], float], observe: Callable[[float], None]) -> None:
        """``client`` names the client in metrics and log; ``observe`` gets the length of each throttle in seconds."""
        self.client: Final = client
        self._monotonic_s = monotonic_s
        self._observe = observe
        self._until_s = float("-inf")
        self._broker = 0
        self._unsaid = 0
        self._unsaid_s = 0.0
        self._said_s = float("-inf")

    def heard(self, event: ThrottleEvent) -> None:
        """Note a throttle. A callback of the client: it must not raise."""
        if event.throttle_time <= 0:  # it has ended
            return
        self._until_s = max(self._until_s, self._monotonic_s() + event.throttle_time)
        self._broker = event.broker_id
        self._unsaid += 1
        self._unsaid_s += event.throttle_time
        self._observe(event.throttle_time)

    @property
    def active(self) -> bool:
        """Whether a throttle may explain slow answers to the client."""
        return self._monotonic_s() < self._until_s + AFTERWARDS_S

    @property
    def reason(self) -> str | None:
        """The reason in one line while a throttle is active, else None."""
        if not self.active:
            return None
        left_s = max(0.0, self._until_s - self._monotonic_s())
        who = "admin client" if self.client == "admin" else self.client
        return f"broker {self._broker} throttles the {who} for {left_s:.1f} s more: a quota is exceeded"

    def say(self, log: FilteringBoundLogger) -> None:
        """Log the throttles since the last line, once a minute at most."""
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
    """The reasons of the active throttles in one line; None where no throttle is active."""
    return "; ".join(reason for one in throttles if (reason := one.reason)) or None
