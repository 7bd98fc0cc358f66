"""Runs one call on a thread of its own, so that nothing else waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final, TypeVar

from service.loop.errors import Fatal

AnswerT = TypeVar("AnswerT")

NO_THREAD: Final = "the limit of processes or of address space is reached"
"""Why a process cannot start another thread."""


def start_call(doing: str, function: Callable[[], AnswerT]) -> Future[AnswerT]:
    """Start ``function`` on a daemon thread; the future gets what it returns or raises.

    ``doing`` names the thread, and the call in the error.

    Raises:
        Fatal: the process cannot start another thread.
    """
    future: Future[AnswerT] = Future()
    try:
        Thread(target=_run, args=(future, function), name=doing, daemon=True).start()
    except RuntimeError as error:
        raise Fatal(f"{doing}: {error}: {NO_THREAD}") from None
    return future


def _run(future: Future[AnswerT], function: Callable[[], AnswerT]) -> None:
    try:
        future.set_result(function())
    except BaseException as exception:  # noqa: BLE001 - the future raises it where the caller takes the result
        future.set_exception(exception)
        del future, function  # else the traceback, which has this frame, would keep its own exception alive
