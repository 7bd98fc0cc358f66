"""Guard: calls of a txn that never return.

Seen (librdkafka 2.16): after a broker's restart send_offsets_to_transaction() ignored its timeout and did not return
(librdkafka#5456, #5511, both open).
What we do: each call of a txn runs on a thread of its own. A call that does not return in time counts as hung, and the
caller replaces its producer.
It can go when both issues are fixed.
docs/decisions/producer.md, "Every producer call runs on a thread of its own".
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from functools import partial
from typing import Any, Final

from service.kafka.threads import start_call

CALL_TIMEOUT_S: Final = 1.0
"""The timeout of one attempt. After it the caller checks whether to go on, and repeats the call."""
HANG_S: Final = 3.0
"""A call that takes longer counts as hung. Callers that know why a call is slow allow more."""
LOOK_EVERY_S: Final = 0.25


class Hung(Exception):  # noqa: N818 - it says what the call did
    """The call has not returned. Its client must not be used any more."""


class Stopped(Exception):  # noqa: N818 - it says what happened
    """The call has not returned, and the service stops."""


def call(
    doing: str,
    function: Callable[..., Any],
    *args: Any,  # noqa: ANN401
    keep_going: Callable[[], bool],
    throttled: Callable[[], bool],
    hang_s: float,
) -> None:
    """Run the call on a thread named ``doing`` and wait for it.

    The call counts as hung after ``hang_s`` seconds in which no broker throttled the client. Every LOOK_EVERY_S the
    wait asks ``keep_going`` whether to go on and ``throttled`` whether a broker throttles; an exception of these ends
    the wait.

    Raises:
        Hung, Stopped: the call has not returned; its thread is left behind.
        Fatal: the process cannot start another thread.
        Exception: what the call raised. A caller that keeps it must drop its traceback, which keeps the client alive:
            a client that was given up would go on trying.
    """
    done = start_call(doing, partial(function, *args))
    patience_s = CALL_TIMEOUT_S + LOOK_EVERY_S
    waited_s = 0.0
    while not wait([done], patience_s).done:
        waited_s += patience_s
        patience_s = LOOK_EVERY_S
        if not keep_going():
            raise Stopped(f"{doing}: stopped before the client's call returned")
        if throttled():
            waited_s = 0.0
        elif waited_s >= hang_s:
            raise Hung(f"{doing}: the client's call did not return in {hang_s:.0f} s")
    done.result()
