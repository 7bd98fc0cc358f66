"""Waits for the broker: the only place that repeats an attempt until the broker answers."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError

from service.loop.errors import Retriable
from service.process.stop import Stop
from service.settings import SettingsError
from service.wire.client import settings_refused

PAUSE_S: Final = 0.25
AnswerT = TypeVar("AnswerT")


class StoppedWaiting(Exception):  # noqa: N818 - it says what happened
    """The service or the command was asked to stop before the broker answered."""


def wait_for_broker(
    attempt: Callable[[], AnswerT],
    stop: Stop,
    errors: deque[KafkaError],
    *,
    waiting: Callable[[str], None],
    limit_s: float = math.inf,
) -> AnswerT:
    """Repeat the attempt until it succeeds; returns its result.

    The client's error callback appends to ``errors``, which is empty after a success.
    ``waiting`` gets the reason after each attempt that failed.

    Raises:
        StoppedWaiting: the stop came first.
        SettingsError: the broker and KAFKA_PROPERTIES do not fit together.
        Retriable: no attempt succeeded within ``limit_s``.
        Exception: any other error of ``attempt`` or ``waiting``.
    """
    began_s = time.monotonic()
    while not stop.asked():
        try:
            answer = attempt()
        except Retriable as problem:
            for error in errors:
                if settings_refused(error.name(), error.str()):
                    raise SettingsError(f"KAFKA_PROPERTIES: {error.str()}") from None
            # The client's own errors say more: "connection refused" rather than "timed out".
            waiting(errors[-1].str() if errors else str(problem))
            if time.monotonic() - began_s > limit_s:
                raise
            stop.event.wait(PAUSE_S)
        else:
            errors.clear()
            return answer
    raise StoppedWaiting
