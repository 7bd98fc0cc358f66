"""Calls of the client that may not come back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, Final

from service.loop.errors import Fatal

CALL_TIMEOUT_S: Final = 1.0
"""One attempt of a blocking call. A timeout means the same call again, after a look at whether to go on."""
HANG_S: Final = 3.0
"""A call that is not back by then may never come back. Callers with evidence that it is only slow wait longer."""
LOOK_EVERY_S: Final = 0.25


class Hung(Exception):  # noqa: N818 - it says what the call did
    """The call is not back, and nobody may rely on its client any more."""


class Stopped(Exception):  # noqa: N818 - it says what the caller was told
    """The call is not back, and there is no more time to wait for it."""


def call(
    doing: str,
    function: Callable[..., Any],
    *args: Any,  # noqa: ANN401
    keep_going: Callable[[], bool],
    throttled: Callable[[], bool],
    hang_s: float,
) -> None:
    """Call it on a thread of its own, named ``doing``, and wait; ``keep_going`` is asked where that takes long.

    It hangs when it has not come back for ``hang_s`` seconds in which no broker throttled the client. ``throttled`` is
    asked as often as ``keep_going``. What it raises ends the wait.

    Raises:
        Hung, Stopped: it is not back. The thread is left behind.
        Fatal: the process may not start another thread.
        Exception: what the call raised. Drop its traceback when it is kept: that leads to what is waited for here,
            which leads back to it, and a client that is given up goes on trying until somebody collects garbage.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            done.set_result(function(*args))
        except BaseException as exception:  # noqa: BLE001 - raised below, where somebody waits for it
            done.set_exception(exception)

    try:
        Thread(target=run, name=doing, daemon=True).start()
    except RuntimeError as error:
        raise Fatal(f"{doing}: {error}: the limit of processes or of address space is reached") from None
    patience_s = CALL_TIMEOUT_S + LOOK_EVERY_S
    waited_s = 0.0
    while not wait([done], patience_s).done:
        waited_s += patience_s
        patience_s = LOOK_EVERY_S
        if not keep_going():
            raise Stopped(f"{doing}: told to stop while the client did not come back")
        if throttled():
            waited_s = 0.0
        elif waited_s >= hang_s:
            raise Hung(f"{doing}: the client did not come back in {hang_s:.0f} s")
    done.result()
