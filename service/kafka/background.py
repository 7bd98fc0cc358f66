"""Asks a question on a thread of its own, so that the loop never waits for the answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final, Generic, TypeVar

from service.kafka.threads import start_call

AboutT = TypeVar("AboutT")
AnswerT = TypeVar("AnswerT")


class Background(Generic[AboutT, AnswerT]):
    """One question at a time; the answer stays until the loop takes it. Only the loop's thread may use this."""

    def __init__(self, name: str, ask: Callable[[AboutT], AnswerT]) -> None:
        """``ask`` runs on a thread called ``name``; it returns anything but None, or raises a KafkaProblem."""
        self._name: Final = name
        self._ask = ask
        self._future: Future[AnswerT] | None = None

    @property
    def pending(self) -> bool:
        """Whether there is a question whose answer the loop has not taken."""
        return self._future is not None

    def ask(self, about: AboutT) -> None:
        """Ask, unless an earlier question is pending.

        Raises:
            Fatal: the process cannot start another thread.
        """
        if self._future is None:
            self._future = start_call(self._name, partial(self._ask, about))

    def answer(self) -> AnswerT | None:
        """Take the answer; None where there is none yet.

        Raises:
            KafkaProblem: what the question raised.
        """
        future = self._future
        if future is None or not future.done():
            return None
        self._future = None
        try:
            return future.result()
        finally:
            del future  # otherwise the traceback, which has this frame, would keep its own exception alive
