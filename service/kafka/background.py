"""Questions that are asked on a thread of their own, so that the loop never waits for an answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final, Generic, TypeVar

AboutT = TypeVar("AboutT")
AnswerT = TypeVar("AnswerT")


class Background(Generic[AboutT, AnswerT]):
    """One question at a time; its answer waits until it is taken. Used by one thread, the loop's."""

    def __init__(self, name: str, ask: Callable[[AboutT], AnswerT]) -> None:
        """``ask`` runs on a thread called ``name``; it answers anything but None, or raises a KafkaProblem."""
        self._name: Final = name
        self._ask = ask
        self._future: Future[AnswerT] | None = None

    @property
    def pending(self) -> bool:
        """Whether a question was asked whose answer has not been taken."""
        return self._future is not None

    def ask(self, about: AboutT) -> None:
        """Ask, unless an earlier question is pending."""
        if self._future is None:
            self._future = Future()
            Thread(target=self._run, args=(self._future, about), name=self._name, daemon=True).start()

    def _run(self, future: Future[AnswerT], about: AboutT) -> None:
        try:
            future.set_result(self._ask(about))
        except BaseException as exception:  # noqa: BLE001 - answer() raises it on the loop's thread
            future.set_exception(exception)

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
            del future  # a traceback that holds it would be a cycle
