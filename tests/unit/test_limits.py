"""Too few threads, too little memory: the line about it."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from service.app.clients import construct
from service.kafka.background import Background
from service.kafka.guards.hanging_calls import call
from service.loop.errors import Fatal
from service.process.limits import LimitError, shortage, try_threads
from service.settings import SettingsError


def _refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_threads_that_may_be_started_are_gone_afterwards() -> None:
    before = threading.active_count()
    try_threads(20)
    assert before == threading.active_count()


def test_that_not_all_may_be_started_is_said_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    left = iter(range(3))
    monkeypatch.setattr(threading.Thread, "start", lambda one: _refuse(one) if next(left, None) is None else start(one))
    before = threading.active_count()
    with pytest.raises(LimitError, match=r"^cannot start 20 threads, only 3: can't start new thread; raise the limit"):
        try_threads(20)
    assert before == threading.active_count()


def test_a_call_that_may_have_no_thread_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", _refuse)
    with pytest.raises(Fatal, match="commit_transaction: can't start new thread: the limit of processes"):
        call("commit_transaction", print, keep_going=lambda: True, throttled=lambda: False, hang_s=3)


def test_a_question_that_may_have_no_thread_is_fatal_and_not_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", _refuse)
    question: Background[None, bool] = Background("reach", lambda _: True)
    with pytest.raises(Fatal, match=r"^reach: can't start new thread: the limit of processes or of address space"):
        question.ask(None)
    assert not question.pending


@pytest.mark.parametrize(
    ("code", "problem", "line"),
    [
        (KafkaError._CRIT_SYS_RESOURCE, Fatal, "construct a Kafka client: no thread"),
        (KafkaError._INVALID_ARG, SettingsError, "KAFKA_PROPERTIES: no thread"),
    ],
)
def test_that_a_client_may_have_no_thread_is_not_blamed_on_the_settings(
    code: int, problem: type[Exception], line: str
) -> None:
    def make(_: object) -> None:
        raise KafkaException(KafkaError(code, "no thread"))

    with pytest.raises(problem, match=f"^{line}$"):
        construct(make, {})


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (MemoryError(), "out of memory; raise"),
        (MemoryError("std::bad_alloc"), "out of memory: std::bad_alloc; raise"),
        (RuntimeError("can't start new thread"), "can't start new thread; raise"),
        (ImportError("x.so: failed to map segment from shared object"), "out of memory: x.so: failed to map"),
        (ImportError("x.so: cannot allocate memory in static TLS block"), "out of memory: x.so: cannot allocate"),
    ],
)
def test_a_shortage_is_one_line(error: BaseException, begins: str) -> None:
    line = shortage(error) or ""
    assert line.startswith(begins)
    assert "\n" not in line


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ImportError("No module named 'x'"), KeyError("x")])
def test_other_errors_are_no_shortage(error: BaseException) -> None:
    assert shortage(error) is None
