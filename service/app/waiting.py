"""Waiting for the broker: the one place that tries again until it answers."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError

from service.loop.errors import Retriable
from service.process.stop import Stop
from service.settings import SettingsError
from service.wire.client import settings_refused

PAUSE_S: Final = 0.25


def wait_for_broker(
    attempt: Callable[[], None],
    stop: Stop,
    errors: deque[KafkaError],
    *,
    waiting: Callable[[str], None],
    limit_s: float = math.inf,
) -> bool:
    """Attempt it until it works; returns False where the stop comes first.

    ``errors`` is where the client's error callback puts what it reports; it is empty after a success.
    ``waiting`` gets the reason after each attempt that failed.

    Raises:
        SettingsError: the broker and KAFKA_PROPERTIES do not fit together.
        Retriable: it did not work within ``limit_s``.
        Exception: what ``attempt`` or ``waiting`` raises besides.
    """
    began_s = time.monotonic()
    while not stop.asked():
        try:
            attempt()
        except Retriable as problem:
            for error in errors:
                if settings_refused(error.name(), error.str()):
                    raise SettingsError(f"KAFKA_PROPERTIES: {error.str()}") from None
            # The client's own complaints say more: "connection refused" rather than "timed out".
            waiting(errors[-1].str() if errors else str(problem))
            if time.monotonic() - began_s > limit_s:
                raise
            stop.event.wait(PAUSE_S)
        else:
            errors.clear()
            return True
    return False
