"""A question runs on a thread of its own: the loop does not wait, and loses neither its answer nor its error."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from brokerkit.service_process import wait_until
from service.kafka.background import Background
from service.kafka.threads import start_call
from service.loop.errors import Retriable


def test_an_answer_is_taken_once() -> None:
    question: Background[int, int] = Background("double", lambda number: number * 2)
    question.ask(21)
    assert (42, None, False) == (wait_until(question.answer, 5), question.answer(), question.pending)


def test_asking_does_not_wait_and_a_second_question_is_not_asked_meanwhile() -> None:
    go_on, asked = threading.Event(), list[int]()

    def slowly(number: int) -> int:
        asked.append(number)
        go_on.wait(10)
        return number

    question: Background[int, int] = Background("slowly", slowly)
    began_s = time.monotonic()
    question.ask(1)
    question.ask(2)
    assert (None, True) == (question.answer(), question.pending)
    assert time.monotonic() - began_s < 1
    go_on.set()
    assert (1, [1]) == (wait_until(question.answer, 5), asked)


def test_what_the_question_raises_comes_where_the_answer_is_taken() -> None:
    def refuse(_: int) -> int:
        raise Retriable("no answer")

    question: Background[int, int] = Background("refuse", refuse)
    question.ask(1)
    with pytest.raises(Retriable, match="no answer"):
        wait_until(question.answer, 5)
    assert (None, False) == (question.answer(), question.pending)


def test_the_error_of_a_call_is_freed_without_the_garbage_collector() -> None:
    """Its traceback keeps a client alive, which would go on trying."""

    def refuse() -> None:
        raise Retriable("no answer")

    gc.disable()
    try:
        future = start_call("refuse", refuse)
        error = weakref.ref(wait_until(future.exception, 5))
        del future
        assert wait_until(lambda: error() is None, 5)
    finally:
        gc.enable()
