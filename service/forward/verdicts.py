"""What an answer of the target means for an alert, and when the alert is tried again. Time and chance are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
"""The longest wait between two requests for an alert, or to a target that fails; a Retry-After may ask for more."""
FAILURES_TO_OPEN: Final = 5
"""So many requests in a row without a good answer open the breaker."""
_OF_THE_TARGET: Final = frozenset({401, 403, 404})
_TRY_AGAIN: Final = frozenset({408, 425, 429})


class Undelivered(StrEnum):
    """Why an alert goes to TOPICS_UNDELIVERED."""

    TOO_OLD = "too_old"
    GAVE_UP = "gave_up"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended."""

    status: int | None
    """The HTTP status; None where there was no answer."""
    text: str = ""
    """For people: the status line, or why there was no answer."""
    retry_after: str | None = None
    """The header of that name."""

    @property
    def good(self) -> bool:
        """Whether the target has the alert."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - as RFC 9110 has them

    @property
    def of_the_target(self) -> bool:
        """Whether it says that address or credentials are wrong, whatever the alert."""
        return self.status in _OF_THE_TARGET

    @property
    def refused(self) -> bool:
        """Whether the target will never take this alert."""
        return (
            self.status is not None
            and 400 <= self.status < 500  # noqa: PLR2004 - as above
            and self.status not in _OF_THE_TARGET | _TRY_AGAIN
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an alert is tried."""

    max_age_ms: int
    """By the alert's own time."""
    give_up_after_ms: int
    """By the first request for it."""


def wait_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row: doubled each time, bounded, the upper half at random.

    ``chance`` is in [0, 1).
    """
    most = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 16))
    return most * (1 + chance) / 2


def asked_wait_s(retry_after: str | None, now_ms: int) -> float:
    """The seconds that a Retry-After header asks for, given in seconds or as a date; 0 where it asks for none."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds())


def overdue(limits: Limits, alert_ms: int, first_try_ms: int | None, now_ms: int) -> Undelivered | None:
    """Whether an alert has waited too long. Judged before each request, so an old alert is not sent once more."""
    if now_ms - alert_ms > limits.max_age_ms:
        return Undelivered.TOO_OLD
    if first_try_ms is not None and now_ms - first_try_ms > limits.give_up_after_ms:
        return Undelivered.GAVE_UP
    return None


class Breaker:
    """Holds back requests to a target that fails.

    Closed: every partition sends. Open: one request at a time goes, after a wait; a good answer closes the breaker.
    """

    def __init__(self, longest_asked_ms: int) -> None:
        """It is closed. A Retry-After is obeyed up to ``longest_asked_ms``."""
        self._longest_asked_ms = longest_asked_ms
        self._failures = 0
        self._under_way = 0
        self._not_before_ms = 0
        self.why: str | None = None
        """Why it is open: the last answer. None while it is closed."""

    def allows(self, now_ms: int) -> bool:
        """Whether a request may go now; the caller calls sent() when it goes."""
        return now_ms >= self._not_before_ms and (self.why is None or self._under_way == 0)

    def sent(self) -> None:
        """A request goes."""
        self._under_way += 1

    def answered(self, answer: Answer, now_ms: int, chance: float) -> None:
        """Take the answer to a request that was sent. A Retry-After holds back the whole target."""
        self._under_way -= 1
        if answer.good or answer.refused:  # it refuses the alert, so the target itself works
            self._failures, self._not_before_ms, self.why = 0, 0, None
            return
        self._failures += 1
        wait_ms = round(wait_s(self._failures, chance) * 1000)
        asked_ms = min(self._longest_asked_ms, round(asked_wait_s(answer.retry_after, now_ms) * 1000))
        if answer.of_the_target or self._failures >= FAILURES_TO_OPEN or asked_ms > LONGEST_WAIT_S * 1000:
            self.why = answer.text
        if asked_ms or self.why is not None:
            self._not_before_ms = now_ms + max(wait_ms, asked_ms)
